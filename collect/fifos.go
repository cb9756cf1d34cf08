package collect

import (
	"cmp"
	"context"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"sexton.dev/linux/procfs"
	"sexton.dev/runtimes/runc"
	"sexton.dev/snapshot"
)

// fifos finds who waits in the open of a container's exec.fifo, on either side, and
// what the runtime wrote of the init that should be on the other.
func (l *looker) fifos(ctx context.Context) {
	if !l.wants(snapshot.Fifos) {
		return
	}
	var questions []fifoQuestion
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if p.Kernel || p.State == snapshot.Dead || !opensFifos(p.Comm) {
			continue
		}
		for _, w := range l.fifoWaits(p) {
			l.fifoWait(p, w, &questions)
		}
	}
	if len(questions) == 0 {
		return
	}
	answers, err := askFor[[]fifoAnswer](l, "exec-fifos", func() ([]byte, error) {
		return l.Child.ask(ctx, fifosLimit, questions, "fifos", l.Proc)
	})
	if err != nil {
		l.unread(snapshot.Fifos, "the state of containers whose exec.fifo is waited in", err)
	}
	for i := range l.h.Fifos {
		f := &l.h.Fifos[i]
		if j := slices.IndexFunc(answers, func(a fifoAnswer) bool { return a.Path == f.Path }); j >= 0 {
			a := answers[j]
			f.Device, f.Inode, f.Init, f.Err = a.Device, a.Inode, a.Init, a.Err
		}
	}
	l.h.Fifos = oneEach(l.h.Fifos)
	slices.SortFunc(l.h.Fifos, func(a, b snapshot.Fifo) int { return strings.Compare(a.Path, b.Path) })
}

// oneEach puts together what is the same fifo by several paths: runc was told one below
// /var/run, which is a link to /run, and the init's descriptor says where that led.
func oneEach(all []snapshot.Fifo) (out []snapshot.Fifo) {
	for _, f := range all {
		i := slices.IndexFunc(out, func(o snapshot.Fifo) bool { return f.Inode != 0 && o.Inode == f.Inode && o.Device == f.Device })
		if i < 0 {
			out = append(out, f)
			continue
		}
		if f.Reader != nil {
			f.Writer = cmp.Or(f.Writer, out[i].Writer)
			out[i] = f // an act goes the reader's way
		} else {
			out[i].Writer = f.Writer
		}
	}
	return out
}

// opensFifos reports whether a process has the name of a runc: one that a person or a
// shim called, or a container's init.
func opensFifos(comm string) bool {
	return comm == "runc" || comm == "docker-runc" || snapshot.RuncInit(comm)
}

// A waiting is a thread in the open of a fifo.
type waiting struct {
	snapshot.FifoWait
	procfs.FIFOOpen
}

// fifoWaits finds a process's threads that wait for the other side of a fifo.
func (l *looker) fifoWaits(p *snapshot.Process) (out []waiting) {
	tasks := "/proc/" + strconv.Itoa(p.PID) + "/task"
	tids, err := l.ReadDir(tasks)
	l.unread(snapshot.Fifos, tasks, err)
	for _, name := range tids {
		dir := tasks + "/" + name
		text, err := l.ReadFile(dir + "/syscall")
		if err != nil {
			l.unread(snapshot.Fifos, dir+"/syscall", err)
			continue
		}
		wchan, stack := l.text(dir+"/wchan"), ""
		if wchan == "" || wchan == "0" {
			stack = l.text(dir + "/stack")
		}
		open, ok := procfs.ParseFIFOOpen(l.machineName(), text, wchan, stack)
		if !ok || open.Held && !open.Writes { // an init opens nothing else for writing
			continue
		}
		tid, _ := strconv.Atoi(name)
		w := waiting{snapshot.FifoWait{PID: p.PID, Start: p.Start, TID: tid, Held: open.Held}, open}
		w.Switches = l.switches(dir)
		out = append(out, w)
	}
	if len(out) == 0 && runc.FifoOf(p.Argv) != "" && l.readsFifo(p) {
		w := waiting{FifoWait: snapshot.FifoWait{PID: p.PID, Start: p.Start, TID: p.PID, Opened: true}}
		for _, name := range tids {
			w.Switches += l.switches(tasks + "/" + name)
		}
		out = append(out, w)
	}
	return out
}

