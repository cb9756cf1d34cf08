package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/collect/door"
	"sexton.dev/snapshot"
)

// A fake is a host made of texts: files by path, links as "-> text", and
// errors as syscall.Errno.
type fake map[string]any

func (f fake) Taken() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func (f fake) ReadFile(name string) ([]byte, error) {
	switch v := f[name].(type) {
	case string:
		return []byte(v), nil
	case error:
		return nil, &door.Error{Op: "read", Path: name, Err: v}
	}
	return nil, &door.Error{Op: "read", Path: name, Err: syscall.ENOENT}
}

func (f fake) ReadLink(name string) (string, error) {
	text, err := f.ReadFile(name)
	return strings.TrimPrefix(string(text), "-> "), err
}

func (f fake) ReadDir(dir string) ([]string, error) {
	var names []string
	for name := range f {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			if !slices.Contains(names, first) {
				names = append(names, first)
			}
		}
	}
	slices.Sort(names)
	if err, ok := f[dir].(error); ok {
		return nil, &door.Error{Op: "readdir", Path: dir, Err: err}
	}
	return names, nil
}

func (f fake) Ask(name string, live func() ([]byte, error)) ([]byte, error) {
	if v, ok := f["ask/"+name]; ok {
		if err, ok := v.(error); ok {
			return nil, err
		}
		return []byte(v.(string)), nil
	}
	return live()
}

// process adds a process to a fake host.
func (f fake) process(pid, ppid int, state, comm string, more map[string]any) {
	dir := fmt.Sprintf("/proc/%d", pid)
	f[dir+"/stat"] = fmt.Sprintf("%d (%s) %s %d %d %d 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid, comm, state, ppid, pid, pid, 1000+pid)
	f[dir+"/status"] = fmt.Sprintf("Name:\t%s\nPid:\t%d\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nNSpid:\t%d\nSigPnd:\t%016x\n", comm, pid, pid, 0)
	f[dir+"/cgroup"] = "0::/\n"
	for name, v := range more {
		f[path.Join(dir, name)] = v
	}
}

func newHost() fake {
	f := fake{
		"/proc/sys/kernel/hostname":  "node1\n",
		"/proc/sys/kernel/osrelease": "6.12.0\n",
		"/proc/uptime":               "5000.00 100.00\n",
		"/proc/loadavg":              "0.00 0.00 0.00 1/77 4242\n",
		"/proc/sys/kernel/pid_max":   "32768\n", "/proc/sys/kernel/threads-max": "9999\n",
		"/proc/self/status":  "Pid:\t9\nCapEff:\t000001ffffffffff\n",
		"/proc/self/uid_map": "         0          0 4294967295\n",
		"/proc/1/mountinfo":  "24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
	}
	f.process(1, 0, "S", "systemd", nil)
	f.process(2, 0, "S", "kthreadd", map[string]any{"stat": "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0\n"})
	return f
}

const id64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func all() Options {
	return Options{
		Parts: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Threads, snapshot.Reaping, snapshot.Inits,
			snapshot.Budgets, snapshot.Frozen, snapshot.Names, snapshot.Earlier},
		Child: func(context.Context, ...string) ([]byte, error) { return nil, errors.New("no child in this test") },
	}
}

func one(t *testing.T, f fake) *snapshot.Host {
	t.Helper()
	f["ask/sockets"] = cmpOr(f["ask/sockets"], "[]")
	before, now := Looks(t.Context(), f, nil, all())
	if before != nil {
		t.Fatal("one look gave an earlier one")
	}
	return now
}

func cmpOr(v any, other string) any {
	if v == nil {
		return other
	}
	return v
}

func TestHostFacts(t *testing.T) {
	h := one(t, newHost())
	if h.Name != "node1" || h.Kernel != "6.12.0" || !h.Root || h.Uptime != 5000 {
		t.Errorf("host %q %q root %v uptime %v", h.Name, h.Kernel, h.Root, h.Uptime)
	}
	if want := (snapshot.Limits{PIDMax: 32768, ThreadsMax: 9999, Tasks: 77}); h.Limits != want {
		t.Errorf("limits %+v, want %+v", h.Limits, want)
	}
	if len(h.Unread) != 0 {
		t.Errorf("a whole host has unread parts: %v", h.Unread)
	}
	if len(h.Processes) != 2 || !h.Processes[1].Kernel {
		t.Errorf("processes %+v", h.Processes)
	}
}

