package harm_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/nsfs"
)

// A host is a small host, made anew for each trial.
//
// The thread that makes it is the first one of its PID 1, and is in its first
// mount namespace; between trials it is in home, which has a tmpfs for root.
type host struct {
	home   int
	spaces []*space // the first is the host's own
	lives  map[int]life
	ends   []func()
	held   map[uint64]string // mounts that are in use, and by what
	left   map[string]bool   // superblocks that the host's own namespace had and unmounted
	story  []string          // what was done, refused steps left out
}

// A space is a mount namespace, which stays for as long as fd is open.
type space struct {
	name   string
	fd     int
	inode  uint64
	user   bool // it, or what it was cloned from, belongs to a user namespace of its own
	inside bool // it has a root of its own
}

// A life is who a process is meant to be: no daemon and no container need be there for it.
type life struct{ comm, container string }

// newRoot makes the root directory of the trials, in which nothing of the machine is mounted.
func newRoot() error {
	const root = "/tmp"
	for _, act := range []struct {
		what string
		do   func() error
	}{
		{"make / private", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"mount the root", func() error { return unix.Mount("root", root, "tmpfs", 0, "size=16m") }},
		{"make folders", func() error {
			return errors.Join(os.Mkdir(root+"/proc", 0o755), os.Mkdir(root+"/x", 0o755), os.Mkdir(root+"/old", 0o755), os.Mkdir(root+"/dev", 0o755), os.Mkdir(root+"/sys", 0o755),
				unix.Mknod(root+"/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		}},
		{"mount /proc", func() error { return unix.Mount("proc", root+"/proc", "proc", 0, "") }},
		{"mount /sys", func() error { return unix.Mount("sysfs", root+"/sys", "sysfs", 0, "") }},
		{"pivot_root", func() error { return unix.PivotRoot(root, root+"/old") }},
		{"enter the root", func() error { return unix.Chdir("/") }},
		{"leave the old root", func() error { return unix.Unmount("/old", unix.MNT_DETACH) }},
	} {
		if err := act.do(); err != nil {
			return fmt.Errorf("%s: %w", act.what, err)
		}
	}
	return nil
}

// newHost must be called by the first thread, which alone moves between namespaces from now on.
func newHost() (*host, error) {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("unshare(CLONE_FS): %w", err)
	}
	home, err := openSpace("thread-self")
	return &host{home: home}, err
}

func openSpace(who string) (int, error) {
	return unix.Open("/proc/"+who+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// enter moves the thread. Nothing can go on if that fails.
func enter(fd int) {
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		panic(fmt.Sprintf("setns: %v", err))
	}
}

// begin makes the first namespace, with a tmpfs on /x, and enters it.
func (h *host) begin() error {
	h.lives, h.held, h.left, h.story = map[int]life{}, map[uint64]string{}, map[string]bool{}, nil
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if _, err := h.add("thread-self", "A"); err != nil {
		return err
	}
	return unix.Mount("x", "/x", "tmpfs", 0, "size=1m")
}

// end lets go of all that a trial had; its namespaces end with that.
func (h *host) end() {
	enter(h.home)
	for _, end := range h.ends {
		end()
	}
	for _, s := range h.spaces {
		unix.Close(s.fd)
	}
	h.ends, h.spaces = nil, nil
}

func (h *host) add(who, name string) (*space, error) {
	fd, err := openSpace(who)
	if err != nil {
		return nil, err
	}
	s := &space{name: name, fd: fd}
	h.spaces = append(h.spaces, s)
	s.inode, err = nsfs.Inode(fd)
	return s, err
}

// in does something in a namespace, and comes back.
func (h *host) in(s *space, do func() error) error {
	enter(s.fd)
	defer enter(h.spaces[0].fd)
	return do()
}

// try does one step of a story. What the kernel refuses is no part of it.
func (h *host) try(s *space, do func() error, format string, args ...any) bool {
	if err := h.in(s, do); err != nil {
		return false
	}
	h.story = append(h.story, s.name+" "+fmt.Sprintf(format, args...))
	return true
}

// clone copies a namespace, into a user namespace of its own if so wanted.
func (h *host) clone(from *space, user bool) *space {
	name := string(rune('A' + len(h.spaces)))
	if user {
		if h.cloneUser(from, name) != nil {
			return nil
		}
		h.story = append(h.story, name+"="+from.name+" user")
		h.spaces[len(h.spaces)-1].user = true
		return h.spaces[len(h.spaces)-1]
	}
	err := h.in(from, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		_, err := h.add("thread-self", name)
		return err
	})
	if err != nil {
		return nil
	}
	h.story = append(h.story, name+"="+from.name)
	h.spaces[len(h.spaces)-1].user = from.user
	return h.spaces[len(h.spaces)-1]
}

func (h *host) cloneUser(from *space, name string) error {
	p, err := h.process(from, &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS}})
	if err != nil {
		return err
	}
	defer stop(p)
	_, err = h.add(fmt.Sprint(p.Pid), name)
	return err
}

// process starts a process in a namespace. It is stopped before its first instruction.
func (h *host) process(s *space, attr *os.ProcAttr) (p *os.Process, err error) {
	return h.run(s, "/proc/self/exe", attr)
}

func (h *host) run(s *space, program string, attr *os.ProcAttr) (p *os.Process, err error) {
	if attr.Sys == nil {
		attr.Sys = &syscall.SysProcAttr{}
	}
	attr.Sys.Ptrace = true
	err = h.in(s, func() error {
		p, err = os.StartProcess(program, []string{"stopped"}, attr)
		return err
	})
	return p, err
}

func stop(p *os.Process) {
	p.Kill()
	p.Wait() // it was killed: no more to learn
}

// live lets somebody live in a namespace until the trial ends.
func (h *host) live(s *space, who life, attr *os.ProcAttr) bool {
	p, err := h.process(s, attr)
	return h.keep(p, err, who)
}

func (h *host) keep(p *os.Process, err error, who life) bool {
	if err != nil {
		return false
	}
	h.ends = append(h.ends, func() { stop(p) })
	h.lives[p.Pid] = who
	return true
}

// mountAt returns the unique id of the mount that a path leads to, in the namespace of the thread.
func mountAt(path string) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID_UNIQUE, &st)
	return st.Mnt_id, err
}

