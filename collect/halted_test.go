package collect

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/snapshot"
)

// versionOne gives a host the freezer and pids of cgroup version 1.
func versionOne(f fake) fake {
	f["/proc/1/mountinfo"] = "24 1 0:22 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n25 1 0:23 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n"
	return f
}

// A cgroup that is told to freeze and does not get there is told from a frozen
// one; one that was made by hand in the freezer's hierarchy alone does not make
// the root of the others frozen, where everybody is.
func TestVersionOneFreezer(t *testing.T) {
	f := versionOne(newHost())
	for name, state := range map[string]string{"/byhand": "FROZEN\n", "/docker/" + id64: "FREEZING\n", "/calm": "THAWED\n"} {
		f["/sys/fs/cgroup/freezer"+name+"/freezer.state"] = state
	}
	f["/sys/fs/cgroup/pids/docker/pids.max"], f["/sys/fs/cgroup/pids/docker/"+id64+"/pids.max"] = "max\n", "max\n"
	f.process(7, 1, "D", "byhand", map[string]any{"cgroup": "2:pids:/\n1:freezer:/byhand\n"})
	f.process(8, 1, "D", "app", map[string]any{"cgroup": "2:pids:/docker/" + id64 + "\n1:freezer:/docker/" + id64 + "\n"})
	f.process(9, 1, "S", "calm", map[string]any{"cgroup": "2:pids:/\n1:freezer:/calm\n"})
	f.process(10, 1, "S", "root", map[string]any{"cgroup": "2:pids:/\n1:freezer:/\n"})
	h := one(t, f)
	want := []snapshot.Cgroup{
		{Path: "/byhand", Frozen: true, Freezer: "/sys/fs/cgroup/freezer/byhand/freezer.state"},
		{Path: "/docker/" + id64, Container: id64, Freezing: true, Freezer: "/sys/fs/cgroup/freezer/docker/" + id64 + "/freezer.state"}}
	if diff := cmp.Diff(want, h.Cgroups); diff != "" {
		t.Errorf("cgroups (-want +got)\n%s", diff)
	}
	for pid, frozen := range map[int]bool{7: true, 8: false, 9: false, 10: false} {
		if got := h.Frozen(h.Process(pid)) != nil; got != frozen {
			t.Errorf("process %d is frozen: %v", pid, got)
		}
	}
}

// A thread was told to end if KILL is pending in it, if it is in its exit, or
// if its stack says so; a dead leader has none of these, nor a mount table.
func TestToldToEnd(t *testing.T) {
	f := newHost()
	thread := func(tid, flags string) string {
		return tid + " (app) D 1 7 7 0 -1 " + flags + " 0 0 0 0 0 0 0 0 20 0 5 0 1007 0 0\n"
	}
	f.process(7, 1, "Z", "app", map[string]any{"task/7/stat": thread("7", "12"), "mountinfo": "\n",
		"task/8/stat": thread("8", "0"), "task/8/status": "Pid:\t8\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n",
		"task/9/stat": thread("9", "4"), "task/10/stat": thread("10", "0"), "task/11/stat": thread("11", "0"),
		"task/10/stack": "[<0>] request_wait_answer+0x1/0x2\n[<0>] fuse_flush+0x1/0x2\n[<0>] do_exit+0x1/0x2\n", "task/10/wchan": "request_wait_answer",
		"task/10/mountinfo": "30 1 0:57 / /mnt/data rw - fuse.sshfs files:/ rw\n"})
	f["/proc/7/stat"] = "7 (app) Z 1 7 7 0 -1 12 0 0 0 0 0 0 0 0 20 0 5 0 1007 0 0\n"
	p := one(t, f).Process(7)
	got := map[int]bool{}
	for _, task := range p.Tasks {
		got[task.TID] = task.Killed
	}
	if diff := cmp.Diff(map[int]bool{8: true, 9: true, 10: true, 11: false}, got); diff != "" {
		t.Errorf("told to end (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]int{57}, p.FUSE); diff != "" {
		t.Errorf("mounts of the thread that waits (-want +got)\n%s", diff)
	}
}

// Of a process that a debugger holds, who that is and how often it ran; the latter
// of a stopped one, too.
func TestTraced(t *testing.T) {
	f := newHost()
	f.process(8, 1, "T", "stopped", map[string]any{"status": "Pid:\t8\n", "task/8/status": "Pid:\t8\nvoluntary_ctxt_switches:\t3\n"})
	f.process(7, 1, "t", "app", map[string]any{"status": "Pid:\t7\nTracerPid:\t90\n",
		"task/7/status": "Pid:\t7\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t2\n"})
	h := one(t, f)
	p := h.Process(7)
	if p.Detail == nil || p.Detail.Tracer != 90 || len(p.Tasks) != 1 || p.Tasks[0].Switches != 7 {
		t.Errorf("detail %+v, tasks %+v", p.Detail, p.Tasks)
	}
	if p := h.Process(8); len(p.Tasks) != 1 || p.Tasks[0].Switches != 3 {
		t.Errorf("stopped: tasks %+v", p.Tasks)
	}
}
