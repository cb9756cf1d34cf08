package collect

import (
	"slices"
	"strconv"
	"strings"

	"sexton.dev/snapshot"
)

const (
	maxPrograms = 4096 // of how many threads in containers the wait channel is read
	maxOutputs  = 32   // of how many programs that wait for a reader the pipes are followed
)

// pipeWriters are the kernel functions that a thread waits in for the reader of a
// full pipe: pipe_write until Linux 6.14, then one for pipes and one for FIFOs.
var pipeWriters = []string{"pipe_write", "anon_pipe_write", "fifo_pipe_write"}

// outputs finds the programs whose output nobody reads: what a container writes
// goes through a pipe to its shim or conmon, and from there through a FIFO to who
// keeps the log. Where one of them stops reading, the program stops at its next line.
func (l *looker) outputs() {
	if l.h.Ladder == nil {
		return
	}
	left := maxPrograms
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if p.Container == "" || p.State != snapshot.Sleeping {
			continue
		}
		for _, tid := range l.threadsOf(p) {
			if left--; left < 0 {
				return
			}
			wchan := l.text("/proc/" + strconv.Itoa(p.PID) + "/task/" + strconv.Itoa(tid) + "/wchan")
			if slices.Contains(pipeWriters, wchan) {
				l.output(p, tid)
				break
			}
		}
	}
}

// threadsOf returns the numbers of a process's threads.
func (l *looker) threadsOf(p *snapshot.Process) []int {
	if p.Threads <= 1 {
		return []int{p.PID}
	}
	names, err := l.ReadDir("/proc/" + strconv.Itoa(p.PID) + "/task")
	l.unread(snapshot.Rungs, "/proc/"+strconv.Itoa(p.PID)+"/task", err)
	var tids []int
	for _, name := range names {
		if tid, err := strconv.Atoi(name); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}

// output follows the pipe that a thread of a program waits to write to.
func (l *looker) output(p *snapshot.Process, tid int) {
	if len(l.h.Ladder.Of(snapshot.RungProgram)) == maxOutputs {
		return
	}
	t := snapshot.Task{TID: tid, State: snapshot.Sleeping, Comm: p.Comm}
	l.wait(p.PID, &t)
	x := snapshot.Layer{PID: p.PID, Start: p.Start, Rung: snapshot.RungProgram, Container: p.Container, Wait: &t, Switches: t.Switches, On: l.waitsOn(p.PID, t)}
	if !strings.HasPrefix(x.On, "pipe:[") {
		return
	}
	shim := l.aboveContainer(p)
	if shim == nil {
		return
	}
	links := l.descriptors(shim.PID)
	for fd, link := range links {
		if link == x.On && !slices.Contains(x.Readers, shim.PID) {
			x.Readers = append(x.Readers, shim.PID)
		}
		if fd > 2 && outputFIFO(link) && (x.Pipe == "" || link < x.Pipe) {
			x.Pipe = link
		}
	}
	if len(x.Readers) == 0 {
		return // a pipe of the container's own
	}
	for _, other := range l.h.Ladder.Layers {
		if x.Pipe != "" && other.PID != shim.PID && serves(other.Rung) && other.Rung != snapshot.RungShim {
			for _, link := range l.descriptors(other.PID) {
				if link == x.Pipe && !slices.Contains(x.Beyond, other.PID) {
					x.Beyond = append(x.Beyond, other.PID)
				}
			}
		}
	}
	l.h.Ladder.Layers = append(l.h.Ladder.Layers, x)
}

// aboveContainer returns the shim or conmon that a process's container runs below.
func (l *looker) aboveContainer(p *snapshot.Process) *snapshot.Layer {
	for up := l.h.Process(p.PPID); up != nil && up.PID > 1; up = l.h.Process(up.PPID) {
		if x := l.h.Ladder.Layer(up.ID()); x != nil && (x.Rung == snapshot.RungShim || x.Rung == snapshot.RungConmon) {
			return x
		}
	}
	return nil
}

// outputFIFO reports whether a link is how containerd's clients name the FIFO of a
// container's output: ID-stdout, init-stdout.
func outputFIFO(link string) bool {
	return strings.HasSuffix(link, "-stdout") || strings.HasSuffix(link, "-stderr")
}
