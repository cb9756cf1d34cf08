package propagation_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"sexton.dev/propagation"
)

// A host makes topologies for real, in namespaces of its own below one thread.
//
// Between trials the thread is in home, which has a tmpfs for root with a /proc and an empty /x.
type host struct {
	home, proc int  // open files: the namespace, and /proc
	guess      bool // locks that cannot be known
	old        bool // the kernel unmounts as before 6.17
	keeps      bool // it keeps the unbindable flag in a new namespace
	classic    bool // it has mountinfo alone
	spaces     []openSpace
	held       map[uint64]bool
	files      []int           // that hold mounts
	mapped     [][]byte        // the same
	threads    []chan struct{} // the same; closed, they end
	running    sync.WaitGroup  // threads
}

// An openSpace is a namespace of a trial.
type openSpace struct {
	name  string
	fd    int
	id    uint64
	owner uint64 // 1 is the first user namespace

	came  map[uint64]bool // mounts locked by the clone into a new user namespace
	under uint64          // the mount that "/" was on at first, unless it is the root
}

// newHost makes home. The calling goroutine must be locked to its thread, and never be unlocked.
func newHost() (*host, error) {
	const root = "/tmp"
	for _, act := range []struct {
		what string
		do   func() error
	}{
		{"unshare", func() error { return unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS) }},
		{"make / private", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"mount the root", func() error { return unix.Mount("root", root, "tmpfs", 0, "size=16m") }},
		{"make folders", func() error {
			return errors.Join(os.Mkdir(root+"/proc", 0o755), os.Mkdir(root+"/x", 0o755), os.Mkdir(root+"/old", 0o755))
		}},
		{"mount /proc", func() error { return unix.Mount("proc", root+"/proc", "proc", 0, "") }},
		{"pivot_root", func() error { return unix.PivotRoot(root, root+"/old") }},
		{"enter the root", func() error { return unix.Chdir("/") }},
		{"leave the old root", func() error { return unix.Unmount("/old", unix.MNT_DETACH) }},
	} {
		if err := act.do(); err != nil {
			return nil, fmt.Errorf("%s: %w", act.what, err)
		}
	}
	h := &host{}
	var err error
	if h.proc, err = unix.Open("/proc", unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	if h.home, err = h.openSpace("thread-self/ns/mnt"); err != nil {
		return nil, err
	}
	_, err = spaceID(h.home)
	h.classic = errors.Is(err, unix.ENOTTY)
	if h.classic {
		err = nil
	}
	return h, err
}

func (h *host) openSpace(path string) (int, error) {
	fd, err := unix.Openat(h.proc, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	return fd, nil
}

// enter moves the thread. Nothing can go on if that fails.
func enter(fd int) {
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		panic(fmt.Sprintf("setns: %v", err))
	}
}

func (h *host) space(name string) *openSpace {
	for i := range h.spaces {
		if h.spaces[i].name == name {
			return &h.spaces[i]
		}
	}
	return nil
}

// begin makes namespace A with a shared tmpfs on /x.
func (h *host) begin() error {
	h.held = map[uint64]bool{}
	enter(h.home)
	if err := h.unshare("A"); err != nil {
		return err
	}
	if err := unix.Mount("x", "/x", "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("mount /x: %w", err)
	}
	return unix.Mount("", "/x", "", unix.MS_SHARED, "")
}

// end lets go of all that a trial had; its namespaces end with that.
func (h *host) end() {
	enter(h.home)
	for _, fd := range h.files {
		unix.Close(fd)
	}
	for _, m := range h.mapped {
		if err := unix.Munmap(m); err != nil {
			panic(err)
		}
	}
	for _, t := range h.threads {
		close(t)
	}
	h.running.Wait()
	for _, s := range h.spaces {
		unix.Close(s.fd)
	}
	h.files, h.mapped, h.threads, h.spaces = nil, nil, nil, nil
}

// unshare clones the namespace that the thread is in; the clone belongs to the first user namespace.
func (h *host) unshare(name string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	fd, err := h.openSpace("thread-self/ns/mnt")
	if err != nil {
		return err
	}
	return h.add(name, fd, 1)
}

// add takes a new namespace in, with what only its first moment shows.
func (h *host) add(name string, fd int, owner uint64) error {
	ask := spaceID
	if h.classic {
		ask = spaceInode
	}
	id, err := ask(fd)
	if err != nil {
		return err
	}
	s := openSpace{name: name, fd: fd, id: id, owner: owner, came: map[uint64]bool{}}
	mounts, err := h.readSpace(s)
	if err != nil {
		return err
	}
	if s.under = under(mounts); owner != 1 {
		for _, m := range mounts {
			s.came[m.ID] = true // the root too, which no call asks about
		}
	}
	h.spaces = append(h.spaces, s)
	return nil
}

// readSpace lists the mounts of a namespace; the thread may be in another one then.
func (h *host) readSpace(s openSpace) ([]propagation.Mount, error) {
	if h.classic {
		return h.readClassic(s)
	}
	return readSpace(s.id)
}

// cloneUser clones the namespace that the thread is in into a new user namespace. That takes a
// process; it is stopped before its first instruction, and killed once its namespace is open.
func (h *host) cloneUser(name string) error {
	attr := &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, Ptrace: true}}
	p, err := os.StartProcess("/proc/self/exe", []string{"stopped"}, attr)
	if err != nil {
		panic(fmt.Sprintf("clone into a user namespace: %v", err))
	}
	fd, err := h.openSpace(strconv.Itoa(p.Pid) + "/ns/mnt")
	if killErr := p.Kill(); killErr != nil {
		return killErr
	}
	p.Wait() // it was killed: no more to learn
	if err != nil {
		return err
	}
	return h.add(name, fd, uint64(len(h.spaces))+1)
}

// read looks at all mounts of all namespaces, from home if the kernel lists them from outside. What
// is covered where it does not is errCovered.
func (h *host) read() (*world, error) {
	enter(h.home)
	defer enter(h.home)
	w := &world{held: h.held}
	for _, s := range h.spaces {
		mounts, err := h.readSpace(s)
		if err != nil {
			return nil, err
		}
		if h.classic && under(mounts) != s.under {
			return nil, errCovered
		}
		w.mounts = append(w.mounts, mounts...)
		w.spaces = append(w.spaces, spaceOf(s))
		w.names = append(w.names, s.name)
	}
	return w, nil
}
