package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sexton.dev/snapshot"
)

// look takes one look for some parts.
func look(t *testing.T, f fake, parts ...snapshot.Part) *snapshot.Host {
	t.Helper()
	o := all()
	o.Parts, o.Since = append(parts, snapshot.Processes), time.Hour
	f["ask/sockets"] = cmpOr(f["ask/sockets"], "[]")
	_, now := Looks(t.Context(), f, nil, o)
	return now
}

const (
	killLine = "3,%d,%d,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=" + id64 + ",mems_allowed=0,oom_memcg=/docker/" + id64 +
		",task_memcg=/docker/" + id64 + ",task=sh,pid=77,uid=0\n3,%d,%d,-;Memory cgroup out of memory: Killed process 77 (sh) total-vm:26852kB, anon-rss:15884kB, file-rss:852kB, shmem-rss:0kB, UID:0 pgtables:80kB oom_score_adj:0\n"
)

func kill(seq, usec int) string { return fmt.Sprintf(killLine, seq, usec, seq+1, usec) }

func TestKernelLog(t *testing.T) {
	const head = "# clock 4000000000 2026-01-02T03:04:06Z\n"
	whole := func(text string) string { return head + "# first 0 0\n" + text }
	for _, tt := range []struct {
		name   string
		text   any
		times  []string
		unread []string
	}{
		{"a kill ten seconds ago", whole(kill(9, 3990_000000)), []string{"2026-01-02T03:03:56Z"}, nil},
		{"two kills", whole(kill(9, 3990_000000) + kill(20, 3991_000000)), []string{"2026-01-02T03:03:56Z", "2026-01-02T03:03:57Z"}, nil},
		{"a file has no clock but the host's uptime", kill(9, 4990_000000), []string{"2026-01-02T03:03:55Z"}, nil},
		{"nothing", whole(""), nil, nil},
		{"a program writes what looks so", whole(strings.ReplaceAll(kill(9, 3990_000000), "3,", "12,")), nil, nil},
		{"overwritten within the hour", head + "# first 700 3000000000\n", nil, []string{"its oldest record is of 2026-01-02T02:47:26Z: what it told before has been overwritten"}},
		{"booted a minute ago", "# clock 60000000 2026-01-02T03:04:06Z\n# first 0 0\n", nil, nil},
		{"overwritten before", head + "# first 700 100000000\n", nil, nil},
		{"overwritten while it was read", head + "# lost 3\n# first 7 0\n# lost 9\n", nil, []string{"12 records were overwritten while it was read"}},
		{"not a record", whole("x\n" + kill(9, 3990_000000)), []string{"2026-01-02T03:03:56Z"}, []string{`kmsg: unexpected format: no header in "x"`}},
		{"hidden", syscall.EPERM, nil, []string{"operation not permitted"}},
		{"not there", syscall.ENOENT, nil, []string{"no such file or directory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newHost()
			f["ask/kmsg"] = tt.text
			h := look(t, f, snapshot.Log)
			var times, unread []string
			if h.Log != nil {
				for _, e := range h.Log.Events {
					times = append(times, e.Time.Format(time.RFC3339))
					if e.Family != "oom" || e.Container != id64 || e.Process != "sh" || e.PID != 77 || e.Cgroup != "/docker/"+id64 {
						t.Errorf("%+v", e)
					}
				}
				if !h.Log.PIDs {
					t.Error("kthreadd is there, so these are the kernel's numbers")
				}
			}
			for _, u := range h.Unread {
				unread = append(unread, u.Err)
				if u.Whole != (h.Log == nil) {
					t.Errorf("%+v", u)
				}
			}
			if diff := cmp.Diff([2][]string{tt.times, tt.unread}, [2][]string{times, unread}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Limits and counters of both versions, and of the pod around a container.
func TestMemory(t *testing.T) {
	const pod = "/kubepods/pod95387fa4-da9c-11e7-9d36-5254b24cbf5e"
	group := pod + "/" + id64
	second := newHost()
	second["/sys/fs/cgroup"+group+"/memory.max"] = "67108864\n"
	second["/sys/fs/cgroup"+group+"/memory.current"] = "4096\n"
	second["/sys/fs/cgroup"+group+"/memory.events"] = "low 0\nhigh 0\nmax 35\noom 1\noom_kill 2\noom_group_kill 0\n"
	second["/sys/fs/cgroup"+pod+"/memory.max"] = "max\n"
	second["/sys/fs/cgroup"+pod+"/memory.events"] = "max 0\noom 0\noom_kill 0\n"
	second.process(77, 1, "S", "sh", map[string]any{"cgroup": "0::" + group + "\n"})

	first := newHost()
	first["/proc/1/mountinfo"] = "24 1 0:22 / /m rw - cgroup cgroup rw,memory\n25 1 0:23 / /p rw - cgroup cgroup rw,pids\n"
	for _, at := range []string{"/m" + group, "/m" + pod} {
		first[at+"/memory.limit_in_bytes"] = "9223372036854771712\n"
		first[at+"/memory.usage_in_bytes"] = "4096\n"
		first[at+"/memory.failcnt"] = "0\n"
		first[at+"/memory.oom_control"] = "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"
	}
	first["/m"+group+"/memory.limit_in_bytes"] = "67108864\n"
	first["/m"+group+"/memory.failcnt"] = "35\n"
	first["/m"+group+"/memory.oom_control"] = "oom_kill_disable 1\nunder_oom 1\noom_kill 2\n"
	first.process(77, 1, "S", "sh", map[string]any{"cgroup": "2:memory:" + group + "\n1:pids:/\n"})

	old := newHost()
	for name, v := range first {
		old[name] = v
	}
	old["/m"+group+"/memory.oom_control"] = "oom_kill_disable 0\nunder_oom 0\n" // before Linux 4.13

	garbage := newHost()
	for name, v := range second {
		garbage[name] = v
	}
	garbage["/sys/fs/cgroup"+group+"/memory.max"] = "-1\n"
	for _, tt := range []struct {
		name   string
		f      fake
		want   snapshot.Memory
		unread int
	}{
		{"version 2", second, snapshot.Memory{Limit: 64 << 20, Used: 4096, Kills: 2, Reached: 35}, 0},
		{"version 1", first, snapshot.Memory{Limit: 64 << 20, Used: 4096, Kills: 2, Reached: 35, Waiting: true}, 0},
		{"version 1 without a count", old, snapshot.Memory{Limit: 64 << 20, Used: 4096, Reached: 35}, 0},
		{"not a number", garbage, snapshot.Memory{Used: 4096, Kills: 2, Reached: 35}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := look(t, tt.f, snapshot.MemoryUse)
			want := []snapshot.Cgroup{{Path: group, Container: id64, Memory: &tt.want}}
			if diff := cmp.Diff(want, h.Cgroups); diff != "" || len(h.Unread) != tt.unread {
				t.Errorf("unread %+v (-want +got)\n%s", h.Unread, diff)
			}
		})
	}
}

// Both sides of a fifo, in the calls and kernel functions of several kernels.
func TestFifos(t *testing.T) {
	root := "/run/containerd/runc/moby"
	file := root + "/" + id64 + "/exec.fifo"
	const status = "Pid:\t1\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t2\n"
	fill := func(text string) string {
		f := strings.Fields(text)
		for len(f) < 7 {
			f = append(f, "0x0")
		}
		return strings.Join(f, " ")
	}
	thread := func(syscall, wchan string) map[string]any {
		return map[string]any{"task/70/syscall": syscall, "task/70/wchan": wchan, "task/70/status": status}
	}
	reads := fill("257 0xffffffffffffff9c 0xc0001 0x80000") + " 0x7ffc 0x7f00\n"
	writes := fill("257 0xffffffffffffff9c 0xc0001 0x80001") + " 0x7ffc 0x7f00\n"
	wait := func(held bool) *snapshot.FifoWait {
		return &snapshot.FifoWait{PID: 70, Start: 1070, TID: 70, Switches: 7, Held: held}
	}
	argv := func(words ...string) string { return strings.Join(words, "\x00") + "\x00" }
	start := argv("runc", "--root", root, "--log=/x", "start", id64)
	for _, tt := range []struct {
		name, comm, argv string
		more             map[string]any
		path             string // "": no wait
		reader, writer   *snapshot.FifoWait
		unread           int
	}{
		{name: "runc start", comm: "runc", argv: start, more: thread(reads, "wait_for_partner"), path: file, reader: wait(false)},
		{name: "docker's own runc, an old kernel, open", comm: "docker-runc", argv: argv("docker-runc", "--root="+root, "start", id64),
			more: thread(fill("2 0xc0001 0x80000")+" 0x0 0x0\n", "pipe_wait"), path: file, reader: wait(false)},
		{name: "the default root", comm: "runc", argv: argv("runc", "start", "web"), more: thread(reads, "wait_for_partner"), path: "/run/runc/web/exec.fifo", reader: wait(false)},
		{name: "runc run", comm: "runc", argv: argv("runc", "run", "-d", "web"), more: thread(reads, "fifo_open"), path: "/run/runc/web/exec.fifo", reader: wait(false)},
		{name: "an init", comm: "runc:[2:INIT]", more: merge(thread(writes, "wait_for_partner"), map[string]any{"fd/3": "-> /dev/null", "fd/5": "-> " + file}), path: file, writer: wait(false)},
		{name: "an old init, by its directory", comm: "runc:[2:INIT]", more: merge(thread(fill("257 0x5 0xc0001 0x80001")+" 0x0 0x0\n", "wait_for_partner"), map[string]any{"fd/5": "-> " + root + "/" + id64}), path: file, writer: wait(false)},
		{name: "a stopped init", comm: "runc:[2:INIT]", more: merge(thread(writes, "do_signal_stop"), map[string]any{"fd/5": "-> " + file}), path: file, writer: wait(true)},
		{name: "a hidden wchan", comm: "runc", argv: start, more: merge(thread(reads, "0"), map[string]any{"task/70/stack": "[<0>] wait_for_partner+0x1/0x2\n[<0>] fifo_open+0x1/0x2\n"}), path: file, reader: wait(false)},
		{name: "opens a file", comm: "runc", argv: start, more: thread(reads, "nfs_wait_bit_killable")},
		{name: "reads and writes", comm: "runc", argv: start, more: thread(fill("257 0xffffffffffffff9c 0xc0001 0x80002")+" 0x0 0x0\n", "wait_for_partner")},
		{name: "another call", comm: "runc", argv: start, more: thread(fill("202 0x0 0x0 0x0")+" 0x0 0x0\n", "wait_for_partner")},
		{name: "runs", comm: "runc", argv: start, more: thread("running\n", "0")},
		{name: "another program", comm: "sh", argv: start, more: thread(reads, "wait_for_partner")},
		{name: "an id that leads away", comm: "runc", argv: argv("runc", "start", "../x"), more: thread(reads, "wait_for_partner"), unread: 1},
		{name: "no id", comm: "runc", argv: argv("runc", "--root", root, "start"), more: thread(reads, "wait_for_partner"), path: root + "/start/exec.fifo", reader: wait(false)},
		{name: "a root that is no path", comm: "runc", argv: argv("runc", "--root", "x", "start", "web"), more: thread(reads, "wait_for_partner"), unread: 1},
		{name: "no command line", comm: "runc", argv: "", more: thread(reads, "wait_for_partner"), unread: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newHost()
			f["/proc/sys/kernel/arch"] = "x86_64\n"
			f.process(70, 1, "S", tt.comm, tt.more)
			f["ask/cmdline/70"] = tt.argv
			f["ask/exec-fifos"] = `[{"path":"` + tt.path + `","device":"0:24","inode":9,"init":{"pid":3,"start":4}}]`
			h := look(t, f, snapshot.Fifos)
			var want []snapshot.Fifo
			if tt.path != "" {
				want = []snapshot.Fifo{{Path: tt.path, Container: filepath.Base(filepath.Dir(tt.path)), Device: "0:24", Inode: 9, Reader: tt.reader, Writer: tt.writer, Init: &snapshot.ID{PID: 3, Start: 4}}}
			}
			if diff := cmp.Diff(want, h.Fifos); diff != "" || len(h.Unread) != tt.unread {
				t.Errorf("unread %+v (-want +got)\n%s", h.Unread, diff)
			}
		})
	}
}

// runc's own path and that of the init's descriptor may be two of one fifo.
func TestFifoOfTwoPaths(t *testing.T) {
	f := newHost()
	f["/proc/sys/kernel/arch"] = "x86_64\n"
	const status = "Pid:\t1\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t2\n"
	f.process(70, 1, "S", "runc", map[string]any{"task/70/syscall": "257 0xffffffffffffff9c 0x1 0x80000 0x0 0x0 0x0 0x0 0x0\n", "task/70/wchan": "wait_for_partner", "task/70/status": status})
	f.process(60, 1, "T", "runc:[2:INIT]", map[string]any{"task/60/syscall": "257 0xffffffffffffff9c 0x1 0x80001 0x0 0x0 0x0 0x0 0x0\n", "task/60/wchan": "do_signal_stop", "task/60/status": status,
		"fd/5": "-> /run/docker/web/exec.fifo"})
	f["ask/cmdline/70"] = "runc\x00--root\x00/var/run/docker\x00start\x00web\x00"
	f["ask/cmdline/60"] = "runc\x00init\x00"
	for _, paths := range [][2]string{{"/var/run/docker/web/exec.fifo", "/run/docker/web/exec.fifo"}, {"/run/docker/web/exec.fifo", "/var/run/docker/web/exec.fifo"}} {
		f["ask/exec-fifos"] = `[{"path":"` + paths[0] + `","device":"0:24","inode":9},{"path":"` + paths[1] + `","device":"0:24","inode":9}]`
		h := look(t, f, snapshot.Fifos)
		if len(h.Fifos) != 1 || h.Fifos[0].Path != "/var/run/docker/web/exec.fifo" || h.Fifos[0].Reader == nil || h.Fifos[0].Writer == nil || !h.Fifos[0].Writer.Held {
			t.Errorf("%+v", h.Fifos)
		}
	}
}

func merge(a, b map[string]any) map[string]any {
	for k, v := range b {
		a[k] = v
	}
	return a
}

// The child looks at a fifo without opening it, and leaves no root by any link.
func TestLookAtFifo(t *testing.T) {
	root := t.TempDir()
	const state = `{"id":"x","init_process_pid":8916,"init_process_start":1496156,"config":{}}`
	put := func(dir, state string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkfifo(filepath.Join(root, dir, "exec.fifo"), 0o622); err != nil {
			t.Fatal(err)
		}
		if state != "" {
			if err := os.WriteFile(filepath.Join(root, dir, "state.json"), []byte(state), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("run/runc/new", state)
	put("run/runc/old", `{"init_process_pid":8916,"init_process_start":"1496156"}`)
	put("run/runc/none", "")
	put("run/runc/garbage", "{")
	put("run/runc/negative", `{"init_process_pid":-1,"init_process_start":4}`)
	for link, to := range map[string]string{"var": "/", "run/runc/out": "/../../../../../../../etc", "run/runc/file": "/run/runc/none"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "run/runc/plain"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "run/runc/plain/exec.fifo"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	init := &snapshot.ID{PID: 8916, Start: 1496156}
	for path, want := range map[string]struct {
		init *snapshot.ID
		err  string
	}{
		"/run/runc/new/exec.fifo": {init, ""}, "/run/runc/old/exec.fifo": {init, ""}, "/var/run/runc/new/exec.fifo": {init, ""},
		"/run/runc/none/exec.fifo": {nil, "state.json"}, "/run/runc/garbage/exec.fifo": {nil, "state.json"}, "/run/runc/negative/exec.fifo": {nil, "process -1"},
		"/run/runc/out/passwd": {nil, "no such file"}, "/run/runc/gone/exec.fifo": {nil, "no such file"}, "/run/runc/plain/exec.fifo": {nil, "is no fifo"},
	} {
		text, err := json.Marshal([]fifoQuestion{{path, 1}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, "proc/1"), 0o700); err != nil {
			t.Fatal(err)
		}
		os.Symlink(root, filepath.Join(root, "proc/1/root"))
		var out strings.Builder
		if err := childFifos(&out, filepath.Join(root, "proc"), string(text)); err != nil {
			t.Fatal(err)
		}
		var got []fifoAnswer
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil || len(got) != 1 {
			t.Fatalf("%v: %s", err, out.String())
		}
		if diff := cmp.Diff(want.init, got[0].Init); diff != "" || !strings.Contains(got[0].Err, want.err) || (want.err == "") != (got[0].Err == "") {
			t.Errorf("%s: %q %s", path, got[0].Err, diff)
		}
	}
}

// A silent file system under the state of containers takes a second and no more.
func TestFifosSilent(t *testing.T) {
	f := newHost()
	f["/proc/sys/kernel/arch"] = "x86_64\n"
	f.process(70, 1, "S", "runc", map[string]any{"task/70/syscall": "257 0xffffffffffffff9c 0x1 0x80000 0x0 0x0 0x0 0x0 0x0\n", "task/70/wchan": "wait_for_partner"})
	f["ask/cmdline/70"] = "runc\x00start\x00web\x00"
	o := all()
	o.Parts = []snapshot.Part{snapshot.Processes, snapshot.Fifos}
	o.Child = func(ctx context.Context, args ...string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
	f["ask/sockets"] = "[]"
	began := time.Now()
	_, h := Looks(t.Context(), f, nil, o)
	if took := time.Since(began); took > 2*fifosLimit || len(h.Fifos) != 1 || h.Fifos[0].Init != nil || len(h.Unread) != 1 {
		t.Errorf("after %v: %+v, %+v", took, h.Fifos, h.Unread)
	}
}
