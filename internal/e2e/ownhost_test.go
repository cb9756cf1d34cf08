package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount", "--ipc", "--mount-proc", "sh", "-ec",
		fmt.Sprintf("mkdir -p /run/sexton; mount -t tmpfs -o size=4m sexton /run/sexton; : >%s; exec %s sleep 1000", ready, filepath.Join(work, "bin/sexton-init")))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() })
	hosttest.Until(t, 20*time.Second, "the host is up", func() bool { return fileExists(ready) })
	first := pidIn(t, fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
	h := ownHost{
		world{patience: patience, enter: []string{"nsenter", "-t", strconv.Itoa(first), "-m", "-p", "-i"}},
		fmt.Sprintf("/proc/%d/root/proc", first),
	}
	hosttest.Until(t, 20*time.Second, "its init has started its child", func() bool { return h.pid("sleep") != 0 })
	return h
}

// pid finds a process by its name, as the host itself numbers it; 0 if there is none.
func (h ownHost) pid(comm string) int {
	files, _ := filepath.Glob(h.proc + "/[0-9]*/comm")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == comm {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return n
		}
	}
	return 0
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

// identity is a process's pid, start time and name.
func identity(dir string) (string, bool) {
	text, err := os.ReadFile(dir + "/stat")
	before, after, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if err != nil || !ok || len(fields) < 20 {
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