// use keeps a mount in use, in one of these ways: a working directory, an open
// file or directory, a program that runs, a file in flight.
func (h *host) use(s *space, how, path string) {
	attr, used := &os.ProcAttr{}, strings.TrimSuffix(path, "/")+"/used"
	var id uint64
	err := h.in(s, func() (err error) {
		if id, err = mountAt(path); err != nil {
			return err
		}
		switch how {
		case "cwd":
			attr.Dir = path
			return nil
		case "exe":
			return os.WriteFile(used, program(), 0o755)
		case "path":
			used = path
		}
		flags := map[string]int{"path": unix.O_PATH, "open": unix.O_RDWR | unix.O_CREAT, "flight": unix.O_RDWR | unix.O_CREAT}[how]
		fd, err := unix.Open(used, flags|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		attr.Files = []*os.File{nil, nil, nil, os.NewFile(uintptr(fd), used)}
		return nil
	})
	if attr.Files != nil {
		defer attr.Files[3].Close()
	}
	switch {
	case err != nil:
		return
	case how == "flight":
		err = h.sent(attr.Files[3])
	case how == "exe":
		var p *os.Process
		if p, err = h.run(s, used, attr); err == nil {
			h.keep(p, nil, life{comm: "user"})
		}
	default:
		if !h.live(s, life{comm: "user"}, attr) {
			err = unix.EAGAIN
		}
	}
	if err == nil {
		h.held[id] = how
		h.story = append(h.story, fmt.Sprintf("%s %s %s", s.name, how, path))
	}
}

// program is one that waits for ever, small enough for any mount.
func program() []byte {
	type header struct { // Elf64_Ehdr and one Elf64_Phdr
		Ident                                    [16]byte
		Type, Machine                            uint16
		Version                                  uint32
		Entry, Phoff, Shoff                      uint64
		Flags                                    uint32
		Ehsize, Phentsize, Phnum, Shentsize      uint16
		Shnum, Shstrndx                          uint16
		PType, PFlags                            uint32
		Offset, Vaddr, Paddr, Filesz, Memsz, Aln uint64
	}
	machine, code := elf.EM_X86_64, []byte{0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7} // pause(), again and again
	if runtime.GOARCH == "arm64" {                                                    // ppoll(0, 0, 0, 0, 0)
		machine, code = elf.EM_AARCH64, nil
		for _, word := range []uint32{0xd2800928, 0xd2800000, 0xd2800001, 0xd2800002, 0xd2800003, 0xd2800004, 0xd4000001, 0x17fffff9} {
			code = binary.LittleEndian.AppendUint32(code, word)
		}
	}
	const at, headers = 0x400000, 120
	size := uint64(headers + len(code))
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, header{Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1,
		Entry: at + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, PType: uint32(elf.PT_LOAD), PFlags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: at, Paddr: at, Filesz: size, Memsz: size, Aln: 0x1000})
	return append(b.Bytes(), code...)
}

func (h *host) sent(f *os.File) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	h.ends = append(h.ends, func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	return unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0)
}
