package collect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/internal/hosttest"
	"sexton.dev/runtimes/runtimestest"
	"sexton.dev/snapshot"
)

const bundle = "/run/containerd/io.containerd.runtime.v2.task/moby/" + id64

// thread adds a thread with what it waits in.
func (f fake) thread(pid, tid int, state, wchan, call string, switches int) {
	dir := fmt.Sprintf("/proc/%d/task/%d", pid, tid)
	f[dir+"/stat"] = fmt.Sprintf("%d (x) %s 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1000 0 0\n", tid, state)
	f[dir+"/status"] = fmt.Sprintf("Name:\tx\nState:\t%s (sleeping)\nTgid:\t%d\nPid:\t%d\nPPid:\t1\nvoluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t0\n", state, pid, tid, switches)
	f[dir+"/wchan"], f[dir+"/syscall"] = wchan, call
}

// ladderHost is docker with its own containerd, one shim, a runc that hangs below
// it and a program that waits for its reader.
func ladderHost() fake {
	f := newHost()
	f["/proc/sys/kernel/arch"] = "x86_64\n"
	f.process(70, 1, "S", "dockerd", map[string]any{"fd/5": "-> socket:[500]", "fd/9": "-> /run/docker/containerd/x/init-stdout"})
	f.process(71, 70, "S", "containerd", map[string]any{"fd/7": "-> socket:[700]"})
	f.process(80, 1, "S", "containerd-shim", map[string]any{"cwd": "-> " + bundle, "fd/3": "-> socket:[800]",
		"fd/11": "-> pipe:[33]", "fd/12": "-> /run/docker/containerd/x/init-stdout"})
	f.process(81, 80, "S", "runc", map[string]any{"exe": "-> /usr/sbin/runc", "fd/4": "-> pipe:[44]"})
	f.thread(81, 81, "S", "futex_wait_queue", "202 0x1 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", 10)
	f.thread(81, 82, "S", "anon_pipe_read", "0 0x4 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", 7)
	f["ask/cmdline/81"] = "runc\x00--root\x00/run/exec\x00exec\x00--process\x00/tmp/p\x00" + id64 + "\x00"
	for _, pid := range []int{70, 71, 80} {
		f[fmt.Sprintf("ask/cmdline/%d", pid)] = ""
	}
	inside := map[string]any{"cgroup": "0::/docker/" + id64 + "\n", "wchan": "anon_pipe_write", "fd/1": "-> pipe:[33]"}
	f.process(90, 80, "S", "chatty", inside)
	f.thread(90, 90, "S", "anon_pipe_write", "1 0x1 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", 3)
	inside["fd/1"] = "-> pipe:[34]" // to a process of its own container
	f.process(91, 90, "S", "inner", inside)
	f.thread(91, 91, "S", "anon_pipe_write", "1 0x1 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", 3)
	f["ask/listeners"] = `{"sockets":[{"inode":500,"path":"/var/run/docker.sock","pending":11,"backlog":128},
		{"inode":700,"path":"/run/docker/containerd/containerd.sock"},{"inode":800,"path":"/run/containerd/s/abc"},{"inode":9,"path":"/run/other.sock"}]}`
	f["ask/sockets"] = `[{"kind":"docker","path":"/run/docker.sock"}]`
	f["ask/runtime/docker/run/docker.sock"] = `{"answer":{"kind":"docker","socket":"/run/docker.sock","said":[{"question":"ping","took":2000000},{"question":"version","took":700000000,"silent":true}]},
		"err":"x","silent":true}`
	f["ask/runtime/containerd/run/docker/containerd/containerd.sock"] = `{"answer":{"kind":"containerd","socket":"/run/docker/containerd/containerd.sock","version":"1.6"}}`
	f["ask/shims"] = `{"pid":80,"start":1080,"said":[{"question":"connect","took":1000000}]}` + "\n" + `{"pid":80,"start":7,"ran":true}` + "\n"
	return f
}

func rungsOf(t *testing.T, f fake) *snapshot.Host {
	t.Helper()
	o := all()
	o.Parts = append(o.Parts, snapshot.Rungs)
	_, h := Looks(t.Context(), f, nil, o)
	return h
}

