package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// Exit codes, as documented.
const (
	clean, failed, usage, findings, cantTell = 0, 1, 2, 3, 4
)

// hang is more than any command may take, but for the time it was given to look.
const hang = 5 * time.Second

// soon is more than anything takes that a test waits for, on a machine with much to do.
const soon = time.Minute

// sandboxed says what all tests need.
func sandboxed(t testing.TB) {
	t.Helper()
	hosttest.NeedsRoot(t)
	if work == "" {
		t.Fatal("not in the sandbox")
	}
	hosttest.Needs(t, "go", fileExists(sexton()), "put the go command into PATH")
}

// sexton is where every user may execute it; the work directory may be closed to them.
func sexton() string { return "/run/bin/sexton" }

// A run is one run of sexton, or of anything else.
type run struct {
	argv           []string
	code           int // exit status; 128 + signal, as shells have it
	stdout, stderr string
	took           time.Duration
}

// A world is what a run gets: its environment and who it is.
type world struct {
	docker     string // socket, "" for none
	containerd string // socket, "" for none
	uid        uint32
	dir        string
	enter      []string      // the words of nsenter that lead to a host of its own
	patience   time.Duration // until it counts as hanging; 0: hang
}

// scan and the like run sexton in the world, and fail the test if it hangs, if
// it leaves a process or if it dies of its own mistake.
func (w world) sexton(t testing.TB, args ...string) run {
	t.Helper()
	if slices.Contains([]string{"scan", "why", "holders", "heal", "propagation", "ps", "record"}, args[0]) && !slices.Contains(args, "--mountinfo") {
		args = slices.Insert(slices.Clone(args), 1, "--nested") // these worlds are PID namespaces, and share nothing with who is outside
	}
	r := w.exec(t, append([]string{sexton()}, args...)...)
	r.noTrace(t)
	return r
}

// scan looks at the host and records it. The recording must be judged to the
// same bytes, and be nobody else's to read.
func (w world) scan(t testing.TB, codes ...int) report {
	t.Helper()
	file := filepath.Join(t.TempDir(), "host.tar.zst")
	live := w.sexton(t, "scan", "--record", file, "-o", "json").exits(t, codes...)
	again := w.sexton(t, "scan", "--from", file, "-o", "json").exits(t, codes...)
	if again.stdout != live.stdout {
		t.Errorf("the recording is not judged as the host was\nlive %s\nfrom %s", live, again)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the recording: %v, %v", info, err)
	}
	return live.report(t)
}

// exec runs a command to its end. One that hangs fails the test, and is killed.
func (w world) exec(t testing.TB, argv ...string) run {
	t.Helper()
	if w.patience == 0 {
		w.patience = hang
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.patience)
	defer cancel()
	argv = slices.Concat(w.enter, argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Env, cmd.Dir = w.env(), w.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if w.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: w.uid, Gid: w.uid}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	r := run{argv: argv, stdout: stdout.String(), stderr: stderr.String(), took: time.Since(began)}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", argv, err)
	}
	r.code = exitCode(cmd.ProcessState)
	if ctx.Err() != nil {
		t.Fatalf("hangs: not done after %v\n%s", w.patience, r)
	}
	return r
}

func (w world) env() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + work, "LANG=C.UTF-8"}
	if w.docker != "" {
		env = append(env, "DOCKER_HOST=unix://"+w.docker)
	}
	if w.containerd != "" {
		env = append(env, "CONTAINERD_ADDRESS="+w.containerd)
	}
	return env
}

func exitCode(p *os.ProcessState) int {
	if s := p.Sys().(syscall.WaitStatus); s.Signaled() {
		return 128 + int(s.Signal())
	}
	return p.ExitCode()
}

func (r run) String() string {
	return fmt.Sprintf("%s: exit %d after %v\nstdout: %s\nstderr: %s",
		strings.Join(r.argv, " "), r.code, r.took.Round(time.Millisecond), head(r.stdout), head(r.stderr))
}

func head(s string) string {
	if len(s) > 6000 {
		return s[:6000] + " ..."
	}
	return s
}

// trace matches what Go prints when a program dies of its own mistake.
var trace = regexp.MustCompile(`goroutine \d+|fatal error:|panic:|runtime error|SIGSEGV`)

func (r run) noTrace(t testing.TB) {
	t.Helper()
	if found := trace.FindString(r.stdout + r.stderr); found != "" {
		t.Errorf("%q is what no user should see\n%s", found, r)
	}
}

// exits fails the test unless the run ended with one of these codes.
func (r run) exits(t testing.TB, codes ...int) run {
	t.Helper()
	if !slices.Contains(codes, r.code) {
		t.Fatalf("want exit %v\n%s", codes, r)
	}
	return r
}

// says fails the test unless stdout and stderr together hold each text.
func (r run) says(t testing.TB, texts ...string) run {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(oneLine(r.stdout+r.stderr), text) {
			t.Errorf("does not say %q\n%s", text, r)
		}
	}
	return r
}

// oneLine undoes the wrapping of output for people.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// A report is the JSON that scan and why print, by its contract.
type report struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Taken      time.Time `json:"taken"`
	Host       struct {
		Name   string `json:"name"`
		Kernel string `json:"kernel"`
		BootID string `json:"bootID"`
	} `json:"host"`
	Answer   string    `json:"answer"`
	Findings []finding `json:"findings"`
	Unknown  []struct {
		Check string `json:"check"`
		What  string `json:"what"`
		Why   string `json:"why"`
	} `json:"unknown"`
}

