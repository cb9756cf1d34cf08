package heal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sexton.dev/check"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/pidfd"
	"sexton.dev/linux/procfs"
	"sexton.dev/plan"
	"sexton.dev/runtimes/containerd"
	"sexton.dev/runtimes/runc"
	"sexton.dev/snapshot"
)

// unblock lets go of the very runc that waits for an init that does not come, or ends
// the very init that nobody can start any more.
func unblock(ctx context.Context, s plan.Step, note func(any) error) error {
	t := s.Target
	p, err := pidfd.Open(t.PID, t.Start)
	if err != nil {
		return pinned(err)
	}
	defer p.Close()
	if err := waitsStill(t); err != nil {
		return err
	}
	switch t.Kind {
	case "fifo":
		return release(ctx, t, note)
	case "init":
		return endInit(ctx, t, p, note)
	}
	return refusal{fmt.Errorf("%q is neither a reader of a fifo nor an init", t.Kind)}
}

// waitsStill fails unless a thread of the process is in the open of a fifo and has not
// run since it was seen there.
func waitsStill(t check.Target) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	machine := unix.ByteSliceToString(u.Machine[:])
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", t.PID))
	for _, dir := range tasks {
		call, err1 := os.ReadFile(dir + "/syscall")
		wchan, err2 := os.ReadFile(dir + "/wchan")
		text, err3 := os.ReadFile(dir + "/status")
		if errors.Join(err1, err2, err3) != nil {
			continue // a thread that ended
		}
		status, err := procfs.ParseStatus(text)
		open, ok := procfs.ParseFIFOOpen(machine, call, string(wchan), "")
		if err == nil && ok && open.Writes == (t.Kind == "init") && status.Switches() == t.Switches {
			return nil
		}
	}
	return refusal{fmt.Errorf("%s (pid %d) does not wait there as it did: it has run since; plan again: sexton heal", t.Comm, t.PID)}
}

// A released is what the journal keeps of what was let go.
type released struct {
	Reader int    `json:"reader"`
	Fifo   string `json:"fifo"`
	Init   string `json:"init"` // how it was
}

// release is of a reader: the other side of its fifo is opened and closed.
func release(ctx context.Context, t check.Target, note func(any) error) error {
	d, err := runc.Open(fmt.Sprintf("/proc/%d/root", t.PID), t.Path)
	if errors.Is(err, syscall.ENOENT) {
		return refusal{fmt.Errorf("the container's directory is gone, and no path leads to the fifo: end runc (kill %d): %w", t.PID, err)}
	}
	if err != nil {
		return refusal{err}
	}
	defer d.Close()
	if d.Inode != t.Inode || (mounts.Device{Major: d.Major, Minor: d.Minor}).String() != t.Device {
		return refusal{fmt.Errorf("%s is another fifo by now; plan again: sexton heal", t.Path)}
	}
	how, err := comesNot(d)
	if err != nil {
		return refusal{err}
	}
	if err := ctx.Err(); err != nil {
		return refusal{err}
	}
	if err := note(released{t.PID, t.Path, how}); err != nil {
		return err
	}
	return sorted(d.Release(), []error{runc.ErrNoReader}, nil)
}

// comesNot says why the container's init will never open the fifo, and fails if it may.
func comesNot(d *runc.Dir) (string, error) {
	init, err := d.Init()
	if err != nil {
		return "", fmt.Errorf("who the container's init is cannot be told: %w", err)
	}
	stat, err := readStat(init.PID)
	switch {
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH):
		return fmt.Sprintf("pid %d has ended", init.PID), nil
	case err != nil:
		return "", err
	case stat.Start != init.Start:
		return fmt.Sprintf("pid %d has ended, the number is another's", init.PID), nil
	case stat.State == 'Z' || stat.State == 'X':
		return fmt.Sprintf("pid %d is dead", init.PID), nil
	case !snapshot.RuncInit(stat.Comm):
		return fmt.Sprintf("pid %d is %q, no init", init.PID, stat.Comm), nil
	}
	return "", fmt.Errorf("the container's init (pid %d) lives, in state %c: it may come yet; if it is stopped or frozen, let it run on", init.PID, stat.State)
}

// endInit is of an init that was left behind.
func endInit(ctx context.Context, t check.Target, p *pidfd.Process, note func(any) error) error {
	if !snapshot.RuncInit(t.Comm) {
		return refusal{fmt.Errorf("%q is no init of runc", t.Comm)}
	}
	if err := hasOpen(t); err != nil {
		return refusal{err}
	}
	if err := note(released{0, t.Path, fmt.Sprintf("pid %d waits, and docker does not know the container", t.PID)}); err != nil {
		return err
	}
	if err := pinned(p.End(ctx, t.Comm)); err != nil {
		return err
	}
	if t.Socket == "" {
		return nil // nobody to ask: its shim ends the task when containerd asks for it
	}
	if err := containerd.DeleteTask(ctx, t.Socket, "moby", t.Container); err != nil {
		return fmt.Errorf("the init was ended, and its task could not be deleted: ctr -n moby task rm %s: %w", t.Container, err)
	}
	return nil
}

// hasOpen fails unless the process has a descriptor of the fifo that a target names.
func hasOpen(t check.Target) error {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", t.PID))
	if err != nil {
		return err
	}
	for _, fd := range fds {
		name := fmt.Sprintf("/proc/%d/fd/%s", t.PID, fd.Name())
		if link, err := os.Readlink(name); err != nil || !strings.HasSuffix(link, "/"+runc.Fifo) {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err == nil && st.Ino == t.Inode && mounts.DeviceOf(st.Dev).String() == t.Device {
			return nil
		}
	}
	return errors.New("pid " + strconv.Itoa(t.PID) + " has no descriptor of that fifo")
}
