package door

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

func open(t testing.TB, root, proc string) *Live {
	t.Helper()
	l, err := Open(root, proc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// fakeRoot writes files below a new directory; a value "-> x" makes a link and
// "dir" a directory.
func fakeRoot(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, full)
		} else if text == "dir" {
			err = os.MkdirAll(full, 0o755)
		} else {
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// All looks of a host count together, and reads that fail count too.
func TestReads(t *testing.T) {
	l := open(t, "/", "")
	_, before := l.Reads()
	l.ReadFile("/proc/self/stat")
	l.Look().ReadDir("/proc/self/task")
	l.ReadLink("/proc/self/none")
	if underWay, ended := l.Reads(); underWay != 0 || ended != before+3 {
		t.Errorf("%d reads under way, %d ended, %d before", underWay, ended, before)
	}
}

func TestLiveProc(t *testing.T) {
	l := open(t, "/", "")
	self := fmt.Sprintf("/proc/%d", os.Getpid())

	text, err := l.ReadFile(self + "/stat")
	if err != nil || !bytes.HasPrefix(text, fmt.Appendf(nil, "%d (", os.Getpid())) {
		t.Errorf("stat: %q, %v", text, err)
	}
	if link, err := l.ReadLink("/proc/self"); err != nil || link != strconv.Itoa(os.Getpid()) {
		t.Errorf("self: %q, %v", link, err)
	}
	exe, _ := os.Executable()
	if link, err := l.ReadLink(self + "/exe"); err != nil || link != exe {
		t.Errorf("exe: %q, %v; want %q", link, err, exe)
	}
	names, err := l.ReadDir("/proc")
	if err != nil || !slices.Contains(names, "1") || !slices.Contains(names, strconv.Itoa(os.Getpid())) {
		t.Errorf("readdir: %q, %v", names, err)
	}
	if slices.Contains(names, ".") || slices.Contains(names, "..") {
		t.Errorf("readdir has . or ..: %q", names)
	}
	want, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.ReadFile("/proc/self/mountinfo"); err != nil || !bytes.Equal(got, maskMounts(want)) {
		t.Errorf("mountinfo differs from what os.ReadFile gives: %v", err)
	}
	if _, err := l.ReadFile("/proc/net/unix"); err != nil {
		t.Errorf("behind the link net: %v", err)
	}
	if _, err := l.ReadDir("/sys/block"); err != nil {
		t.Error(err)
	}
	if data, err := l.Ask("x", func() ([]byte, error) { return []byte("y"), nil }); string(data) != "y" || err != nil {
		t.Errorf("ask: %q, %v", data, err)
	}
}

func TestLiveErrors(t *testing.T) {
	l := open(t, "/", "")
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	_, err := l.ReadFile(fmt.Sprintf("/proc/%d/stat", gone.Process.Pid))
	if !Gone(err) {
		t.Errorf("a reaped process: %v", err)
	}
	if e, ok := errors.AsType[*Error](err); !ok || e.Op != "read" {
		t.Errorf("not an Error of read: %#v", err)
	}
	if _, err := l.ReadFile("/sys/kernel/no_such_file"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := l.ReadLink("/proc/1/ns/no"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := l.ReadFile("/sys/kernel"); !errors.Is(err, syscall.EISDIR) {
		t.Error(err)
	}
	if _, err := l.ReadDir("/sys/kernel/uevent_seqnum"); !errors.Is(err, syscall.ENOTDIR) {
		t.Error(err)
	}
	broken := errors.New("broken")
	if _, err := l.Ask("x", func() ([]byte, error) { return nil, broken }); !errors.Is(err, broken) || err.Error() != "ask x: broken" {
		t.Error(err)
	}
}

// A process that is dead and not reaped has no memory and no files, but a stat.
func TestLiveZombie(t *testing.T) {
	child := exec.Command("true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	l := open(t, "/", "")
	hosttest.Until(t, 10*time.Second, "child is a zombie", func() bool {
		text, err := l.ReadFile(fmt.Sprintf("/proc/%d/stat", child.Process.Pid))
		return err == nil && bytes.Contains(text, []byte(") Z "))
	})
	if _, err := l.ReadLink(fmt.Sprintf("/proc/%d/exe", child.Process.Pid)); !Gone(err) {
		t.Errorf("exe of a zombie: %v", err)
	}
}

// asNobody runs f in a thread that is uid 65534, which then ends.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	hosttest.NeedsRoot(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		const nobody = 65534
		for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
			if _, _, errno := unix.RawSyscall(call, nobody, nobody, nobody); errno != 0 {
				t.Error(errno)
				return
			}
		}
		f()
	})
	wg.Wait()
}

func TestLiveAsNobody(t *testing.T) {
	asNobody(t, func() {
		l := open(t, "/", "")
		if _, err := l.ReadFile("/proc/1/stat"); err != nil {
			t.Errorf("stat is for all: %v", err)
		}
		if _, err := l.ReadFile("/proc/1/stack"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("stack of pid 1: %v", err)
		}
		if _, err := l.ReadLink("/proc/1/exe"); !errors.Is(err, syscall.EACCES) {
			t.Errorf("exe of pid 1: %v", err)
		}
		if _, err := l.ReadDir("/proc/1/fd"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("fd of pid 1: %v", err)
		}
	})
}

func TestLiveFakeTree(t *testing.T) {
	root := fakeRoot(t, map[string]string{
		"proc/7/stat":          "7 (x) S",
		"proc/7/exe":           "-> /bin/\xff",
		"proc/self":            "-> 7",
		"proc/8/status":        "-> /etc/hostname",
		"proc/9":               "-> /proc/1",
		"proc/10":              "-> ../../../../../../../../../../proc/1",
		"proc/7/fd":            "dir",
		"sys/block/sda":        "-> ../devices/sda",
		"sys/devices/sda":      "dir",
		"sys/devices/sda/size": "8\n",
	})
	if err := unix.Mkfifo(filepath.Join(root, "proc/7/comm"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, root, "")
	if text, err := l.ReadFile("/proc/7/stat"); string(text) != "7 (x) S" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := l.ReadFile("/proc/self/stat"); string(text) != "7 (x) S" || err != nil {
		t.Errorf("by a link that stays inside: %q, %v", text, err)
	}
	if text, err := l.ReadFile("/sys/block/sda/size"); string(text) != "8\n" || err != nil {
		t.Errorf("by a link that stays inside: %q, %v", text, err)
	}
	if link, err := l.ReadLink("/proc/7/exe"); link != "/bin/\xff" || err != nil {
		t.Errorf("%q, %v", link, err)
	}
	if link, err := l.ReadLink("/sys/block/sda"); link != "../devices/sda" || err != nil {
		t.Errorf("%q, %v", link, err)
	}
	if names, err := l.ReadDir("/proc/7/fd"); len(names) != 0 || err != nil {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := l.ReadFile("/proc/8/status"); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link to a file outside: %v", err)
	}
	for _, path := range []string{"/proc/9/stat", "/proc/10/stat"} {
		if text, err := l.ReadFile(path); !errors.Is(err, syscall.EXDEV) {
			t.Errorf("%s leaves the tree: %q, %v", path, text, err)
		}
	}
	if text, err := l.ReadFile("/proc/7/comm"); len(text) != 0 || err != nil {
		t.Errorf("a FIFO without a writer: %q, %v", text, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	empty := fakeRoot(t, map[string]string{"proc": "dir"})
	linked := fakeRoot(t, map[string]string{"proc": "-> /proc"})
	bare := t.TempDir()
	for _, tt := range []struct {
		name, root, proc string
		want             string
	}{
		{"no root", bare + "/none", "", "open " + bare + "/none: no such file or directory"},
		{"no proc", bare, "", "open " + bare + "/proc: no such file or directory"},
		{"proc not mounted", empty, "", "no process in it"},
		{"proc is a link to another host", linked, "", "not a directory"},
		{"no proc where named", "/", bare + "/none", "no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Open(tt.root, tt.proc)
			if err == nil {
				l.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

func TestSysNotMounted(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"missing": {"proc/1/stat": ""},
		"empty":   {"proc/1/stat": "", "sys": "dir"},
	} {
		l := open(t, fakeRoot(t, files), "")
		_, err := l.ReadFile("/sys/fs/cgroup/pids.max")
		if !errors.Is(err, ErrNotMounted) || Gone(err) {
			t.Errorf("%s: %v must be unknown, not absent", name, err)
		}
	}
	l := open(t, fakeRoot(t, map[string]string{"sys/x": "y"}), "/proc")
	if _, err := l.ReadFile("/proc/self/stat"); err != nil {
		t.Errorf("proc named apart: %v", err)
	}
	if text, err := l.ReadFile("/sys/x"); string(text) != "y" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// Files larger than the pool's buffers come whole, and one that never ends
// stops at the bound.
func TestLiveLarge(t *testing.T) {
	for _, size := range []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, keepBuffer, keepBuffer + 1, 5 << 20} {
		text := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		l := open(t, fakeRoot(t, map[string]string{"proc/1/stat": string(text)}), "")
		got, err := l.ReadFile("/proc/1/stat")
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
	root := fakeRoot(t, map[string]string{"proc/1/stat": ""})
	if err := os.Truncate(filepath.Join(root, "proc/1/stat"), MaxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, root, "").ReadFile("/proc/1/stat"); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if err := os.Truncate(filepath.Join(root, "proc/1/stat"), MaxFile); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, root, "").ReadFile("/proc/1/stat"); len(got) != MaxFile || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestLiveManyNames(t *testing.T) {
	files := map[string]string{}
	var want []string
	for i := range 5000 {
		name := fmt.Sprintf("%d", 100000+i)
		files["proc/1/fdinfo/"+name], want = "", append(want, name)
	}
	got, err := open(t, fakeRoot(t, files), "").ReadDir("/proc/1/fdinfo")
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%d names, %v", len(got), err)
	}
}

func TestLook(t *testing.T) {
	l := open(t, "/", "")
	second := l.Look()
	if !second.Taken().After(l.Taken()) && !second.Taken().Equal(l.Taken()) || l.Taken().IsZero() {
		t.Errorf("%v then %v", l.Taken(), second.Taken())
	}
	if _, err := second.ReadFile("/proc/self/stat"); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := second.ReadFile("/proc/self/stat"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Kernels before 5.6 have no openat2: sysfs is then walked plainly.
func TestLiveWithoutOpenat2(t *testing.T) {
	l := open(t, "/", "")
	if !l.host.sys.kernel {
		t.Skip("no sysfs is mounted on /sys")
	}
	ask := func() string {
		text, err := l.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
		names, err2 := l.ReadDir("/sys/class/mem")
		link, err3 := l.ReadLink("/sys/class/mem/null")
		behind, err4 := l.ReadFile("/sys/class/mem/null/dev")
		_, err5 := l.ReadLink("/sys/class/mem/none")
		return fmt.Sprint(string(text), err, names, err2, link, err3, string(behind), err4, err5)
	}
	want := ask()
	l.host.sys.scoped = false
	if got := ask(); got != want {
		t.Errorf("without openat2:\n%s\nwith it:\n%s", got, want)
	}
	if !strings.Contains(want, "devices/virtual/mem/null") {
		t.Log(want)
	}
}

func TestLiveLeavesNoDescriptors(t *testing.T) {
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	before := count()
	for range 20 {
		l, err := Open("/", "")
		if err != nil {
			t.Fatal(err)
		}
		l.ReadFile("/proc/1/stat")
		l.ReadFile("/proc/1/none")
		l.ReadDir("/proc/1/stat")
		l.ReadLink("/sys/block/none")
		l.ReadDir("/sys/block")
		l.Close()
		Open(t.TempDir(), "")
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
