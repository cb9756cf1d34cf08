package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"sexton.dev/collect/door"
	"sexton.dev/linux/procfs"
	"sexton.dev/snapshot"
)

const (
	maxCommand    = 4096                   // bytes of a command line that are kept
	commandStall  = 300 * time.Millisecond // for one read: it is blocked
	commandsLimit = 2 * time.Second        // for all command lines of one look
)

// commands reads command lines, in a child process, since the read blocks
// while the process's mmap_lock is held for write. Of blocked processes it is
// only learned whether the read returns; the text is kept of runtimes' own
// processes, and of all if the user asked for it.
func (l *looker) commands(ctx context.Context) {
	var pids []int
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		wanted := l.wants(snapshot.Commands) && (l.Argv || isRuntime(p.Comm))
		if !p.Kernel && p.State != snapshot.Dead && (wanted || l.suspect(p)) {
			pids = append(pids, p.PID)
		}
	}
	all := sync.OnceValue(func() map[int]result { return readBatch(ctx, l.Child, l.Proc, pids) })
	for _, pid := range pids {
		p := l.h.Process(pid)
		text, err := l.Ask("cmdline/"+strconv.Itoa(pid), func() ([]byte, error) {
			r := all()[pid]
			if !l.Argv && !isRuntime(p.Comm) {
				r.line = nil
			}
			return r.line, r.err
		})
		switch {
		case errors.Is(err, door.ErrDeadline):
			p.Blocked = true
		case err != nil && l.suspect(p):
			l.unread(snapshot.Threads, "whether /proc/"+strconv.Itoa(pid)+"/cmdline can be read", err)
		case err != nil:
			l.unread(snapshot.Commands, "/proc/"+strconv.Itoa(pid)+"/cmdline", err)
		default:
			p.Argv = procfs.ParseArgv(text)
		}
	}
}

// suspect reports whether a process may hold its mmap_lock: a thread of it is in D.
func (l *looker) suspect(p *snapshot.Process) bool {
	return l.wants(snapshot.Threads) && slices.ContainsFunc(p.Tasks, func(t snapshot.Task) bool { return t.State == snapshot.Uninterruptible })
}

// isRuntime reports whether a process is one whose command line holds no
// secret of a workload and tells which container it serves. The kernel cuts a
// comm to 15 bytes.
func isRuntime(comm string) bool {
	// docker until 18.06 has its own, docker-containerd and docker-containerd-shim among them.
	for _, name := range []string{"dockerd", "containerd", "containerd-shim", "runc", "conmon", "crio", "crun", "docker-runc", cutName} {
		if comm == name || strings.HasPrefix(comm, name+":[") {
			return true
		}
	}
	return false
}

type result struct {
	line []byte
	err  error
}

var errNotReached = errors.New("not read: others took all the time")

// readBatch reads the command lines of many processes in one child, which says of
// each that blocks so, and goes on. The time that it takes to start is nobody's: on a
// busy host that is longer than any read.
func readBatch(ctx context.Context, child Child, proc string, pids []int) map[int]result {
	out := map[int]result{}
	if len(pids) == 0 {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, commandsLimit)
	defer cancel()
	text, err := child(ctx, append([]string{"cmdline", proc}, words(pids)...)...)
	left := pids[min(parseCommands(text, out), len(pids)):]
	if err != nil && !errors.Is(err, door.ErrDeadline) {
		return fill(out, left, fmt.Errorf("child process ended early: %w", err))
	}
	return fill(out, left, errNotReached)
}

func fill(out map[int]result, pids []int, err error) map[int]result {
	for _, pid := range pids {
		out[pid] = result{err: err}
	}
	return out
}

// parseCommands reads the whole lines of a child's reply and returns how many there were.
func parseCommands(text []byte, out map[int]result) int {
	n := 0
	for line := range bytes.Lines(text) {
		var c command
		if json.Unmarshal(line, &c) != nil {
			break
		}
		r := result{line: c.Line}
		switch {
		case c.Blocked:
			r.err = door.ErrDeadline
		case c.Errno != 0:
			r.err = syscall.Errno(c.Errno)
		}
		out[c.PID] = r
		n++
	}
	return n
}
