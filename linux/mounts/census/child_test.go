package census

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
)

const childVar = "SEXTON_CENSUS_CHILD"

// inChild runs the rest of the calling test in a process of its own, and
// reports whether this is that process.
func inChild(t *testing.T, attr *syscall.SysProcAttr) bool {
	t.Helper()
	if os.Getenv(childVar) != "" {
		return true
	}
	hosttest.NeedsRoot(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childVar+"=yes")
	cmd.SysProcAttr = attr
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// inOwnNamespace is inChild, in a mount namespace of its own that is private. What
// check is told ends the test if it is an error.
func inOwnNamespace(t *testing.T) (check func(error), here bool) {
	check = func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if !inChild(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}) {
		return check, false
	}
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	return check, true
}

// A process in a chroot, in a namespace whose "/" is covered, sees its own
// namespace as it sees all others: it reads it from another.
func TestOwnNamespaceFromOutside(t *testing.T) {
	needsStatmount(t)
	check, here := inOwnNamespace(t)
	if !here {
		return
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	check(err)
	all, err := mounts.ParseMountinfo(text)
	check(err)
	dir := t.TempDir()
	check(unix.Mount("room", dir, "tmpfs", 0, "size=64k"))
	check(os.MkdirAll(filepath.Join(dir, "plain/proc"), 0o755))
	check(unix.Mount("/proc", filepath.Join(dir, "plain/proc"), "", unix.MS_BIND, ""))
	check(unix.Mount("cover", "/", "tmpfs", 0, "size=64k"))
	check(unix.Chroot(filepath.Join(dir, "plain")))
	check(unix.Chdir("/"))

	c := read(t, Request{Whole: true})
	var stat unix.Stat_t
	check(unix.Stat("/proc/self/ns/mnt", &stat))
	var points []string
	for _, ns := range c.Namespaces {
		if ns.Inode == stat.Ino {
			for _, m := range ns.Mounts {
				points = append(points, m.MountPoint)
			}
		}
	}
	var want []string
	for _, m := range all {
		want = append(want, m.MountPoint)
	}
	want = append(want, dir, dir+"/plain/proc", "/")
	slices.Sort(points)
	slices.Sort(want)
	if unknown := lacks(c, stat.Ino); !slices.Equal(points, want) || len(unknown) != 0 {
		t.Errorf("got %q\nwant %q\nunknown %v", points, want, unknown)
	}
}

// What another mount on "/" covers, and no process stands below, is not seen by mountinfo; the
// census says so.
func TestCoveredRoot(t *testing.T) {
	if !inChild(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}) {
		return
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	cover, covered := fmt.Sprint("cover-", os.Getpid()), fmt.Sprint("covered-", os.Getpid()) // other trials' namespaces may live still
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	check(unix.Mount(covered, dir, "tmpfs", 0, "size=64k"))
	if got := withSource(read(t, Request{Way: Mountinfo}), covered); len(got) != 1 {
		t.Fatalf("before: %q", got)
	}
	check(unix.Mount(cover, "/", "tmpfs", 0, "size=64k"))
	check(unix.Chroot("/..")) // to the top mount of "/", for all threads
	check(unix.Chdir("/"))
	check(os.Mkdir("/proc", 0o755))
	check(unix.Mount("proc", "/proc", "proc", 0, ""))
	c := read(t, Request{Way: Mountinfo})
	if got := withSource(c, cover); len(got) != 1 {
		t.Errorf("the cover: %q", got)
	}
	if got := withSource(c, covered); len(got) != 0 {
		t.Errorf("it can be seen now, so say no more that it cannot: %q", got)
	}
	saysUnseen(t, c)
}

// Without privilege what can be seen is read, and the rest is said to be unknown.
func TestNotPrivileged(t *testing.T) {
	needsStatmount(t)
	if !inChild(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}) {
		return
	}
	c := read(t, Request{Whole: true})
	if nestedPIDs("/proc") { // found by walking, so others' are told of one by one
		if c.Way != Statmount || len(c.Unknown) < 2 || !strings.Contains(c.Unknown[0].Why, "CAP_SYS_ADMIN") {
			t.Errorf("way %s, unknown: %v", c.Way, c.Unknown)
		}
		return
	}
	if c.Way != Statmount || len(c.Namespaces) != 1 || len(c.Namespaces[0].Mounts) < 2 {
		t.Errorf("way %s, %d namespaces", c.Way, len(c.Namespaces))
	}
	if len(c.Unknown) < 2 || !strings.Contains(c.Unknown[0].Why, "CAP_SYS_ADMIN") || !strings.Contains(c.Unknown[1].What, "not below the root directory of this process") {
		t.Errorf("unknown: %v", c.Unknown)
	}
}