// What cannot be read is told with its reason, and never as nothing.
func TestUnread(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(fake)
		want  snapshot.Unread
	}{
		{"no /proc", func(f fake) { f["/proc"] = fs.ErrPermission },
			snapshot.Unread{Part: snapshot.Processes, Path: "/proc", Err: "permission denied", Whole: true}},
		{"hidepid", func(f fake) {
			delete(f, "/proc/1/stat")
			delete(f, "/proc/1/status")
			delete(f, "/proc/1/cgroup")
			delete(f, "/proc/1/mountinfo")
		},
			snapshot.Unread{Part: snapshot.Processes, Path: "/proc", Err: "process 1 is not listed: mounted with hidepid, or not the host's /proc", Whole: true}},
		{"not root", func(f fake) { f["/proc/self/status"] = "Pid:\t9\nCapEff:\t0000000000000000\n" },
			snapshot.Unread{Part: snapshot.Processes, Path: "/proc of other users", Err: "needs root: system calls, kernel stacks and namespaces are hidden", Whole: true}},
		{"root of a user namespace", func(f fake) { f["/proc/self/uid_map"] = "0 1000 1\n" },
			snapshot.Unread{Part: snapshot.Processes, Path: "/proc of other users", Err: "needs root: system calls, kernel stacks and namespaces are hidden", Whole: true}},
		{"one process", func(f fake) { f.process(7, 1, "S", "sh", map[string]any{"stat": syscall.EACCES}) },
			snapshot.Unread{Part: snapshot.Processes, Path: "/proc/7/stat", Err: "permission denied"}},
		{"cut stat", func(f fake) { f.process(7, 1, "S", "sh", map[string]any{"stat": "7 (sh) S 1"}) },
			snapshot.Unread{Part: snapshot.Processes, Path: "/proc/7/stat", Err: ""}},
		{"pid_max", func(f fake) { f["/proc/sys/kernel/pid_max"] = "many\n" },
			snapshot.Unread{Part: snapshot.Budgets, Path: "/proc/sys/kernel/pid_max", Err: ""}},
		{"silent docker", func(f fake) {
			f["ask/sockets"] = `[{"kind":"docker","path":"/run/docker.sock"}]`
			f["ask/runtime/docker/run/docker.sock"] = `{"answer":{"kind":"docker","socket":"/run/docker.sock"},"err":"no answer in 1 s","silent":true}`
		}, snapshot.Unread{Part: snapshot.Names, Path: "docker at /run/docker.sock", Err: "no answer in 1 s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newHost()
			tt.spoil(f)
			h := one(t, f)
			i := slices.IndexFunc(h.Unread, func(u snapshot.Unread) bool { return u.Part == tt.want.Part && u.Path == tt.want.Path })
			if i < 0 {
				t.Fatalf("unread %v lacks %v", h.Unread, tt.want)
			}
			if got := h.Unread[i]; tt.want.Err != "" && got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A process that vanished between the list and the read is normal.
func TestVanished(t *testing.T) {
	f := newHost()
	f["/proc/7/stat"] = syscall.ESRCH
	f["/proc/8/comm"] = "gone\n"
	if h := one(t, f); len(h.Unread) != 0 || len(h.Processes) != 2 {
		t.Errorf("%v, %d processes", h.Unread, len(h.Processes))
	}
}

func TestContainer(t *testing.T) {
	f := newHost()
	scope := "/system.slice/docker-" + id64 + ".scope"
	f["/sys/fs/cgroup"+scope+"/pids.max"] = "50\n"
	f["/sys/fs/cgroup"+scope+"/pids.current"] = "45\n"
	f["/sys/fs/cgroup"+scope+"/pids.events"] = "max 3\n"
	f["/sys/fs/cgroup"+scope+"/cgroup.events"] = "populated 1\nfrozen 1\n"
	f["/sys/fs/cgroup/system.slice/pids.max"] = "max\n"
	f.process(70, 1, "S", "containerd-shim", nil)
	f.process(77, 70, "S", "sleep", map[string]any{"cgroup": "0::" + scope + "\n",
		"status": "Pid:\t77\nUid:\t0\t0\t0\t0\nNSpid:\t77\t1\nSigCgt:\t0000000000000000\n", "ns/pid": "-> pid:[4026532333]", "wchan": "do_nanosleep",
		"task/77/children": "80 79 \n"})
	f.process(79, 77, "Z", "curl", map[string]any{"cgroup": "0::" + scope + " (deleted)\n"})
	f.process(80, 77, "Z", "curl", map[string]any{"cgroup": "0::/\n"}) // as version 1 shows the dead
	f["ask/sockets"] = `[{"kind":"docker","path":"/run/docker.sock"}]`
	f["ask/runtime/docker/run/docker.sock"] = `{"answer":{"kind":"docker","socket":"/run/docker.sock","containers":[{"id":"` + id64 + `","name":"web","state":"running","image":"busybox","health":true}]}}`
	f["ask/inode/sys/fs/cgroup"+scope] = "4711"
	h := one(t, f)
	want := []snapshot.Container{{ID: id64, Runtime: "docker", Name: "web", Image: "busybox", State: "running", Cgroup: scope, Init: 77, Health: true, ListedBy: []string{"docker"}}}
	if diff := cmp.Diff(want, h.Containers); diff != "" {
		t.Errorf("containers (-want +got)\n%s", diff)
	}
	groups := []snapshot.Cgroup{{Path: scope, Container: id64, PIDs: 45, PIDsMax: 50, PIDsFail: 3, Frozen: true,
		Freezer: "/sys/fs/cgroup" + scope + "/cgroup.freeze", Inode: 4711}}
	if diff := cmp.Diff(groups, h.Cgroups); diff != "" {
		t.Errorf("cgroups (-want +got)\n%s", diff)
	}
	for _, pid := range []int{77, 79, 80} {
		if p := h.Process(pid); p.Container != id64 {
			t.Errorf("process %d is in container %q", pid, p.Container)
		}
	}
	d := h.Process(77).Detail
	if !h.Process(77).First() || d.PIDNS != 4026532333 || !slices.Equal(d.Children[0].Children, []int{80, 79}) {
		t.Errorf("detail %+v", d)
	}
	if h.Process(70).Container != "" || h.Process(70).Detail != nil {
		t.Errorf("the shim %+v", h.Process(70))
	}
}

// A container may name cgroups below its own as it likes: it must not change what is said of another.
func TestForgedPlace(t *testing.T) {
	f := newHost()
	other := strings.Repeat("f", 64)
	f.process(7, 1, "S", "honest", map[string]any{"cgroup": "0::/docker/" + other + "\n"})
	f.process(8, 1, "S", "forger", map[string]any{"cgroup": "0::/docker/" + id64 + "/docker/" + other + "\n"})
	h := one(t, f)
	if c := h.Container(other); c.Outer != "" || c.Cgroup != "/docker/"+other {
		t.Errorf("the honest container became %+v", c)
	}
}

// In a cgroup namespace paths begin with /..; what lies beside the namespace cannot be told, what lies at the root can.
func TestCgroupNamespace(t *testing.T) {
	f := newHost()
	f["/proc/2/cgroup"] = "0::/../..\n"
	f.process(7, 1, "S", "a", map[string]any{"cgroup": "0::/../../kubepods/pod1/" + id64 + "\n"})
	f.process(8, 1, "S", "b", map[string]any{"cgroup": "0::/../docker-" + strings.Repeat("b", 64) + ".scope\n"})
	h := one(t, f)
	if p := h.Process(7); p.Cgroup != "/kubepods/pod1/"+id64 || p.Container != id64 {
		t.Errorf("%+v", p)
	}
	if p := h.Process(8); p.Container != strings.Repeat("b", 64) {
		t.Errorf("%+v", p)
	}
}

// Only what a selected check needs is read.
func TestReadsNoMoreThanNeeded(t *testing.T) {
	f := counting{newHost(), map[string]int{}}
	f.process(7, 1, "S", "sh", nil)
	Looks(t.Context(), f, nil, Options{Parts: []snapshot.Part{snapshot.Processes}})
	for name := range f.reads {
		if strings.HasPrefix(name, "/proc/7/") && name != "/proc/7/stat" {
			t.Errorf("read %s", name)
		}
	}
	for name, n := range f.reads {
		if n > 1 {
			t.Errorf("read %s %d times", name, n)
		}
	}
}

type counting struct {
	fake
	reads map[string]int
}

func (c counting) ReadFile(name string) ([]byte, error) {
	c.reads[name]++
	return c.fake.ReadFile(name)
}

// Where /proc is that of a PID namespace below the machine's first, nothing that is not there counts as clear.
func TestNested(t *testing.T) {
	const first, other = "-> pid:[4026531836]", "-> pid:[4026532333]"
	for _, tt := range []struct {
		name      string
		one, self any
		want      bool
	}{
		{"the machine's", first, first, false},
		{"a container's", other, other, true},
		{"the host's, mounted in a container", first, other, false},
		{"a container's, seen from the host", other, first, true},
		{"PID 1 hides, the machine's", syscall.EACCES, first, false},
		{"PID 1 hides, a container's", syscall.EACCES, other, true},
		{"nobody tells", door.ErrNotRecorded, door.ErrNotRecorded, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newHost()
			f["/proc/1/ns/pid"], f["/proc/self/ns/pid"] = tt.one, tt.self
			for _, within := range []bool{false, true} {
				o := all()
				o.Within = within
				_, h := Looks(t.Context(), f, nil, o)
				lacks := slices.ContainsFunc(h.Unread, func(u snapshot.Unread) bool {
					return u.Part == snapshot.Processes && u.Whole && strings.Contains(u.Path, "outside of this PID namespace")
				})
				if h.Nested != tt.want || lacks != (tt.want && !within) {
					t.Errorf("within %t: nested %t, a lack %t", within, h.Nested, lacks)
				}
			}
		})
	}
}
