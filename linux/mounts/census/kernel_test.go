package census

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/bpf"
	"sexton.dev/linux/mounts/mountstest"
)

// needsBPF skips where no BPF program can be loaded.
func needsBPF(t testing.TB) {
	t.Helper()
	hosttest.NeedsRoot(t)
	r, err := bpf.Open()
	hosttest.Needs(t, "bpf", err == nil, fmt.Sprint(err))
	r.Close()
}

// By BPF and by statmount a host is the same: in full, and what questions leave of it.
func TestBPFIsStatmount(t *testing.T) {
	needsStatmount(t)
	needsBPF(t)
	h := mountstest.Start(t, 5, 9, 1)
	p := h.Plant(t, mountstest.Process)
	ofAllKinds(t)
	var device mounts.Device
	for _, ns := range read(t, Request{Whole: true, Locked: true}).Namespaces {
		for _, m := range ns.Mounts {
			if m.Source == p.Source {
				device = m.Device()
			}
		}
	}
	none := func(*mounts.Mount) bool { return false }
	for name, req := range map[string]Request{
		"numbers":      {Passes: 1},
		"whole":        {Whole: true, Passes: 1},
		"two passes":   {Whole: true},
		"by device":    {Passes: 1, About: &Question{Device: func(d mounts.Device) bool { return d == device }}},
		"by text":      {Passes: 1, About: &Question{Asked: func(m *mounts.Mount) bool { return strings.Contains(m.MountPoint+m.Source, p.Source) }}},
		"what is near": {Passes: 1, About: &Question{Asked: none, Near: func(m *mounts.Mount) bool { return m.Type == "tmpfs" }}},
	} {
		by, without := req, req
		by.fewMounts, without.fewMounts, without.Locked = 1, 1, true
		onceTheSame(t, name, func() (want, got *Census) {
			want, got = read(t, without), read(t, by)
			if want.BPF || !got.BPF {
				t.Fatalf("%s: by BPF %v and %v", name, want.BPF, got.BPF)
			}
			return want, got
		})
	}
}

// onceTheSame waits until each namespace was the same in both once: others mount, too.
func onceTheSame(t *testing.T, name string, read func() (want, got *Census)) {
	t.Helper()
	var differ map[uint64]string // those that were not yet, by id
	t.Cleanup(func() {
		for id, diff := range differ {
			t.Logf("%s: namespace %d (-want +got)\n%.2000s", name, id, diff)
		}
	})
	hosttest.Until(t, 30*time.Second, name+": each namespace is the same once", func() bool {
		want, got := read()
		now := differences(want.Namespaces, got.Namespaces)
		if differ == nil {
			differ = now
		}
		for id := range differ {
			if now[id] == "" {
				delete(differ, id)
			}
		}
		return len(differ) == 0
	})
}

// differences are the namespaces, by id, that are not the same.
func differences(want, got []mounts.Namespace) map[uint64]string {
	byID := func(all []mounts.Namespace) map[uint64]mounts.Namespace {
		out := map[uint64]mounts.Namespace{}
		for _, ns := range all {
			out[ns.ID] = ns
		}
		return out
	}
	a, b := byID(want), byID(got)
	all := maps.Clone(a)
	maps.Copy(all, b)
	out := map[uint64]string{}
	for id := range all {
		if diff := gocmp.Diff(a[id], b[id], withoutOptions); diff != "" {
			out[id] = diff
		}
	}
	return out
}

var withoutOptions = cmpopts.IgnoreFields(mounts.Mount{}, "Options")

// ofAllKinds has a namespace, until the test ends, with mounts of several options and propagations.
func ofAllKinds(t *testing.T) {
	t.Helper()
	dir, ready, end, ended := t.TempDir(), make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		mountstest.OnDyingThread(func() {
			ready <- mountAllKinds(dir)
			<-end
		})
	}()
	t.Cleanup(func() { close(end); <-ended })
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
}

func mountAllKinds(dir string) error {
	err := unix.Unshare(unix.CLONE_NEWNS)
	mount := func(source, name, kind string, flags uintptr) {
		if err == nil {
			err = unix.Mount(source, filepath.Join(dir, name), kind, flags, "")
		}
	}
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	for i, flags := range []uintptr{unix.MS_RDONLY, unix.MS_NOSUID | unix.MS_NOATIME, unix.MS_NODEV | unix.MS_NOEXEC} {
		name := fmt.Sprint(i)
		err = cmp.Or(err, os.Mkdir(filepath.Join(dir, name), 0o755))
		mount("options", name, "tmpfs", flags)
	}
	mount("", "0", "", unix.MS_SHARED)
	mount("", "1", "", unix.MS_UNBINDABLE)
	mount(filepath.Join(dir, "0"), "2", "", unix.MS_BIND) // a peer, and then its slave
	mount("", "2", "", unix.MS_SLAVE)
	mount("", "2", "", unix.MS_SHARED)
	for _, name := range []string{"here", "there"} {
		err = cmp.Or(err, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	mount("copied", "here", "tmpfs", 0)
	mount("", "here", "", unix.MS_SHARED)
	err = cmp.Or(err, os.Mkdir(filepath.Join(dir, "here/sub"), 0o755))
	mount(filepath.Join(dir, "here"), "there", "", unix.MS_BIND)
	mount("twice", "here/sub", "tmpfs", 0) // and on the same directory by there
	return err
}

// Where the program cannot be loaded, or to try would end the process, all is told without it.
func TestWithoutProgram(t *testing.T) {
	needsStatmount(t)
	for name, forbidden := range map[string]func() error{
		"NoTypes":  func() error { return unix.Mount("none", "/sys/kernel/btf", "tmpfs", 0, "size=4k") },
		"Filtered": func() error { return filterAll(unix.SYS_BPF, unix.SECCOMP_RET_KILL_PROCESS) },
	} {
		t.Run(name, func(t *testing.T) {
			check, here := inOwnNamespace(t)
			if !here {
				return
			}
			check(forbidden())
			onceTheSame(t, name, func() (want, got *Census) {
				got = read(t, Request{Whole: true, Passes: 1, fewMounts: 1})
				if got.BPF || got.NoBPF == "" {
					t.Fatalf("a program was loaded, or nothing says why not: %q", got.NoBPF)
				}
				return read(t, Request{Whole: true, Passes: 1, Locked: true}), got
			})
		})
	}
}

// filterAll has the kernel answer a system call like this on all threads.
func filterAll(call, answer uint32) error {
	const allow = unix.SECCOMP_RET_ALLOW
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: answer},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	filter := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return errno
	}
	return nil
}

// A small host is not worth a program.
func TestFewMounts(t *testing.T) {
	needsStatmount(t)
	if c := read(t, Request{Passes: 1}); c.BPF {
		total := 0
		for _, ns := range c.Namespaces {
			total += len(ns.Mounts)
		}
		if total < fewMounts/2 { // others may have had more a moment ago
			t.Errorf("a program was loaded for %d mounts", total)
		}
	}
}
