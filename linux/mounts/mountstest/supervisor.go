package mountstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// play is what a started process does instead of tests. It does not return.
func play(role string, args []string) {
	runtime.LockOSThread() // a child's death signal is for the thread that made it
	var err error
	if role == "host" {
		err = superviseHost(args)
	} else {
		err = hold(role, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A supervisor is PID 1 of the planted host.
type supervisor struct {
	dir    string
	plants []Plant
}

func superviseHost(args []string) error {
	namespaces, err1 := strconv.Atoi(args[1])
	each, err2 := strconv.Atoi(args[2])
	processes, err3 := strconv.Atoi(args[3])
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	s := &supervisor{dir: args[0]}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := ownProc(s.dir + ".proc"); err != nil {
		return err
	}
	if err := s.mount("", "host"); err != nil {
		return err
	}
	if err := unix.Mount("", s.dir, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make %s shared: %w", s.dir, err)
	}
	for i := range each {
		if err := s.mount(fmt.Sprintf("live-%d", i), fmt.Sprintf("live-%d", i)); err != nil {
			return err
		}
	}
	for range namespaces {
		if _, err := startHolder("slave", nil, strconv.Itoa(processes-1)); err != nil {
			return err
		}
	}
	for _, kind := range []string{Control, Process, Thread, Bind, NamespFD, Flying, Chrooted, UserOwned, Covered, OpenTree, Cwd, File, Mapping} {
		if err := s.plant(kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(s.plants); err != nil {
		return err
	}
	io.Copy(io.Discard, os.Stdin) // until the test ends; PID 1's end is everybody's
	return nil
}

// ownProc mounts the /proc of this PID namespace, which starting processes needs,
// and keeps the test's at dir.
func ownProc(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/proc", dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind /proc: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return os.Setenv(procVar, dir)
}

// mount puts a tmpfs on a directory of the host.
func (s *supervisor) mount(name, source string) error {
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, dir, "tmpfs", 0, "size=64k,mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return nil
}

// plant mounts, has somebody hold it, and unmounts.
func (s *supervisor) plant(kind string) error {
	p := Plant{Kind: kind, Path: filepath.Join(s.dir, kind)}
	p.Source = p.Path + "'s"
	if err := s.mount(kind, p.Source); err != nil {
		return err
	}
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, p.Path, 0, unix.STATX_MNT_ID_UNIQUE, &stat); err != nil {
		return err
	}
	p.Major, p.Minor = stat.Dev_major, stat.Dev_minor
	flags := 0
	h, err := s.holder(&p)
	if err != nil {
		return err
	}
	switch kind {
	case Cwd, File, Mapping:
		flags = unix.MNT_DETACH
		if stat.Mask&unix.STATX_MNT_ID_UNIQUE != 0 {
			p.UniqueID = stat.Mnt_id
		}
	case OpenTree, Control:
	default:
		p.Namespace, p.NamespaceID = h.Namespace, h.NamespaceID
	}
	if err := unix.Unmount(p.Path, flags); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	s.plants = append(s.plants, p)
	return nil
}

// holder starts who holds p, and returns who has (or had) the namespace.
func (s *supervisor) holder(p *Plant) (held, error) {
	switch p.Kind {
	case Control:
		return startHolder("slave", nil, "0")
	case Bind:
		return s.bind(p)
	case NamespFD, Flying:
		owner, err := startHolder(Process, nil)
		if err != nil {
			return held{}, err
		}
		h, err := startHolder(p.Kind, nil, fmt.Sprint(owner.PID))
		if err != nil {
			return held{}, err
		}
		if p.Kind == NamespFD {
			p.PID, p.FD = h.PID, h.FD
		}
		return owner, owner.end()
	case UserOwned:
		h, err := startHolder(p.Kind, &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		}, p.Path)
		p.PID = h.PID
		return h, err
	}
	h, err := startHolder(p.Kind, nil, p.Path)
	p.PID, p.TID, p.FD = h.PID, h.TID, h.FD
	return h, err
}

// bind binds the file of a namespace, on a mount that is private as it has to be.
//
// The kernel allows it only for a namespace with a higher id than the one that
// it is bound in, against loops, and on new kernels each processor hands out
// ids from a range of its own. So each processor has its try: where ours was
// made, the next id is higher.
func (s *supervisor) bind(p *Plant) (held, error) {
	if err := s.mount("pins", "pins"); err != nil {
		return held{}, err
	}
	dir := filepath.Join(s.dir, "pins")
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return held{}, err
	}
	p.BoundAt = filepath.Join(dir, "a pin\n\x1b[2J")
	if err := os.WriteFile(p.BoundAt, nil, 0o600); err != nil {
		return held{}, err
	}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return held{}, err
	}
	defer unix.SchedSetaffinity(0, &all)
	for cpu := range 64 * len(all) {
		var one unix.CPUSet
		if one.Set(cpu); !all.IsSet(cpu) || unix.SchedSetaffinity(0, &one) != nil {
			continue
		}
		owner, err := startHolder(Process, nil)
		if err != nil {
			return held{}, err
		}
		err = unix.Mount(fmt.Sprintf("%s/%d/ns/mnt", os.Getenv(procVar), owner.PID), p.BoundAt, "", unix.MS_BIND, "")
		if endErr := owner.end(); err == nil || err != unix.EINVAL {
			return owner, errors.Join(err, endErr)
		}
	}
	return held{}, errors.New("bind: no processor makes a mount namespace that this one may bind")
}