// A filter that forbids the calls, as container runtimes of some years ago have, is found out.
func TestFiltered(t *testing.T) {
	needsStatmount(t)
	if !inChild(t, nil) {
		return
	}
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS} {
		for _, call := range []uint32{unix.SYS_STATMOUNT, unix.SYS_LISTMOUNT} {
			done := make(chan string)
			go func() { // a filter stays: the thread ends with it
				runtime.LockOSThread()
				forbid(t, call, errno)
				way, why := Detect("/proc")
				done <- fmt.Sprintf("%s: %s", way, why)
			}()
			if got := <-done; !strings.HasPrefix(got, string(Mountinfo)) || !strings.HasSuffix(got, errno.Error()) {
				t.Errorf("call %d, %v: %s", call, errno, got)
			}
		}
	}
}

func forbid(t *testing.T, call uint32, errno unix.Errno) {
	const deny, allow = 0x50000, 0x7fff0000 // SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: deny | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Error(err)
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0); err != nil {
		t.Error(err)
	}
}

// While one namespace changes without end the census ends, says which did, and loses no other mount.
func TestChurn(t *testing.T) {
	needsStatmount(t)
	if !inChild(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}) {
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	first := mountstest.Start(t, 0, 0, 1).Plant(t, mountstest.Process) // nobody mounts in its namespace
	quiet := func() string {
		t.Helper()
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", first.PID))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	stop, ended := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if err := unix.Mount("churn", dir, "tmpfs", 0, "size=64k"); err != nil {
				ended <- err
				return
			}
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				ended <- err
				return
			}
		}
	}()
	var own unix.Stat_t
	if err := unix.Stat("/proc/self/ns/mnt", &own); err != nil {
		t.Fatal(err)
	}
	seen, text := false, quiet()
	hosttest.Until(t, time.Minute, "a census that did not settle", func() bool {
		c := read(t, Request{Passes: 2})
		if c.Passes != 2 || c.Settled != (len(c.Moving) == 0) {
			t.Errorf("%d passes, settled %t, moving %v", c.Passes, c.Settled, c.Moving)
		}
		was := text
		text = quiet() // a mount of the machine goes with its directory, also from there
		for _, ns := range c.Namespaces {
			if ns.Inode == first.Namespace && len(ns.Mounts) != strings.Count(text, "\n") && text == was {
				t.Errorf("%d mounts in the quiet namespace, want %d", len(ns.Mounts), strings.Count(text, "\n"))
			}
		}
		seen = seen || slices.Contains(c.Moving, own.Ino)
		return seen
	})
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	hosttest.Until(t, time.Minute, "a census that settles", func() bool { return !slices.Contains(read(t, Request{}).Moving, own.Ino) })
}

// Namespaces that come and go are no error.
func TestVanishing(t *testing.T) {
	needsStatmount(t)
	if !inChild(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}) {
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { ended <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			made := make(chan error)
			go func() {
				runtime.LockOSThread()
				made <- unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
			}()
			if err := <-made; err != nil {
				t.Error(err)
				return
			}
			n++
		}
	}()
	for range 100 {
		read(t, Request{Passes: 2, Whole: true})
	}
	close(stop)
	if n := <-ended; n < 20 {
		t.Errorf("only %d namespaces came and went", n)
	}
}
