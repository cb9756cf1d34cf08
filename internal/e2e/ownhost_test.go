package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// An ownHost is a host within the sandbox: PID and mount namespaces with a /proc
// and a /run/sexton of their own, and sexton-init as their first process. A heal of
// all of it touches nothing else, so that several run beside each other.
type ownHost struct {
	world
	proc string // its /proc, as the sandbox sees it
}

// newHost starts a host. Nobody may need longer than patience in it.
func newHost(t *testing.T, patience time.Duration) ownHost {
	t.Helper()
	for _, name := range []string{"unshare", "nsenter"} {
		_, err := exec.LookPath(name)
		hosttest.Needs(t, name, err == nil, "scripts/install-test-needs.sh")
	}
	ready := filepath.Join(t.TempDir(), "ready")
	group := fmt.Sprintf("%s/host%d", filepath.Base(work), hosts.Add(1))
	log := ownLog(t, group)
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount", "--ipc", "--mount-proc", "sh", "-ec",
		fmt.Sprintf("mkdir -p /run/sexton; mount -t tmpfs -o size=4m sexton /run/sexton; mount --bind %s /dev/kmsg; : >%s; exec %s sleep 1000", log, ready, filepath.Join(work, "bin/sexton-init")))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() })
	hosttest.Until(t, soon, "the host is up", func() bool { return fileExists(ready) })
	first := pidIn(t, fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
	h := ownHost{
		world{patience: patience, enter: []string{"nsenter", "-t", strconv.Itoa(first), "-m", "-p", "-i", "sh", "-c", inGroup(group)}},
		fmt.Sprintf("/proc/%d/root/proc", first),
	}
	hosttest.Until(t, soon, "its init has started its child", func() bool { return h.pid("sleep") != 0 })
	return h
}

// hosts counts them.
var hosts atomic.Int32

// inGroup is a script that runs a command in control groups of a host, where there are
// any: what the kernel tells of those below them is known as that host's.
func inGroup(group string) string {
	return fmt.Sprintf(`for at in /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/freezer; do
		test -e $at/cgroup.procs || continue
		mkdir -p $at/%[1]s/in
		test ! -e $at/cgroup.subtree_control || for up in $at/%[2]s $at/%[1]s; do echo +memory >$up/cgroup.subtree_control; done
		echo $$ >$at/%[1]s/in/cgroup.procs
	done
	exec "$0" "$@"`, group, path.Dir(group))
}

// pid finds the process with a name that has the lowest number, as the host itself
// numbers it; 0 if there is none.
func (h ownHost) pid(comm string) (lowest int) {
	files, _ := filepath.Glob(h.proc + "/[0-9]*/comm")
	for _, file := range files {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == comm && (lowest == 0 || n < lowest) {
			lowest = n
		}
	}
	return lowest
}

// start runs a script in a host and returns the process that takes a name, as the
// host numbers it. In the script "as NAME" takes one and sleeps.
func (h ownHost) start(t *testing.T, script, comm string) int {
	t.Helper()
	as := fmt.Sprintf(`as() { ln -s "$(command -v sleep)" %[1]s/$1; exec %[1]s/$1 1000; }; export -f as; `, t.TempDir())
	argv := slices.Concat(h.enter, []string{"bash", "-ec", as + script})
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() })
	hosttest.Until(t, soon, comm+" runs", func() bool { return h.pid(comm) != 0 && h.settled(h.pid(comm)) })
	return h.pid(comm)
}

// settled reports whether a process that is to sleep does: before, it opens and closes files.
func (h ownHost) settled(pid int) bool {
	exe, _ := os.Readlink(fmt.Sprintf("%s/%d/exe", h.proc, pid))
	wchan, _ := os.ReadFile(fmt.Sprintf("%s/%d/wchan", h.proc, pid))
	return filepath.Base(exe) != "sleep" || strings.Contains(string(wchan), "nanosleep")
}

// outer is a process's number in the sandbox.
func (h ownHost) outer(t *testing.T, pid int) int {
	t.Helper()
	n, ok := h.find(pid)
	if !ok {
		t.Fatalf("process %d of the host is not in the sandbox", pid)
	}
	return n
}

// find is outer; not ok if the process has ended.
func (h ownHost) find(pid int) (n int, ok bool) {
	space, err := os.Readlink(fmt.Sprintf("%s/%d/ns/pid", h.proc, pid))
	if err != nil {
		return 0, false
	}
	for _, n := range pids() {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", n))
		_, numbers, _ := strings.Cut(string(text), "\nNSpid:")
		numbers, _, _ = strings.Cut(numbers, "\n")
		fields := strings.Fields(numbers) // in the sandbox, in the host, and so on
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", n))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && link == space {
			return n, true
		}
	}
	return 0, false
}

