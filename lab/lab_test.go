package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// upCommand makes this test binary bring a fault up and end, as the command
// would: args are the fault, the state directory and the duration.
const upCommand = "__up"

func TestMain(m *testing.M) {
	environment = append(environment, "GORACE=atexit_sleep_ms=0") // with -race every exit waits for 1 s else
	if len(os.Args) > 1 && os.Args[1] == ActorCommand {
		signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) // as the command's main does before
		os.Exit(Actor(os.Args[2:]))
	}
	if len(os.Args) > 4 && os.Args[1] == upCommand {
		os.Exit(upAndEnd(os.Args[2], os.Args[3], os.Args[4]))
	}
	// What an up that ended left behind becomes our child, so that nothing of a
	// test can hide below the machine's first process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func upAndEnd(name, dir, duration string) int {
	d, err := time.ParseDuration(duration)
	if err == nil {
		_, err = Up(context.Background(), name, Options{For: d, StateDir: dir})
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n  try: %s\n", err, hintOf(err))
		return 1
	}
	return 0
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// eachFault runs a test for each fault, with a state directory of its own and
// the proof afterwards that nothing is left, however the test ended.
func eachFault(t *testing.T, test func(t *testing.T, f Fault, o Options)) {
	hosttest.NeedsRoot(t)
	for _, f := range Faults() {
		if _, thin := thinScenes[f.Name]; thin {
			continue // its kernel is that of make test-vm
		}
		t.Run(f.Name, func(t *testing.T) {
			test(t, f, options(t, f))
		})
	}
}

// eachKind is eachFault for one of each kind: what holds for the making and the
// end of one fault of mounts holds for all.
func eachKind(t *testing.T, test func(t *testing.T, f Fault, o Options)) {
	hosttest.NeedsRoot(t)
	for _, f := range []Fault{zombies, stuckReader, fuseDead, frozen, oomInit, mountNsfd, mountDevice} {
		t.Run(f.Name, func(t *testing.T) {
			test(t, f, options(t, f))
		})
	}
}

func options(t *testing.T, f Fault) Options {
	t.Helper()
	hosttest.NeedsRoot(t)
	o := Options{For: 30 * time.Second, StateDir: filepath.Join(t.TempDir(), "lab")}
	if strings.HasPrefix(f.Name, "runtime-") { // daemons that start take their time on a busy machine
		o.For = time.Minute
	}
	err := f.ready(o)
	hosttest.Needs(t, f.Name, err == nil, fmt.Sprint(err))
	t.Cleanup(func() {
		if _, err := Down(context.Background(), nil, o); err != nil && !t.Failed() {
			t.Errorf("down at the end: %v", err)
		}
		nothingLeft(t)
	})
	return o
}

// nothingLeft fails if a process below this one lives, or a fault's mount or control
// group is here.
func nothingLeft(t *testing.T) {
	t.Helper()
	for _, controller := range []string{"memory", "freezer"} {
		if h, err := hierarchyOf(controller); err == nil {
			for _, f := range Faults() {
				if _, err := os.Stat(filepath.Join(h.base, "sexton-lab-"+f.Name)); err == nil {
					t.Errorf("%s has a control group of %s", h.base, f.Name)
				}
			}
		}
	}
	if left := descendants(t); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(text), "sexton-lab") {
		t.Errorf("mounts are left: %v\n%s", err, text)
	}
}

