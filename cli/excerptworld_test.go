package cli_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// An excerptWorld makes random topologies in mount namespaces of its own, all with
// one thread, which is in home between the steps. Home has a tmpfs for root.
type excerptWorld struct {
	*rand.Rand
	home   int // open files
	proc   int
	spaces []excerptSpace
	log    []string // what was done, for people
}

// An excerptSpace is a mount namespace, with what its mountinfo says.
type excerptSpace struct {
	name      string
	fd        int
	container bool // with a root of its own
	under     int  // what "/" was on at first: if that changes, mounts are out of sight
	lines     []string
	mounts    []mounts.Mount
}

// newExcerptWorld makes home. The goroutine must be locked to its thread for good.
func newExcerptWorld() (*excerptWorld, error) {
	const root = "/tmp"
	for _, do := range []func() error{
		func() error { return unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS) },
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("root", root, "tmpfs", 0, "size=16m") },
		func() error { return os.MkdirAll(root+"/proc", 0o755) },
		func() error { return os.MkdirAll(root+"/x", 0o755) },
		func() error { return os.MkdirAll(root+"/old", 0o755) },
		func() error { return unix.Mount("proc", root+"/proc", "proc", 0, "") },
		func() error { return unix.PivotRoot(root, root+"/old") },
		func() error { return unix.Chdir("/") },
		func() error { return unix.Unmount("/old", unix.MNT_DETACH) },
	} {
		if err := do(); err != nil {
			return nil, fmt.Errorf("make a root: %w", err)
		}
	}
	w := &excerptWorld{}
	var err error
	if w.proc, err = unix.Open("/proc", unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	w.home, err = unix.Openat(w.proc, "thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return w, err
}

// enter moves the thread. Nothing can go on if that fails.
func (w *excerptWorld) enter(fd int) {
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		panic(fmt.Sprintf("setns: %v", err))
	}
}

func (w *excerptWorld) end() {
	w.enter(w.home)
	for _, s := range w.spaces {
		unix.Close(s.fd)
	}
	w.spaces, w.log = nil, nil
}

// dirs below /x: few, so that they meet.
var excerptDirs = []string{"p", "p", "p/v", "p/v", "p/v/s", "b", "b/v", "c", "b/p"}

func (w *excerptWorld) place() string { return "/x/" + one(w.Rand, excerptDirs...) }

// build makes a topology: A, with a shared tmpfs on /x, is cloned and changed.
func (w *excerptWorld) build(r *rand.Rand) error {
	w.Rand = r
	if err := w.clone(w.home); err != nil {
		return err
	}
	if err := unix.Mount("x", "/x", "tmpfs", 0, "size=1m"); err != nil {
		return err
	}
	if err := unix.Mount("", "/x", "", unix.MS_SHARED, ""); err != nil {
		return err
	}
	most := 2 + r.IntN(4)
	for range 6 + r.IntN(12) {
		if err := w.step(most); err != nil {
			return err
		}
	}
	for len(w.spaces) < 2 {
		if err := w.clone(w.spaces[0].fd); err != nil {
			return err
		}
	}
	return nil
}