// debugger traces a process of a host, which runs on, until it is told to end.
func (h ownHost) debugger(t *testing.T, pid string) (end func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := slices.Concat(h.enter, []string{exe, pid})
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), roleVar+"=debugger")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() }
	t.Cleanup(end)
	hosttest.Until(t, soon, "it is traced", func() bool { return len(h.state(t).traced) == 1 })
	return end
}

// beDebugger traces a process, lets its signals pass and waits to be killed.
func beDebugger(pid string) int {
	runtime.LockOSThread() // whose tracee it is
	os.WriteFile("/proc/self/comm", []byte("debugger"), 0)
	n, err := strconv.Atoi(pid)
	if err == nil {
		err = unix.PtraceSeize(n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		var s syscall.WaitStatus
		if _, err := syscall.Wait4(n, &s, unix.WALL, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		syscall.PtraceCont(n, int(s.StopSignal()))
	}
}

// A state is what a plan must not change, and a heal no more of than it says. The
// values are sets.
type state struct {
	mounts    map[string]bool // namespace, unique id, line of mountinfo
	processes map[string]bool // pid, start, comm
	files     map[string]bool // pid, start, number, link
	traced    []string
}

var (
	busy = []string{"nsenter", "sexton", "sexton-init", "exe", "sexton-lab:exec"} // who looks, who reaps that, and who makes orphans
	fed  = []string{"sexton-lab:feed", "sexton-lab:orph"}                         // the zombies' feeder and what it has fed: their files come and go
)

// state reads a host's files in /proc, of which none blocks.
func (h ownHost) state(t *testing.T) state {
	t.Helper()
	s := state{map[string]bool{}, map[string]bool{}, map[string]bool{}, nil}
	spaces := map[string]bool{}
	dirs, err := filepath.Glob(h.proc + "/[0-9]*")
	if err != nil || len(dirs) < 2 {
		t.Fatalf("%d processes, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		who, ok := identity(dir)
		comm := who[strings.LastIndex(who, " ")+1:]
		if !ok || slices.Contains(busy, comm) {
			continue
		}
		s.processes[who] = true
		fds, _ := os.ReadDir(dir + "/fd")
		if slices.Contains(fed, comm) {
			fds = nil
		}
		for _, fd := range fds {
			if link, err := os.Readlink(dir + "/fd/" + fd.Name()); err == nil && !strings.HasPrefix(link, "pipe:") { // up lets go of its own when it has returned
				s.files[who+" "+fd.Name()+" "+link] = true
			}
		}
		if status, err := os.ReadFile(dir + "/status"); err == nil && !strings.Contains(string(status), "TracerPid:\t0\n") {
			s.traced = append(s.traced, who)
		}
		threads, _ := filepath.Glob(dir + "/task/[0-9]*")
		for _, thread := range threads {
			if space, err := os.Readlink(thread + "/ns/mnt"); err == nil && !spaces[space] {
				spaces[space] = true
				readMounts(t, s.mounts, space, thread)
			}
		}
	}
	return s
}

// identity is a process's pid, start time and name. One that was forked and has not
// executed anything has none: for a moment it has the name of who forked it, as each
// child of the zombies' feeder.
func identity(dir string) (string, bool) {
	const forked = 0x40 // PF_FORKNOEXEC: Linux 6.12 include/linux/sched.h
	text, err := os.ReadFile(dir + "/stat")
	before, after, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if err != nil || !ok || len(fields) < 20 {
		return "", false
	}
	if flags, err := strconv.ParseUint(fields[6], 10, 64); err != nil || flags&forked != 0 {
		return "", false
	}
	pid, comm, _ := strings.Cut(before, " (")
	return fmt.Sprintf("%s %s %s", pid, fields[19], comm), true
}

// readMounts adds the mounts that a thread sees, with the ids that are not used again.
func readMounts(t *testing.T, to map[string]bool, space, thread string) {
	t.Helper()
	text, err := os.ReadFile(thread + "/mountinfo")
	if err != nil {
		return // it ended
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		var old, unique unix.Statx_t
		at := thread + "/root" + words[4]
		const flags = unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC | unix.AT_SYMLINK_NOFOLLOW
		unix.Statx(unix.AT_FDCWD, at, flags, unix.STATX_MNT_ID, &old)
		if err := unix.Statx(unix.AT_FDCWD, at, flags, unix.STATX_MNT_ID_UNIQUE, &unique); err != nil || strconv.FormatUint(old.Mnt_id, 10) != words[0] {
			unique.Mnt_id = 0 // something is mounted on it, or it is out of reach
		}
		to[fmt.Sprintf("%s %d %s", space, unique.Mnt_id, strings.TrimSpace(line))] = true
	}
}

// lost is what of a set is not in another one.
func lost(before, after map[string]bool) []string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(before)) {
		if !after[what] {
			out = append(out, what)
		}
	}
	return out
}
