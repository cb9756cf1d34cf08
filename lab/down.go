package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/procfs"
)

// settle is how long the processes of a fault have to be gone after SIGKILL.
// It takes milliseconds; a process that then still waits in the kernel is told
// of. A variable, so that tests need not wait for it.
var settle = 5 * time.Second

// down takes one fault down and removes its state file.
func (d stateDir) down(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := d.read(name)
	if errors.Is(err, os.ErrNotExist) {
		return d.remove(name) // the rest of a write that was cut short
	}
	if err != nil {
		return err
	}
	return d.takeDown(r)
}

// takeDown ends what the record names, proves that nothing is left, and only
// then removes the state file.
func (d stateDir) takeDown(r record) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	if boot == r.BootID {
		thawAll(r.Groups)
		giveRoom(r.Name)
		if err := end(r); err != nil {
			return err
		}
		if err := removeGroups(r.Groups); err != nil {
			return err
		}
	}
	if err := r.clean(); err != nil {
		return err
	}
	return d.remove(r.Name)
}

// end ends what lives of a fault: first what feeds it from outside, then init,
// and the rest ends with it. Init cannot end while a dead child of an outsider
// is not waited for (Linux 6.12 kernel/pid_namespace.c, zap_pid_ns_processes),
// so a feeder is told to end, and killed only if it does not.
func end(r record) error {
	held, err := openAll(r.Processes)
	defer func() {
		for _, h := range held {
			h.close()
		}
	}()
	if err != nil {
		return err
	}
	// While they are held, the numbers of these namespaces cannot be given to new ones.
	pinned, err := pinNamespaces(held)
	defer pinned.close()
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.Role != roleFeeder {
			continue
		}
		if err := errors.Join(h.signal(unix.SIGTERM), h.signal(unix.SIGCONT)); err != nil {
			return err
		}
		if h.ended(settle / 2) {
			continue
		}
		if err := h.signal(unix.SIGKILL); err != nil {
			return err
		}
	}
	for _, h := range held {
		if h.Role != roleInit {
			continue
		}
		if err := h.signal(unix.SIGKILL); err != nil {
			return err
		}
	}
	for _, h := range held {
		if !h.ended(settle) {
			return errors.Join(stillThere(h.Process), pinned.left())
		}
		reapOwn(h.Process)
	}
	if err := pinned.left(); err != nil {
		return err
	}
	return noMounts()
}

// openAll opens those of the processes that live.
func openAll(ps []Process) ([]handle, error) {
	var out []handle
	for _, p := range ps {
		h, err := p.open()
		if errors.Is(err, errGone) {
			reapOwn(p)
			continue
		}
		if err != nil {
			return out, err
		}
		out = append(out, h)
	}
	return out, nil
}

// stillThere says how a process stands that SIGKILL did not end.
func stillThere(p Process) error {
	s, err := readStat(p.PID)
	if err != nil {
		return fmt.Errorf("%v did not end within %v of SIGKILL: %w", p, settle, err)
	}
	return hint(fmt.Errorf("%v (%s) is still in state %c %v after SIGKILL", p, s.Comm, s.State, settle),
		"cat /proc/"+fmt.Sprint(p.PID)+"/stack; a FUSE mount that does not answer is ended by writing 1 to /sys/fs/fuse/connections/MINOR/abort")
}

// reapOwn waits for a dead process that is our own child, as it is when up and
// down run in one process.
func reapOwn(p Process) {
	s, err := readStat(p.PID)
	if err == nil && s.Start == p.Start && dead(s) && s.PPID == os.Getpid() {
		syscall.Wait4(p.PID, nil, syscall.WNOHANG, nil) // fails if somebody else just did
	}
}

// A namespaces holds the namespaces of a fault's init by file descriptors.
type namespaces []*os.File

// pinNamespaces opens those of init's namespaces that are not the caller's own.
func pinNamespaces(held []handle) (namespaces, error) {
	var out namespaces
	for _, h := range held {
		if h.Role != roleInit {
			continue
		}
		for _, kind := range []string{"pid", "mnt"} {
			path := procPath(h.PID, "ns/"+kind)
			link, err := os.Readlink(path)
			own, ownErr := os.Readlink("/proc/self/ns/" + kind)
			if err == nil && ownErr == nil && link == own {
				continue
			}
			f, err := os.Open(path)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) { // it ended just now
				continue
			}
			if err != nil {
				return out, err
			}
			out = append(out, f)
		}
	}
	return out, nil
}

func (ns namespaces) close() {
	for _, f := range ns {
		f.Close()
	}
}

// left names the processes that are still in one of the namespaces: those of
// somebody who entered with nsenter, and dead ones whose parent, outside, does
// not wait for them.
func (ns namespaces) left() error {
	inside := map[string]bool{}
	for _, f := range ns {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		kind := f.Name()[strings.LastIndexByte(f.Name(), '/')+1:]
		inside[fmt.Sprintf("%s:[%d]", kind, st.Ino)] = true
	}
	if len(inside) == 0 {
		return nil
	}
	var found []string
	err := everyProcess(func(s procfs.Stat) {
		if status, err := readStatus(s.PID); err != nil || dead(s) && firstInside(status) {
			return // gone, or init itself until its parent waits for it
		}
		for _, kind := range []string{"pid", "mnt"} {
			link, err := os.Readlink(procPath(s.PID, "ns/"+kind))
			if err == nil && inside[link] { // one that ended meanwhile has none
				found = append(found, fmt.Sprintf("%d (%q, state %c, parent %d)", s.PID, s.Comm, s.State, s.PPID))
				break
			}
		}
	})
	if err == nil && len(found) > 0 {
		err = hint(fmt.Errorf("not down's to end, but in its namespaces: %s", strings.Join(found, ", ")), "end them, or the parent of the dead, then run down again")
	}
	return err
}

// noMounts proves that no mount of a fault reached the caller's own namespace.
func noMounts() error {
	table, err := mountedHere()
	if err != nil {
		return err
	}
	for _, m := range table {
		if m.Source == mountSource {
			return fmt.Errorf("%q (%s) is mounted here", m.MountPoint, m.Type)
		}
	}
	return nil
}