// switches is how often a thread has left the processor.
func (l *looker) switches(task string) uint64 {
	text, err := l.ReadFile(task + "/status")
	if err != nil {
		return 0
	}
	s, err := procfs.ParseStatus(text)
	l.unread(snapshot.Fifos, task+"/status", err)
	return s.Switches()
}

// readsFifo reports whether a runc has a container's fifo open for reading: it came while
// the init was in the open, and that was stopped or frozen before it wrote. Go waits for
// what is written in the epoll_wait(2) of any thread, so a system call does not tell.
//
// Source: Linux 6.12 fs/proc/fd.c, seq_show; open(2) of x86 and arm64.
func (l *looker) readsFifo(p *snapshot.Process) bool {
	const access, pathOnly = 0o3, 0o10000000
	for fd := range l.openFifos(p.PID) {
		file := "/proc/" + strconv.Itoa(p.PID) + "/fdinfo/" + fd
		text, err := l.ReadFile(file)
		l.unread(snapshot.Fifos, file, err)
		flags, err := strconv.ParseUint(procfs.ParseFDInfo(text)["flags"], 8, 64)
		if err == nil && flags&(access|pathOnly) == 0 {
			return true
		}
	}
	return false
}

// openFifos goes through the descriptors of a process that are an exec.fifo, with what
// each is a link to.
func (l *looker) openFifos(pid int) iter.Seq2[string, string] {
	return func(yield func(fd, link string) bool) {
		dir := "/proc/" + strconv.Itoa(pid) + "/fd"
		fds, err := l.ReadDir(dir)
		l.unread(snapshot.Fifos, dir, err)
		for _, fd := range fds {
			link, err := l.ReadLink(dir + "/" + fd)
			if err == nil && path.Base(link) == runc.Fifo && !yield(fd, link) {
				return
			}
		}
	}
}

// fifoWait notes a wait, and what is to be asked of its fifo.
func (l *looker) fifoWait(p *snapshot.Process, w waiting, questions *[]fifoQuestion) {
	file, within := l.writersFifo(p, w), p.PPID // a container's init has the container's root by now
	if !w.Writes {
		file, within = runc.FifoOf(p.Argv), p.PID
	}
	if file == "" && w.FIFOOpen.Held {
		return // another file
	}
	if file == "" {
		l.unread(snapshot.Fifos, "which fifo process "+strconv.Itoa(p.PID)+" opens", errNoFifo)
		return
	}
	i := slices.IndexFunc(l.h.Fifos, func(f snapshot.Fifo) bool { return f.Path == file })
	if i < 0 {
		i = len(l.h.Fifos)
		l.h.Fifos = append(l.h.Fifos, snapshot.Fifo{Path: file, Container: path.Base(path.Dir(file))})
		*questions = append(*questions, fifoQuestion{file, within})
	}
	if side := w.FifoWait; w.Writes {
		l.h.Fifos[i].Writer = &side
	} else {
		l.h.Fifos[i].Reader = &side
	}
}

// writersFifo is the fifo that an init has a descriptor of, or of whose directory.
func (l *looker) writersFifo(p *snapshot.Process, w waiting) string {
	dir := "/proc/" + strconv.Itoa(p.PID) + "/fd"
	if w.Dir >= 0 {
		if link, err := l.ReadLink(dir + "/" + strconv.Itoa(w.Dir)); err == nil && path.IsAbs(link) {
			return path.Join(link, runc.Fifo)
		}
	}
	for _, link := range l.openFifos(p.PID) {
		if path.IsAbs(link) {
			return path.Clean(link)
		}
	}
	return ""
}