// clone copies a namespace, and stays in the copy.
func (w *excerptWorld) clone(from int) error {
	w.enter(from)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	fd, err := unix.Openat(w.proc, "thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.spaces = append(w.spaces, excerptSpace{name: string(rune('A' + len(w.spaces))), fd: fd})
	s := &w.spaces[len(w.spaces)-1]
	if err := w.readSpace(s); err != nil {
		return err
	}
	s.under = rootOf(s.mounts).Parent
	return nil
}

// step makes one change, which the kernel may refuse: then there is one less.
func (w *excerptWorld) step(most int) error {
	s := &w.spaces[w.IntN(len(w.spaces))]
	for s.container {
		s = &w.spaces[w.IntN(len(w.spaces))]
	}
	at, from, name := w.place(), w.place(), s.name
	kind := func() uintptr {
		return one[uintptr](w.Rand, unix.MS_SHARED, unix.MS_SHARED, unix.MS_SLAVE, unix.MS_SLAVE, unix.MS_PRIVATE) | uintptr(w.IntN(2)*unix.MS_REC)
	}
	w.enter(s.fd)
	os.MkdirAll(at, 0o755)
	os.MkdirAll(from, 0o755)
	var err error
	did := ""
	switch k := w.IntN(20); {
	case k < 6:
		did, err = "tmpfs", unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k")
	case k < 8:
		did, err = "bind "+from, unix.Mount(from, at, "", uintptr(unix.MS_BIND|w.IntN(2)*unix.MS_REC), "")
	case k < 13:
		flags := kind()
		did, err = fmt.Sprintf("make %#x", flags), unix.Mount("", at, "", flags, "")
	case k < 14:
		did, err = "unmount", unix.Unmount(at, unix.MNT_DETACH)
	case k < 15:
		flags := kind()
		did, err = fmt.Sprintf("of /x, make %#x", flags), unix.Mount("", "/x", "", flags, "")
	case len(w.spaces) >= most:
		return nil
	case k < 17:
		return w.container(s.fd, at)
	default:
		if err := w.clone(s.fd); err != nil {
			return err
		}
		flags := one[uintptr](w.Rand, 0, unix.MS_SLAVE, unix.MS_PRIVATE)
		name, did = name+" cloned", fmt.Sprintf("to %s, made %#x", w.spaces[len(w.spaces)-1].name, flags)
		if flags != 0 {
			err = unix.Mount("", "/x", "", flags|unix.MS_REC, "")
		}
		if w.IntN(2) == 0 {
			did, err = did+" and shared", unix.Mount("", "/x", "", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	w.log = append(w.log, fmt.Sprintf("%s: %s: %s, %v", name, at, did, err))
	return nil
}

// container clones a namespace and gives it a root of its own, as runtimes do.
func (w *excerptWorld) container(from int, at string) error {
	if err := w.clone(from); err != nil {
		return err
	}
	s := &w.spaces[len(w.spaces)-1]
	s.container = true
	flags := one[uintptr](w.Rand, unix.MS_SLAVE, unix.MS_SLAVE, unix.MS_PRIVATE)
	unix.Mount("", "/", "", flags|unix.MS_REC, "") // root may do that
	err := unix.Mount(at, at, "", uintptr(unix.MS_BIND|w.IntN(2)*unix.MS_REC), "")
	if err == nil && w.IntN(2) == 0 {
		os.MkdirAll(at+"/host", 0o755)
		err = unix.Mount("/x", at+"/host", "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err == nil {
		os.MkdirAll(at+"/old", 0o755)
		err = unix.PivotRoot(at, at+"/old")
	}
	if err == nil {
		unix.Chdir("/")
		err = unix.Unmount("/old", unix.MNT_DETACH)
	}
	w.log = append(w.log, fmt.Sprintf("container %s on %s, %#x, %v", s.name, at, flags, err))
	if err := w.readSpace(s); err != nil {
		return err
	}
	s.under = rootOf(s.mounts).Parent
	return nil
}

func rootOf(all []mounts.Mount) mounts.Mount {
	for _, m := range all {
		if m.MountPoint == "/" {
			return m
		}
	}
	return mounts.Mount{}
}

// readSpace reads a namespace's mountinfo from inside it, and leaves the thread there.
func (w *excerptWorld) readSpace(s *excerptSpace) error {
	w.enter(s.fd)
	fd, err := unix.Openat(w.proc, "thread-self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "mountinfo")
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	s.lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	s.mounts, err = mounts.ParseMountinfo(text)
	return err
}

// read reads all namespaces. Not whole: in one of them something on "/" hides mounts.
func (w *excerptWorld) read() (whole bool, err error) {
	defer w.enter(w.home)
	whole = true
	for i := range w.spaces {
		s := &w.spaces[i]
		if err := w.readSpace(s); err != nil {
			return false, err
		}
		whole = whole && rootOf(s.mounts).Parent == s.under
	}
	return whole, nil
}

// word is what to ask about: mostly a path that is mounted in several namespaces.
func (w *excerptWorld) word() string {
	var best mounts.Mount
	most := 0
	for range 8 {
		s := &w.spaces[w.IntN(len(w.spaces))]
		m := s.mounts[w.IntN(len(s.mounts))]
		if m.MountPoint == "/" || m.MountPoint == "/x" || m.Type != "tmpfs" {
			continue
		}
		n := 0
		for _, other := range w.spaces {
			for _, o := range other.mounts {
				if o.MountPoint == m.MountPoint {
					n++
					break
				}
			}
		}
		if n > most {
			best, most = m, n
		}
	}
	switch {
	case most == 0:
		return ""
	case w.IntN(8) == 0:
		return fmt.Sprintf("%d:%d", best.Major, best.Minor)
	case w.IntN(8) == 0:
		return fmt.Sprint(best.ID)
	case w.IntN(8) == 0:
		return best.MountPoint + "/"
	}
	return best.MountPoint
}
