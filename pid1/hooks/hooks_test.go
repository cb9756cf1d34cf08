package hooks

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// folder makes a directory with these files; a name that ends in "*" is executable.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(name, "*") {
			name, mode = strings.TrimSuffix(name, "*"), 0o755
		}
		if err := os.WriteFile(dir+"/"+name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name    string
		files   map[string]string
		prepare func(dir string) error
		want    []string
		wantErr string
	}{
		{name: "nothing", want: []string{"A=old", "Z=1"}},
		{name: "new and other values", files: map[string]string{"A": "new\n", "B": "b\n\n", "C": ""}, want: []string{"A=new", "Z=1", "B=b", "C="}},
		{name: "any bytes", files: map[string]string{"A": "\xff\x1b[2J\nx = y\n"}, want: []string{"A=\xff\x1b[2J\nx = y", "Z=1"}},
		{name: "dot files and folders", files: map[string]string{".A": "no"}, prepare: func(dir string) error { return os.Mkdir(dir+"/D", 0o755) }, want: []string{"A=old", "Z=1"}},
		{name: "as Kubernetes links them", files: map[string]string{".data": "v"}, prepare: func(dir string) error { return os.Symlink(".data", dir+"/A") }, want: []string{"A=v", "Z=1"}},
		{name: "a FIFO is not waited for", prepare: func(dir string) error { return syscall.Mkfifo(dir+"/F", 0o644) }, want: []string{"A=old", "Z=1"}},
		{name: "a link to nothing", prepare: func(dir string) error { return os.Symlink("nowhere", dir+"/A") }, wantErr: "no such file"},
		{name: "a link to itself", prepare: func(dir string) error { return os.Symlink("A", dir+"/A") }, wantErr: "too many levels"},
		{name: "a name with =", files: map[string]string{"A=B": "x"}, wantErr: `no "="`},
		{name: "a NUL", files: map[string]string{"A": "x\x00y"}, wantErr: "NUL"},
		{name: "too long", files: map[string]string{"A": strings.Repeat("x", maxValue)}, wantErr: "longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, tt.files)
			if tt.prepare != nil {
				if err := tt.prepare(dir); err != nil {
					t.Fatal(err)
				}
			}
			given := []string{"A=old", "Z=1"}
			got, err := Load(dir, given)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("error %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || !slices.Equal(got, tt.want) || given[0] != "A=old" {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if _, err := Load("/etc/passwd", nil); err == nil {
		t.Error("a file was taken for a directory")
	}
	if _, err := Load("/nowhere", nil); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("error %v", err)
	}
}

// What is dumped is what a shell and JSON read back.
func TestDump(t *testing.T) {
	at := t.TempDir() + "/env"
	given := []string{"PLAIN=a", "QUOTES=it's \"so\" \\ $HOME `id`", "LINES=a\nb\n", "EMPTY=", "BYTES=\xff\x01", "not-a-name=x", "EQUALS=a=b"}
	if err := Dump(given, at); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", ". "+at+".sh; env -0")
	cmd.Env = []string{}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	read := strings.Split(string(out), "\x00")
	text, err := os.ReadFile(at + ".json")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	if err := json.Unmarshal(text, &values); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	for _, v := range given {
		name, value, _ := strings.Cut(v, "=")
		if isName(name) && !slices.Contains(read, v) {
			t.Errorf("the shell has no %q", v)
		}
		if got := values[name]; utf8.ValidString(value) && got != value {
			t.Errorf("JSON has %q for %q", got, v)
		}
	}
	if err := Dump(given, "/nowhere/env"); err == nil {
		t.Error("no error")
	}
}

func FuzzDump(f *testing.F) {
	f.Add("A", "it's\n\x00\xff")
	f.Fuzz(func(t *testing.T, name, value string) {
		var b strings.Builder
		writeJSON(&b, value)
		var back string
		if err := json.Unmarshal([]byte(b.String()), &back); err != nil || back != strings.ToValidUTF8(value, "\ufffd") && utf8.ValidString(value) {
			t.Errorf("%q became %q, %v", value, back, err)
		}
		_ = isName(name)
	})
}

func TestListAndCheck(t *testing.T) {
	dir := folder(t, map[string]string{"20-b*": "", "10-a*": "", ".hidden": "", "readme": ""})
	if err := os.Mkdir(dir+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := List(dir, false)
	if want := []string{dir + "/10-a", dir + "/20-b"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := List(dir, true); err == nil || !strings.Contains(err.Error(), "readme\" is no executable") {
		t.Errorf("error %v", err)
	}
	if got, err := List(dir+"/none", true); err != nil || got != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if err := Check("/etc/passwd"); err == nil {
		t.Error("a file was taken for a directory")
	}
	if err := Check(dir); err != nil {
		t.Errorf("a directory without stages: %v", err)
	}
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		timeout      time.Duration
		stop         bool
		want         int
	}{
		{name: "fine", script: "#!/bin/sh\n[ $A = b ]", want: 0},
		{name: "a code", script: "#!/bin/sh\nexit 7", want: 7},
		{name: "a signal", script: "#!/bin/sh\nkill -9 $$", want: 137},
		{name: "no interpreter line", script: "exit 8", want: 8},
		{name: "too slow", script: "#!/bin/sh\nsleep 100", timeout: 50 * time.Millisecond, want: TimedOut},
		{name: "too slow, with children", script: "#!/bin/sh\nsleep 100 & sleep 100", timeout: 50 * time.Millisecond, want: TimedOut},
		{name: "stopped", script: "#!/bin/sh\nsleep 100", stop: true, want: 143},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, map[string]string{"hook*": tt.script})
			h := Hook{Path: dir + "/hook", Env: []string{"A=b", "PATH=/usr/bin:/bin"}, Timeout: tt.timeout}
			if h.Timeout == 0 {
				h.Timeout = time.Minute
			}
			stop := make(chan os.Signal, 1)
			if tt.stop {
				stop <- syscall.SIGTERM
			}
			if code, err := h.Run(stop); err != nil || code != tt.want {
				t.Errorf("code %d, %v, want %d", code, err, tt.want)
			}
		})
	}
	if _, err := (Hook{Path: "/nowhere"}).Run(nil); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("error %v", err)
	}
}

// A hook that ignores TERM gets KILL, and so does what it started.
func TestStubbornHook(t *testing.T) {
	dir := folder(t, map[string]string{"hook*": "#!/bin/sh\ntrap '' TERM\necho $$ > " + "$OUT\nwhile :; do sleep 0.01; done"})
	h := Hook{Path: dir + "/hook", Env: []string{"OUT=" + dir + "/pid", "PATH=/usr/bin:/bin"}}
	var pid []byte
	for h.Timeout = 100 * time.Millisecond; len(pid) == 0; h.Timeout *= 4 { // on a busy machine it is not deaf so soon
		if h.Timeout > 30*time.Second {
			t.Fatal("it does not begin")
		}
		began := time.Now()
		code, err := h.Run(nil)
		took := time.Since(began)
		if err != nil || code != TimedOut {
			t.Errorf("code %d, %v", code, err)
		}
		if pid, err = os.ReadFile(dir + "/pid"); err == nil && (took < h.Timeout+killAfter || took > h.Timeout+killAfter+20*time.Second) {
			t.Errorf("it took %v", took)
		}
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil {
		t.Errorf("process %s is left", pid)
	}
}

func TestImport(t *testing.T) {
	dir := t.TempDir()
	if err := Import(dir, []string{"A=b", "HOME=/root", "X/Y=z", "E="}); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir, nil)
	if want := []string{"A=b", "E="}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}
