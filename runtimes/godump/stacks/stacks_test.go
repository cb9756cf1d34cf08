package stacks

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sexton.dev/runtimes/godump"
)

func read(t testing.TB, text string) Report {
	t.Helper()
	f := New()
	lost, err := godump.Read(strings.NewReader(text), f.Add)
	if err != nil {
		t.Fatal(err)
	}
	return f.Report(lost, "")
}

func file(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// layerOf has the layer of each dump of the corpus whose text tells it.
var layerOf = map[string]string{"05-shim-sigquit-fp-sp.txt": ""}

// The corpus are dumps that somebody posted, with what a right reading says of each.
func TestCorpus(t *testing.T) {
	rows := 0
	for line := range strings.Lines(file(t, "expect.jsonl")) {
		var row struct {
			File   string
			Expect struct {
				Goroutines   int
				Function     *string  `json:"blocked_function"`
				FunctionAlso []string `json:"blocked_function_alt"`
				Waiters      *int     `json:"waiters_on_same_lock"`
				Lock         string
			}
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		rows++
		t.Run(row.File, func(t *testing.T) {
			r, want := read(t, file(t, row.File)), row.Expect
			if r.Goroutines != want.Goroutines {
				t.Errorf("%d goroutines, want %d", r.Goroutines, want.Goroutines)
			}
			layer, ok := layerOf[row.File]
			if !ok {
				layer = strings.Split(row.File, "-")[1]
			}
			if r.Layer != layer {
				t.Errorf("layer %q, want %q", r.Layer, layer)
			}
			switch {
			case want.Function == nil && r.BlockedFunction != "":
				t.Errorf("%s is said to be blocked, want none", r.BlockedFunction)
			case want.Function != nil && r.BlockedFunction != *want.Function && !slices.Contains(want.FunctionAlso, r.BlockedFunction):
				t.Errorf("blocked in %q, want %q", r.BlockedFunction, *want.Function)
			}
			waiters := 0
			if want.Waiters != nil {
				waiters = *want.Waiters
			}
			if r.WaitersOnSameLock != waiters || r.Lock != want.Lock {
				t.Errorf("%d waiters for lock %q, want %d for %q", r.WaitersOnSameLock, r.Lock, waiters, want.Lock)
			}
			if want.Function == nil != strings.Contains(r.Conclusion, "Nothing is blocked here") {
				t.Errorf("conclusion: %s", r.Conclusion)
			}
		})
	}
	if rows != 11 {
		t.Errorf("%d rows, want 11", rows)
	}
}

// Dumps that were taken while a fault was made on purpose, cut to what matters: (a)
// containerd stopped, (b) a shim stopped, (e) a runc exec that never ends.
func TestMeasured(t *testing.T) {
	for _, tt := range []struct {
		name     string
		files    []string
		layer    string
		function string
		waiters  int
		says     []string
	}{
		{"containerd is stopped", []string{"a-dockerd"}, "dockerd", "daemon.(*Daemon).fillPlatformVersion", 0,
			[]string{"for containerd to answer version.Version", "containerd itself is stuck"}},
		{"a shim is stopped: dockerd", []string{"b-dockerd"}, "dockerd", "daemon.(*Daemon).killWithSignal", 4,
			[]string{"4 goroutines wait for the lock 0xc000f12c80", "likely held by goroutine 327, in daemon.(*Daemon).killWithSignal, which waits 2 minutes for containerd to answer tasks.Kill", "a dump of containerd says which"}},
		{"a shim is stopped: containerd", []string{"b-containerd"}, "containerd", "v2.(*shimTask).Pids", 0,
			[]string{"for the shim to answer task.Pids"}},
		{"a runc hangs: dockerd, a chain of two locks", []string{"e-dockerd"}, "dockerd", "daemon.(*Daemon).ContainerExecStart", 8,
			[]string{"likely held by goroutine 555, in daemon.(*Daemon).ContainerInspectCurrent, which waits 2 minutes for the lock 0xc000ba4340", "That is likely held by goroutine 515"}},
		{"a runc hangs: the shim", []string{"e-shim"}, "shim", "process.(*execProcess).start", 5,
			[]string{"The shim of a5f4041a90bd (pid 30438): 5 goroutines wait", "likely held by goroutine 38, in task.(*service).checkProcesses", "likely held by goroutine 83", "for runc exec to end", "child of the shim"}},
		{"a runc hangs: all layers in one text", []string{"e-dockerd", "e-containerd", "e-shim"}, "shim", "process.(*execProcess).start", 5,
			[]string{"dockerd: 8 goroutines", "for the shim to answer task.Start", "for runc exec to end"}},
		{"two dumps of a containerd", []string{"b-containerd", "b-containerd"}, "containerd", "v2.(*shimTask).Pids", 0, []string{"4 goroutines are where an earlier dump has them"}},
		{"healthy", []string{"healthy-dockerd", "healthy-containerd"}, "containerd", "", 0, []string{"Nothing is blocked here"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var text string
			for _, name := range tt.files {
				text += file(t, "measured-"+name+".txt")
			}
			r := read(t, text)
			if r.Layer != tt.layer || short(r.BlockedFunction) != tt.function || r.WaitersOnSameLock != tt.waiters {
				t.Errorf("%s: blocked in %s, %d waiters; want %s: %s, %d", r.Layer, r.BlockedFunction, r.WaitersOnSameLock, tt.layer, tt.function, tt.waiters)
			}
			for _, want := range tt.says {
				if !strings.Contains(r.Conclusion, want) {
					t.Errorf("the conclusion does not say %q: %s", want, r.Conclusion)
				}
			}
			first, _ := json.Marshal(r)
			for range 5 {
				if again, _ := json.Marshal(read(t, text)); string(again) != string(first) {
					t.Fatalf("read again it says otherwise: %s\n%s", again, first)
				}
			}
			if len(r.Dumps) != len(tt.files) {
				t.Errorf("%d dumps, want %d", len(r.Dumps), len(tt.files))
			}
		})
	}
}