// descendants returns the living processes below this one and waits for those
// of its children that are dead.
func descendants(t *testing.T) []string {
	t.Helper()
	parent, names := map[int]int{}, map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		s, err := readStat(pid)
		if err != nil {
			continue
		}
		parent[pid] = s.PPID
		switch {
		case s.State == 'Z' && s.Threads <= 1 && s.PPID == os.Getpid():
			syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		case s.State != 'Z' || s.Threads > 1:
			names[pid] = fmt.Sprintf("%d (%s) %c", pid, s.Comm, s.State)
		}
	}
	var out []string
	for pid, name := range names {
		for up := parent[pid]; up > 0; up = parent[up] {
			if up == os.Getpid() {
				out = append(out, name)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

func mustUp(t *testing.T, name string, o Options) Status {
	t.Helper()
	st, err := Up(context.Background(), name, o)
	if err != nil {
		t.Fatalf("up: %v (try: %s)", err, hintOf(err))
	}
	return st
}

// one returns the fault's line of List.
func one(t *testing.T, name string, o Options) Status {
	t.Helper()
	for _, st := range List(o) {
		if st.Name == name {
			return st
		}
	}
	t.Fatalf("%s is not listed", name)
	return Status{}
}

func wantState(t *testing.T, name string, o Options, want State) Status {
	t.Helper()
	st := one(t, name, o)
	if st.State != want {
		t.Errorf("list says %s %q (why %q, found %q), want %s", name, st.State, st.Why, st.Found, want)
	}
	return st
}

func pidOf(t *testing.T, st Status, role string) int {
	t.Helper()
	for _, p := range st.Processes {
		if p.Role == role {
			return p.PID
		}
	}
	t.Fatalf("no %s among %v", role, st.Processes)
	return 0
}

func TestUpListDown(t *testing.T) {
	eachFault(t, func(t *testing.T, f Fault, o Options) {
		wantState(t, f.Name, o, StateDown)
		began := time.Now()
		st := mustUp(t, f.Name, o)
		t.Logf("up took %v", time.Since(began))

		if st.State != StateUp || st.PID < 2 || len(st.Want) == 0 || st.Found == "" || st.Until.Before(began.Add(o.For)) || st.Until.After(time.Now().Add(o.For)) {
			t.Errorf("up at %v for %v says %+v", began, o.For, st)
		}
		if got := wantState(t, f.Name, o, StateUp); got.PID != st.PID || !got.Until.Equal(st.Until) {
			t.Errorf("list says %+v, up said %+v", got, st)
		}
		file := filepath.Join(o.StateDir, f.Name+".json")
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("state file: %v %v", info.Mode(), err)
		}
		text, _ := os.ReadFile(file)
		var r record
		if err := json.Unmarshal(text, &r); err != nil || !r.Complete || len(r.Processes) != len(st.Processes) {
			t.Errorf("state file: %v: %s", err, text)
		}

		_, err = Up(context.Background(), f.Name, o)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s is up already (pid %d, ends ", f.Name, st.PID)) ||
			hintOf(err) != "sexton lab down "+f.Name {
			t.Errorf("up twice: %v (try: %s)", err, hintOf(err))
		}
		wantState(t, f.Name, o, StateUp) // the second up took nothing away

		began = time.Now()
		all, err := Down(context.Background(), []string{f.Name}, o)
		t.Logf("down took %v", time.Since(began))
		if err != nil || len(all) != 1 || all[0].State != StateDown || all[0].Name != f.Name {
			t.Errorf("down: %+v, %v", all, err)
		}
		nothingLeft(t)
		wantState(t, f.Name, o, StateDown)
		if left, _ := os.ReadDir(o.StateDir); len(left) > 0 {
			t.Errorf("left in the state directory: %v", left)
		}
	})
}

// The processes stand apart from whoever started them: no session, no
// descriptor, no directory of theirs; and they say where they come from.
func TestApartFromTheCaller(t *testing.T) {
	eachKind(t, func(t *testing.T, f Fault, o Options) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		up := upProcess(f, o)
		up.ExtraFiles = []*os.File{4: w} // descriptor 7, as a shell or sshd leaves one open
		out, err := up.CombinedOutput()
		w.Close()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := r.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a process of the fault keeps the caller's pipe: %v", err)
		}
		st := wantState(t, f.Name, o, StateUp)
		for _, p := range st.Processes {
			if p.Role == "half-dead" { // it has no files any more
				continue
			}
			s, err := readStat(p.PID)
			if err != nil {
				t.Fatal(err)
			}
			if mine, _ := readStat(os.Getpid()); s.Session == mine.Session || s.Session == up.Process.Pid {
				t.Errorf("%v is in the session of the caller", p)
			}
			if !strings.HasPrefix(s.Comm, prefix) && s.Comm != "sleep" && s.Comm != "runc" {
				t.Errorf("%v is named %q", p, s.Comm)
			}
			for fd := range 3 {
				if link, err := os.Readlink(procPath(p.PID, fmt.Sprint("fd/", fd))); link != "/dev/null" {
					t.Errorf("%v: descriptor %d is %q, %v", p, fd, link, err)
				}
			}
			if cwd, err := os.Readlink(procPath(p.PID, "cwd")); cwd != "/" {
				t.Errorf("%v is in %q, %v", p, cwd, err)
			}
		}
		env, err := os.ReadFile(procPath(st.PID, "environ"))
		if err != nil || !strings.Contains(string(env), "SEXTON_LAB="+f.Name) {
			t.Errorf("environment of the first process: %q, %v", env, err)
		}
	})
}

func TestEndsByItself(t *testing.T) {
	eachKind(t, func(t *testing.T, f Fault, o Options) {
		busy := 4 * upOnce(t, f, o) // what a busy machine needs for an up, or for an end
		o.For = max(3*time.Second, busy)
		st := mustUp(t, f.Name, o)
		hosttest.Until(t, o.For+max(3*time.Second, busy), "nothing lives", func() bool { return len(descendants(t)) == 0 })
		if late := time.Since(st.Until); late < -2*time.Second {
			t.Errorf("it ended %v before its time", -late)
		}
		if got := wantState(t, f.Name, o, StateEnded); got.Why != "" {
			t.Errorf("list says %q", got.Why)
		}
		o.For = 30 * time.Second
		mustUp(t, f.Name, o) // what has ended is in nobody's way
	})
}

func TestDownOfNothing(t *testing.T) {
	hosttest.NeedsRoot(t)
	o := Options{StateDir: filepath.Join(t.TempDir(), "not", "there")}
	for _, names := range [][]string{nil, {"zombies"}, {"zombies", "stuck-reader"}} {
		got, err := Down(context.Background(), names, o)
		if err != nil || len(got) != len(names) {
			t.Errorf("down %v: %+v, %v", names, got, err)
		}
		for _, st := range got {
			if st.State != StateDown {
				t.Errorf("down %v: %+v", names, st)
			}
		}
	}
	if _, err := os.Stat(o.StateDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("down made the state directory: %v", err)
	}
}

func TestTwoUpsAtOnce(t *testing.T) {
	o := options(t, zombies)
	errs := make([]error, 3)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = Up(context.Background(), "zombies", o) })
	}
	all.Wait()
	good := 0
	for _, err := range errs {
		if err == nil {
			good++
		} else if !strings.Contains(err.Error(), "is up already") {
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("%d of 3 were told that they brought it up: %v", good, errs)
	}
}
