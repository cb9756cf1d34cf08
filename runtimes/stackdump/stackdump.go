// Package stackdump asks a container daemon for the stacks of its goroutines, by
// SIGUSR1, and finds where it wrote them.
//
// The signal kills whoever does not catch it. It goes through a descriptor of the
// process, to a known dockerd, containerd or runc-v2 shim that has a handler; anything
// else is refused. All is done in a child process: command lines and file systems of a
// sick host may block.
package stackdump

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"sexton.dev/linux/pidfd"
	"sexton.dev/linux/procfs"
)

// ErrRefused is the error of a process that is not asked. Nothing was sent.
var ErrRefused = errors.New("not asked for a dump")

// programs are the executables that write a dump at SIGUSR1, by the layer that they are.
//
// Sources: moby v28 daemon/debugtrap_unix.go; containerd v1.6 cmd/containerd/command/main.go,
// runtime/v2/shim/shim.go, dumpStacks.
var programs = map[string]string{
	"dockerd": "dockerd", "dockerd-ce": "dockerd", "dockerd-current": "dockerd",
	"containerd": "containerd", "docker-containerd": "containerd",
	"containerd-shim-runc-v2": "shim",
}

// A Dump is where one was found.
type Dump struct {
	PID     int       `json:"pid"`
	Start   uint64    `json:"start"` // of the process, in clock ticks after boot
	Layer   string    `json:"layer"` // dockerd, containerd, shim
	From    string    `json:"from"`  // a file, or a log in words
	Asked   time.Time `json:"asked"`
	content io.Reader
}

// A place is where a daemon will write its dump. It was looked at before the signal.
type place interface {
	// find gives the dump once all of it is there; nil before that.
	find(ctx context.Context) (io.Reader, error)
	// name says where that is.
	name() string
}

const pollEvery = 100 * time.Millisecond

// take asks a process for a dump and waits for it until ctx ends. start 0 is that of
// whoever has the number.
func take(ctx context.Context, pid int, start uint64) (*Dump, error) {
	stat, err := readStat(pid)
	if err != nil {
		return nil, err
	}
	start = cmp.Or(start, stat.Start)
	p, err := pidfd.Open(pid, start)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	layer, err := layerOf(pid)
	if err != nil {
		return nil, err
	}
	places, err := placesOf(pid, layer)
	if err != nil {
		return nil, err
	}
	if err := drained(p, pid); err != nil {
		return nil, err
	}
	d := &Dump{PID: pid, Start: start, Layer: layer, Asked: time.Now().UTC().Truncate(time.Millisecond)}
	if err := p.Dump(ctx); err != nil {
		return nil, err
	}
	var names []string
	for _, at := range places {
		names = append(names, at.name())
	}
	for {
		for _, at := range places {
			switch r, err := at.find(ctx); {
			case err != nil:
				return nil, fmt.Errorf("%s (pid %d) was asked for its dump: %s: %w", layer, pid, at.name(), err)
			case r != nil:
				d.From, d.content = at.name(), r
				return d, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s (pid %d) was asked for its dump and wrote none in time%s: looked at %s", layer, pid, stateNow(pid), strings.Join(names, " and "))
		case <-time.After(pollEvery):
		}
	}
}

// drainedWithin is how long what is in a pipe may take to be read.
const drainedWithin = 300 * time.Millisecond

// drained refuses a process whose standard error, which is the log of each of these
// daemons, is a pipe that nobody reads: the dump, or a line that tells of it, would fill
// the pipe, and the daemon stand still in that write with the lock of its log.
func drained(p *pidfd.Process, pid int) error {
	for until := time.Now().Add(drainedWithin); ; time.Sleep(drainedWithin / 10) {
		switch n := p.Unread(2); {
		case n == 0:
			return nil
		case time.Now().After(until):
			return fmt.Errorf("pid %d: %w: %d bytes wait in the pipe of its log, which nobody reads, and the dump would fill it", pid, ErrRefused, n)
		}
	}
}

func readStat(pid int) (procfs.Stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH):
		return procfs.Stat{}, fmt.Errorf("pid %d: %w", pid, pidfd.ErrGone)
	case err != nil:
		return procfs.Stat{}, fmt.Errorf("pid %d: %w", pid, bare(err))
	}
	return procfs.ParseStat(text)
}

// layerOf tells a process by its executable. Of one that was replaced on disk since
// the kernel says so behind the name.
func layerOf(pid int) (string, error) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("pid %d: its executable: %w", pid, bare(err))
	case err != nil:
		return "", fmt.Errorf("pid %d: %w: it is a kernel thread or a zombie", pid, ErrRefused)
	}
	name := path.Base(strings.TrimSuffix(exe, " (deleted)"))
	if layer := programs[name]; layer != "" {
		return layer, nil
	}
	return "", fmt.Errorf("pid %d: %w: it executes %.80q, which is none of dockerd, containerd and containerd-shim-runc-v2: SIGUSR1 may kill it, or mean something else to it", pid, ErrRefused, name)
}

// stateNow says what keeps a process from writing, if that can be seen.
func stateNow(pid int) string {
	stat, err := readStat(pid)
	switch {
	case err != nil:
		return " (it has ended meanwhile)"
	case stat.State == 'T' || stat.State == 't':
		return " (it is stopped now)"
	case stat.State == 'D':
		return " (it is in state D: it waits in the kernel, or its cgroup is frozen)"
	case strings.Contains(string(some(fmt.Sprintf("/proc/%d/wchan", pid))), "freezer"):
		return " (its cgroup is frozen)"
	}
	return ""
}

// bare is an error without the path, which says nothing to a person who gave a pid.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