func TestLadder(t *testing.T) {
	h := rungsOf(t, ladderHost())
	wait := &snapshot.Task{TID: 82, State: "S", Comm: "x", Wchan: "anon_pipe_read", Syscall: "read", Switches: 7}
	writes := &snapshot.Task{TID: 90, State: "S", Comm: "chatty", Wchan: "anon_pipe_write", Syscall: "write", Switches: 3}
	want := &snapshot.Ladder{
		Layers: []snapshot.Layer{
			{PID: 70, Start: 1070, Rung: snapshot.RungDockerd},
			{PID: 71, Start: 1071, Rung: snapshot.RungContainerd},
			{PID: 80, Start: 1080, Rung: snapshot.RungShim, Namespace: "moby", Container: id64, Said: []snapshot.Said{{Question: "connect", Took: time.Millisecond}}},
			{PID: 81, Start: 1081, Rung: snapshot.RungChild, Container: id64, Operation: "exec", Exe: "/usr/sbin/runc", Wait: wait, Switches: 17, On: "pipe:[44]"},
			{PID: 90, Start: 1090, Rung: snapshot.RungProgram, Container: id64, Wait: writes, Switches: 3, On: "pipe:[33]",
				Readers: []int{80}, Pipe: "/run/docker/containerd/x/init-stdout", Beyond: []int{70}},
		},
		Listeners: []snapshot.Listener{
			{Path: "/run/containerd/s/abc", PIDs: []int{80}},
			{Path: "/run/docker/containerd/containerd.sock", PIDs: []int{71}},
			{Path: "/var/run/docker.sock", PIDs: []int{70}, Pending: 11, Backlog: 128},
		},
	}
	if diff := cmp.Diff(want, h.Ladder); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(h.Runtimes) != 2 || h.Runtimes[1].Version != "1.6" || snapshot.Silent(h.Runtimes[0].Said).Question != "version" {
		t.Errorf("%+v", h.Runtimes)
	}
}

func TestOperationOf(t *testing.T) {
	for _, tt := range []struct{ line, operation, id string }{
		{"runc --root /r --log l exec --process p --detach " + id64, "exec", id64},
		{"runc kill --all " + id64 + " 9", "kill", id64},
		{"runc start redis", "start", "redis"},
		{"runc kill redis 15", "kill", ""},
		{"crun delete --force", "delete", ""},
		{"runc", "", ""},
		{"", "", ""},
		{"start start", "start", ""},
	} {
		if operation, id := operationOf(strings.Fields(tt.line)); operation != tt.operation || id != tt.id {
			t.Errorf("%q: %q %q, want %q %q", tt.line, operation, id, tt.operation, tt.id)
		}
	}
}

// What docker lists and the kernel does not show is asked for, once; what a rung explains is not.
func TestInspects(t *testing.T) {
	list := `{"answer":{"kind":"docker","socket":"/run/docker.sock","containers":[{"id":"` + id64 + `","state":"running"}]}}`
	f := newHost()
	f.process(70, 1, "S", "dockerd", nil)
	f["ask/cmdline/70"] = ""
	f["ask/sockets"], f["ask/listeners"] = `[{"kind":"docker","path":"/run/docker.sock"}]`, `{}`
	f["ask/runtime/docker/run/docker.sock"] = list
	f["ask/inspect/"+id64] = `{"said":[{"question":"ping","took":1},{"question":"inspect","took":2,"silent":true}],"silent":true,"err":"e"}`
	h := rungsOf(t, f)
	if len(h.Ladder.Inspected) != 1 || h.Ladder.Inspected[0].Why == "" || snapshot.Silent(h.Ladder.Inspected[0].Said) == nil {
		t.Errorf("%+v", h.Ladder.Inspected)
	}
	f.process(90, 1, "S", "sleep", map[string]any{"cgroup": "0::/docker/" + id64 + "\n"})
	if h = rungsOf(t, f); len(h.Ladder.Inspected) != 0 {
		t.Errorf("it runs, and is inspected: %+v", h.Ladder.Inspected)
	}
	f["ask/runtime/docker/run/docker.sock"] = strings.Replace(list, "running", "exited", 1)
	if h = rungsOf(t, f); len(h.Ladder.Inspected) != 1 {
		t.Errorf("it runs, docker says exited: %+v", h.Ladder.Inspected)
	}
	f.process(80, 1, "T", "containerd-shim", map[string]any{"cwd": "-> " + bundle})
	f["ask/cmdline/80"] = ""
	if h = rungsOf(t, f); len(h.Ladder.Inspected) != 0 {
		t.Errorf("its shim is stopped, and it is inspected: %+v", h.Ladder.Inspected)
	}
}

