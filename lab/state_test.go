package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/internal/hosttest"
)

// victim is a living process that no lab may touch.
func victim(t *testing.T) (pid int, alive func() bool) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-done })
	return cmd.Process.Pid, func() bool {
		select {
		case <-done:
			return false
		case <-time.After(200 * time.Millisecond):
			return true
		}
	}
}

// settleFor makes down give up earlier.
func settleFor(t *testing.T, d time.Duration) {
	before := settle
	settle = d
	t.Cleanup(func() { settle = before })
}

// forge writes a record as up would have.
func forge(t *testing.T, o Options, name string, ps ...Process) {
	t.Helper()
	r, err := newRecord(name, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	r.Processes, r.Complete = ps, true
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (stateDir{path: o.StateDir}).write(r); err != nil {
		t.Fatal(err)
	}
}

// TestReusedPID: a pid in a state file is no reason to signal anybody.
func TestReusedPID(t *testing.T) {
	hosttest.NeedsRoot(t)
	settleFor(t, 200*time.Millisecond)
	pid, alive := victim(t)
	stat, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		p       Process
		wantErr string // "" if the record stands for nothing that lives
	}{
		{name: "another start time", p: Process{Role: roleInit, PID: pid, Start: stat.Start + 1}},
		{name: "an earlier start time", p: Process{Role: roleFeeder, PID: pid, Start: stat.Start - 1}},
		{name: "no such pid", p: Process{Role: roleInit, PID: 1<<22 - 1, Start: 5}},
		{name: "not first of a namespace", p: Process{Role: roleInit, PID: pid, Start: stat.Start}, wantErr: `named "sleep" and does not look like`},
		{name: "no feeder", p: Process{Role: roleFeeder, PID: pid, Start: stat.Start, Comm: "sleep"}, wantErr: `named "sleep" and does not look like`},
		{name: "a role that is not signalled", p: Process{Role: "reader", PID: pid, Start: stat.Start}, wantErr: "is still in state S"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{StateDir: filepath.Join(t.TempDir(), "lab")}
			forge(t, o, "zombies", tt.p)
			_, err := Down(context.Background(), nil, o)
			if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("down: %v, want %q", err, tt.wantErr)
			}
			if !alive() {
				t.Fatal("a process that is not the lab's was signalled")
			}
			_, err = os.Stat(filepath.Join(o.StateDir, "zombies.json"))
			if kept := err == nil; kept != (tt.wantErr != "") {
				t.Errorf("the state file is kept: %v", kept)
			}
		})
	}
}

// A hostileFile is a state file of zombies that up did not write.
type hostileFile struct {
	name    string
	make    func(path string) error
	wantErr string
}

func hostileFiles(t *testing.T) []hostileFile {
	good, err := newRecord("zombies", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf(`{"name":"zombies","bootID":%q,"pidNamespace":%q,"until":"2026-01-02T03:04:05Z"`, good.BootID, good.PIDSpace)
	text := func(s string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
	}
	return []hostileFile{
		{"empty", text(""), "not a state file: EOF"},
		{"truncated", text(head + `,"processes":[{"role":"in`), "not a state file"},
		{"huge", text(head + `,"x":"` + strings.Repeat("x", 1<<20) + `"}`), "1048"},
		{"wrong types", text(`{"name":7}`), "cannot unmarshal number"},
		{"array", text(`[1]`), "cannot unmarshal array"},
		{"two values", text(head + "}{}"), "more than one JSON value"},
		{"another name", text(`{"name":"\u001b[31m"}`), `name "\x1b[31m"`},
		{"no boot", text(`{"name":"zombies"}`), "no bootID"},
		{"no time", text(`{"name":"zombies","bootID":"b"}`), "no until"},
		{"the machine's first process", text(head + `,"processes":[{"role":"init","pid":1,"start":3}]}`), "process 1 started at 3"},
		{"everybody", text(head + `,"processes":[{"role":"feeder","pid":-1,"start":3}]}`), "process -1 started"},
		{"no start", text(head + `,"processes":[{"role":"init","pid":77}]}`), "started at 0"},
		{"too large a pid", text(head + `,"processes":[{"role":"init","pid":99999999999999999999,"start":3}]}`), "cannot unmarshal"},
		{"many processes", text(head + `,"processes":[` + strings.Repeat(`{"pid":7,"start":7},`, 16) + `{"pid":7,"start":7}]}`), "17 processes"},
		{"a directory of the host's", text(head + `,"dir":"/run/sexton-lab-"}`), `directory "/run/sexton-lab-"`},
		{"a directory elsewhere", text(head + `,"dir":"/run/sexton-lab-1/../docker"}`), `directory "/run/sexton-lab-1/../docker"`},
		{"a directory of two lines", text(head + `,"dir":"/run/sexton-lab-1\n"}`), `directory "/run/sexton-lab-1\n"`},
		{"another PID namespace", text(strings.Replace(head, good.PIDSpace, "pid:[1]", 1) + "}"), "another PID namespace"},
		{"directory", func(path string) error { return os.Mkdir(path, 0o700) }, "not a state file: d"},
		{"fifo", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "not a state file: p"},
		{"link", func(path string) error { return os.Symlink("/proc/kmsg", path) }, "too many levels"},
		{"anybody's", func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(head+"}"), 0o600), os.Chmod(path, 0o666))
		}, "others may have written it"},
		{"another user's", func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(head+"}"), 0o600), os.Chown(path, 65534, 0))
		}, "belongs to uid 65534"},
	}
}

