package pidfd

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/procfs"
)

// A Child is what must be so of a process before [Process.EndChild] ends it.
type Child struct {
	Parent   *Process // whose child it is
	Names    []string // of executables, one of which it executes
	Parents  []string // the same of its parent
	Switches uint64   // context switches of all its threads, as when it was last seen
}

// EndChild sends SIGKILL to a process that its parent started for one thing and
// waits for. Refused unless it is the parent's child still, executes what it should,
// is in the parent's mount and PID namespaces, so that no program of a container
// can pass for it, and has not run since it was seen.
//
// It needs CAP_KILL over the process's user namespace, or the process's own uid, and
// CAP_SYS_PTRACE for the links of another user's processes.
func (p *Process) EndChild(ctx context.Context, c Child) error {
	stat, status, err := p.now()
	if err == nil {
		_, _, err = c.Parent.now()
	}
	switch {
	case err != nil:
		return err
	case stat.PPID != c.Parent.pid:
		return p.refuse("its parent is process %d, not %d any more", stat.PPID, c.Parent.pid)
	case status.Tracer != 0:
		return p.refuse("pid %d traces it: detach that debugger first", status.Tracer)
	}
	if err := p.executes(c.Names); err != nil {
		return err
	}
	if err := c.Parent.executes(c.Parents); err != nil {
		return err
	}
	for _, kind := range []string{"mnt", "pid"} {
		if err := p.shares(kind, c.Parent); err != nil {
			return err
		}
	}
	switch n, err := p.switches(); {
	case err != nil:
		return err
	case n != c.Switches:
		return p.refuse("it has run since it was seen (%d context switches, not %d): it is slow, or has gone on", n, c.Switches)
	}
	return p.send(ctx, unix.SIGKILL)
}

// executes refuses a process whose executable has another name.
func (p *Process) executes(names []string) error {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid))
	if err != nil {
		return p.refuse("what it executes cannot be read: %v", err)
	}
	if name := path.Base(strings.TrimSuffix(exe, " (deleted)")); !slices.Contains(names, name) {
		return p.refuse("it executes %.80q, which is none of %s", exe, strings.Join(names, ", "))
	}
	return nil
}

// shares refuses a process that is in another namespace than its parent.
func (p *Process) shares(kind string, parent *Process) error {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p.pid, kind))
	var theirs string
	if err == nil {
		theirs, err = os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", parent.pid, kind))
	}
	switch {
	case err != nil:
		return p.refuse("its namespaces cannot be read: %v", err)
	case own != theirs:
		return p.refuse("it is in another namespace (%s) than its parent (%s), as a container's program is", own, theirs)
	}
	return nil
}

// switches counts how often all threads of the process have run.
func (p *Process) switches() (n uint64, err error) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.pid)) // the pattern is fine
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, p.refuse("its threads cannot be read: %v", err)
		}
		s, err := procfs.ParseStatus(text)
		if err != nil {
			return 0, fmt.Errorf("pid %d: %w", p.pid, err)
		}
		n += s.Switches()
	}
	return n, nil
}