type finding struct {
	ID       string `json:"id"`
	Check    string `json:"check"`
	Severity string `json:"severity"`
	Subject  struct {
		Kind      string `json:"kind"`
		Name      string `json:"name"`
		Container string `json:"container"`
		Pod       string `json:"pod"`
		PID       int    `json:"pid"`
		Path      string `json:"path"`
	} `json:"subject"`
	Title    string                          `json:"title"`
	Cause    string                          `json:"cause"`
	Harm     string                          `json:"harm"`
	Evidence []struct{ Source, Text string } `json:"evidence"`
	Holders  []struct {
		Kind      string `json:"kind"`
		PID       int    `json:"pid"`
		FD        int    `json:"fd"`
		Comm      string `json:"comm"`
		Path      string `json:"path"`
		Container string `json:"container"`
		Pod       string `json:"pod"`
	} `json:"holders"`
	Remedies []struct{ Action, Risk, Why string } `json:"remedies"`
	Advice   []string                             `json:"advice"`
	Ladder   []rung                               `json:"ladder"`
	Since    time.Time                            `json:"since"`
}

// A rung is one layer of a runtime, as a ladder has it.
type rung struct {
	Layer, Name, Said, Wait string
	PID                     int
	Silent                  bool
}

// report decodes stdout, which must be one object of the contract.
func (r run) report(t testing.TB) report {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(r.stdout))
	var out report
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	if out.APIVersion != "sexton/v1" || out.Kind != "Report" || out.Taken.IsZero() || out.Host.BootID == "" || d.More() {
		t.Fatalf("not one report\n%s", r)
	}
	return out
}

// of returns the findings of a check, all for "".
func (r report) of(check string) []finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f finding) bool { return check != "" && f.Check != check })
}

// only returns the one finding of a check whose subject has this name.
func (r report) only(t testing.TB, check, name string) finding {
	t.Helper()
	var found []finding
	for _, f := range r.of(check) {
		if f.Subject.Name == name {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d findings of %s about %s, want 1; all: %s", len(found), check, name, r.titles())
	}
	return found[0]
}

func (r report) titles() string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.Severity+" "+f.ID+": "+f.Title)
	}
	for _, u := range r.Unknown {
		out = append(out, "unknown "+u.Check+" "+u.What+": "+u.Why)
	}
	return "\n  " + strings.Join(out, "\n  ")
}

// unknown returns why something could not be told, "" if it is not listed.
func (r report) unknown(what string) string {
	for _, u := range r.Unknown {
		if strings.Contains(u.What, what) {
			return u.Why
		}
	}
	return ""
}

// leavesNothing fails the test at its end if a process of sexton's or a mount is there that was not there now.
func leavesNothing(t testing.TB) {
	t.Helper()
	before := mountPoints(t)
	t.Cleanup(func() {
		nothingRuns(t)
		// A daemon may come and go with mounts of its own; one of ours would stay.
		hosttest.Until(t, soon, "no more mounts than before", func() bool {
			return !slices.ContainsFunc(mountPoints(t), func(at string) bool { return !slices.Contains(before, at) })
		})
	})
}

// nothingRuns fails the test unless all of sexton's processes vanish at once.
func nothingRuns(t testing.TB) {
	t.Helper()
	var left []string
	for end := time.Now().Add(hang); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if left = running(sexton()); len(left) == 0 {
			return
		}
	}
	t.Errorf("sexton is still running: %q", left)
}

// running lists the processes that execute a program, but for the lab's faults.
func running(exe string) []string {
	var out []string
	for _, pid := range pids() {
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		stat := statOf(pid)
		if (link == exe || stat.comm == filepath.Base(exe)) && !strings.HasPrefix(stat.comm, "sexton-lab") {
			out = append(out, fmt.Sprintf("%d %s %s", pid, stat.comm, stat.state))
		}
	}
	return out
}

// A procStat is what stat says of a process.
type procStat struct {
	comm, state string
	parent      int
	start       float64 // ticks after boot, 100 a second
}

// statOf reads a process's stat; of one that is gone it says nothing.
func statOf(pid int) (s procStat) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')') // a name may have any of both
	if open < 0 || end < open {
		return s
	}
	fields := strings.Fields(string(text[end+1:]))
	s.comm, s.state = string(text[open+1:end]), fields[0]
	s.parent, _ = strconv.Atoi(fields[1])
	s.start, _ = strconv.ParseFloat(fields[19], 64)
	return s
}

// stateOf returns the state letter of a process, "" if it is gone.
func stateOf(pid int) string { return statOf(pid).state }

// awaitProcess waits for a process that is the one, and returns it.
func awaitProcess(t *testing.T, what string, is func(pid int) bool) (found int) {
	t.Helper()
	hosttest.Until(t, soon, what, func() bool {
		for _, pid := range pids() {
			if is(pid) {
				found = pid
			}
		}
		return found != 0
	})
	return found
}

func mountPoints(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		out = append(out, strings.Fields(line)[4])
	}
	slices.Sort(out)
	return out
}