func TestHostileStateFiles(t *testing.T) {
	hosttest.NeedsRoot(t)
	for _, tt := range hostileFiles(t) {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{StateDir: filepath.Join(t.TempDir(), "lab")}
			forge(t, o, "stuck-reader", Process{Role: roleInit, PID: 1<<22 - 1, Start: 5}) // ended: down can clean it
			file := filepath.Join(o.StateDir, "zombies.json")
			if err := tt.make(file); err != nil {
				t.Fatal(err)
			}
			if st := one(t, "zombies", o); st.State != StateUnknown || !strings.Contains(st.Why, tt.wantErr) {
				t.Errorf("list says %+v, want %q", st, tt.wantErr)
			}
			if _, err := Up(context.Background(), "zombies", o); err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("up: %v, want %q", err, tt.wantErr)
			}
			all, err := Down(context.Background(), nil, o)
			if err == nil || !strings.Contains(err.Error(), "zombies: ") || !strings.Contains(err.Error(), tt.wantErr) || len(all) != 2 {
				t.Errorf("down: %+v, %v, want %q", all, err, tt.wantErr)
			}
			if _, err := os.Lstat(file); err != nil {
				t.Errorf("down removed what it cannot read: %v", err)
			}
			if st := one(t, "stuck-reader", o); st.State != StateDown {
				t.Errorf("the other was not cleaned: %+v", st)
			}
		})
	}
}

func TestHostileStateDirectory(t *testing.T) {
	hosttest.NeedsRoot(t)
	for name, make := range map[string]func(path string) error{
		"anybody's":      func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o777)) },
		"another user's": func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chown(p, 65534, 0)) },
		"a link":         func(p string) error { return os.Symlink("/run", p) },
		"a file":         func(p string) error { return os.WriteFile(p, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{StateDir: filepath.Join(t.TempDir(), "lab")}
			if err := make(o.StateDir); err != nil {
				t.Fatal(err)
			}
			if _, err := Up(context.Background(), "zombies", o); err == nil || !strings.Contains(err.Error(), "state directory") {
				t.Errorf("up: %v", err)
			}
			if _, err := Down(context.Background(), nil, o); err == nil || !strings.Contains(err.Error(), "state directory") {
				t.Errorf("down: %v", err)
			}
		})
	}
}

// A record of before the last boot, of another sexton's fault, and the rest of
// a write that was cut short.
func TestOldStateFiles(t *testing.T) {
	hosttest.NeedsRoot(t)
	o := Options{StateDir: filepath.Join(t.TempDir(), "lab")}
	pid, alive := victim(t)
	stat, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	forge(t, o, "frozen-cgroup")
	forge(t, o, "zombies", Process{Role: roleFeeder, PID: pid, Start: stat.Start})
	file := filepath.Join(o.StateDir, "zombies.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), boot, "11111111-2222-3333-4444-555555555555", 1))
	if err := errors.Join(os.WriteFile(file, text, 0o600), os.WriteFile(filepath.Join(o.StateDir, "stuck-reader.json.new"), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	wantState(t, "zombies", o, StateEnded)
	wantState(t, "frozen-cgroup", o, StateEnded)
	wantState(t, "stuck-reader", o, StateDown)
	if all, err := Down(context.Background(), nil, o); err != nil || len(all) != 3 {
		t.Errorf("down: %+v, %v", all, err)
	}
	if left, _ := os.ReadDir(o.StateDir); len(left) > 0 || !alive() {
		t.Errorf("left: %v; the victim lives: %v", left, alive())
	}
}

func TestParseRecord(t *testing.T) {
	want := record{
		Name: "zombies", BootID: "b", PIDSpace: "pid:[4026531836]", Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Complete: true,
		Processes: []Process{{Role: roleInit, PID: 7, Start: 8, Comm: "sle\x1bep"}},
	}
	text := `{"name":"zombies","bootID":"b","pidNamespace":"pid:[4026531836]","until":"2026-01-02T03:04:05Z","complete":true,
		"processes":[{"role":"init","pid":7,"start":8,"comm":"sle\u001bep"}],"added":"by a later sexton"}`
	got, err := parseRecord([]byte(text), "zombies")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(`{"name":"zombies","bootID":"b","until":"2026-01-02T03:04:05Z","processes":[{"role":"init","pid":7,"start":8}]}`)
	f.Add(`{"name":"zombies","processes":[{"pid":-1}]}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRecord([]byte(text), "zombies")
		if err != nil {
			return
		}
		if r.Name != "zombies" || len(r.Processes) > maxProcesses {
			t.Errorf("%q gave %+v", text, r)
		}
		for _, p := range r.Processes {
			if p.PID < 2 || p.Start == 0 {
				t.Errorf("%q gave %+v", text, p)
			}
		}
	})
}