// The child asks each shim, some of them at a time, and tells what it knows when time is up.
func TestChildShims(t *testing.T) {
	runtimestest.NoLeaks(t)
	answers := runtimestest.Serve(t, func(c net.Conn) {
		c.Read(make([]byte, 1))
		io.WriteString(c, "\x00\x00\x00\x02\x00\x00\x00\x01\x02\x00\x0a\x00")
	})
	silent := runtimestest.Serve(t, runtimestest.Swallow)
	garbage := runtimestest.Serve(t, runtimestest.Flood("garbage"))
	q := shimsQuestion{Proc: "/proc"}
	for i, at := range []string{answers, silent, garbage, "/nowhere"} {
		q.Shims = append(q.Shims, shimQuestion{PID: os.Getpid(), Start: uint64(i), ID: "x", Socket: at})
	}
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	began := time.Now()
	if err := childShims(&out, string(text)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > shimsWithin+time.Second {
		t.Errorf("took %v", took)
	}
	got := map[uint64]string{}
	for line := range bytes.Lines(out.Bytes()) {
		var a shimAnswer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		got[a.Start] = "not heard"
		if len(a.Said) == 1 {
			got[a.Start] = fmt.Sprint(a.Said[0].Question, a.Said[0].Silent)
		}
	}
	if diff := cmp.Diff(map[uint64]string{0: "connectfalse", 1: "connecttrue", 2: "not heard", 3: "not heard"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A stopped daemon is not asked, also where another of its name runs.
func TestStoppedByItsSocket(t *testing.T) {
	f := ladderHost()
	delete(f, "ask/runtime/containerd/run/docker/containerd/containerd.sock")
	f.process(71, 70, "T", "containerd", map[string]any{"fd/7": "-> socket:[700]"})
	f.process(72, 1, "S", "containerd", nil)
	f["ask/cmdline/72"] = ""
	h := rungsOf(t, f)
	if len(h.Runtimes) != 2 || h.Runtimes[1].Err != "not asked: containerd (pid 71) is stopped" {
		t.Errorf("%+v", h.Runtimes)
	}
}

// Who works is not silent, who sleeps is.
func TestWatch(t *testing.T) {
	for _, tt := range []struct {
		argv []string
		busy bool
	}{{[]string{"sh", "-c", "while :; do :; done"}, true}, {[]string{"sleep", "1000"}, false}} {
		cmd := exec.Command(tt.argv[0], tt.argv[1:]...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		pids := []string{fmt.Sprint(cmd.Process.Pid)}
		watched := func() bool {
			ran := watch(t.Context(), "/proc", pids)
			time.Sleep(watchAfter + 6*watchEach)
			return ran()
		}
		if tt.busy && !watched() {
			t.Errorf("%s: it did not run", tt.argv)
		}
		if !tt.busy { // on a starved machine it begins late, or too few looks tell
			hosttest.Until(t, time.Minute, fmt.Sprintf("%s sleeps", tt.argv), func() bool { return !watched() })
		}
	}
}

// Who was not looked at cannot be called idle.
func TestWatchTooShort(t *testing.T) {
	if !watch(t.Context(), "/proc", []string{"1"})() {
		t.Error("nobody looked, and it did not run")
	}
}

func TestSamePath(t *testing.T) {
	for _, tt := range []struct {
		root, bound, at string
		want            bool
	}{
		{"/", "/run/docker.sock", "/run/docker.sock", true},
		{"/", "/var/run/docker.sock", "/run/docker.sock", true},
		{"/", "/var/run/docker.sock", "/var/run/docker.sock", true},
		{"/host", "/run/docker.sock", "/host/run/docker.sock", true},
		{"", "/run/docker.sock", "/run/other.sock", false},
	} {
		if got := samePath(tt.root, tt.bound, tt.at); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
