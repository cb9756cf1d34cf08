package collect

import (
	"context"
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"

	"sexton.dev/linux/procfs"
	"sexton.dev/snapshot"
)

// execFifo is the name of the fifo, in the directory where runc keeps a container's state.
const execFifo = "exec.fifo"

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
	text, err := l.Ask("exec-fifos", func() ([]byte, error) { return l.askFifos(ctx, questions) })
	var answers []fifoAnswer
	if err == nil {
		err = json.Unmarshal(text, &answers)
	}
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
	slices.SortFunc(l.h.Fifos, func(a, b snapshot.Fifo) int { return strings.Compare(a.Path, b.Path) })
}

// opensFifos reports whether a process has the name of a runc: one that a person or a
// shim called, or a container's init.
func opensFifos(comm string) bool {
	return comm == "runc" || comm == "docker-runc" || snapshot.RuncInit(comm)
}

// A waiting is a thread in the open of a fifo.
type waiting struct {
	snapshot.FifoWait
	writes bool
	dir    int // descriptor that the path is relative to, -1 if none
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
		tid, _ := strconv.Atoi(name)
		w := waiting{FifoWait: snapshot.FifoWait{PID: p.PID, Start: p.Start, TID: tid}, dir: -1}
		if !w.opens(l.machineName(), text) || !l.inFifo(dir, &w) {
			continue
		}
		if text, err := l.ReadFile(dir + "/status"); err == nil {
			s, err := procfs.ParseStatus(text)
			l.unread(snapshot.Fifos, dir+"/status", err)
			w.Switches = s.Voluntary + s.Forced
		}
		out = append(out, w)
	}
	return out
}

// opens reports whether a system call is the open of something for reading alone
// or for writing alone.
func (w *waiting) opens(machine string, text []byte) bool {
	n, _, err := procfs.ParseSyscall(text)
	args := procfs.ParseSyscallArgs(text)
	if err != nil || args == nil {
		return false
	}
	flags := args[2]
	switch procfs.SyscallName(machine, n) {
	case "open":
		flags = args[1]
	case "openat":
		w.dir = int(int32(args[0]))
	default:
		return false
	}
	w.writes = flags&3 == 1
	return flags&3 != 2
}

// inFifo reports whether a thread waits for the other side of a fifo, or is held in
// the open of one.
//
// Source: Linux 3.10 to 6.18 fs/pipe.c, fifo_open and wait_for_partner; kernel/signal.c,
// do_signal_stop and do_freezer_trap; kernel/freezer.c, __refrigerator.
func (l *looker) inFifo(dir string, w *waiting) bool {
	switch l.text(dir + "/wchan") {
	case "wait_for_partner", "fifo_open", "pipe_wait":
		return true
	case "do_signal_stop", "do_freezer_trap", "__refrigerator":
		w.Held = w.writes // an init opens nothing else so
		return w.Held
	case "", "0": // hidden
		stack := l.text(dir + "/stack")
		return strings.Contains(stack, "wait_for_partner") || strings.Contains(stack, "fifo_open")
	}
	return false
}

// fifoWait notes a wait, and what is to be asked of its fifo.
func (l *looker) fifoWait(p *snapshot.Process, w waiting, questions *[]fifoQuestion) {
	file, within := l.writersFifo(p, w), p.PPID // a container's init has the container's root by now
	if !w.writes {
		file, within = readersFifo(p.Argv), p.PID
	}
	if file == "" && w.Held {
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
	if side := w.FifoWait; w.writes {
		l.h.Fifos[i].Writer = &side
	} else {
		l.h.Fifos[i].Reader = &side
	}
}

// writersFifo is the fifo that an init has a descriptor of, or of whose directory.
func (l *looker) writersFifo(p *snapshot.Process, w waiting) string {
	dir := "/proc/" + strconv.Itoa(p.PID) + "/fd"
	if w.dir >= 0 {
		if link, err := l.ReadLink(dir + "/" + strconv.Itoa(w.dir)); err == nil && path.IsAbs(link) {
			return path.Join(link, execFifo)
		}
	}
	fds, err := l.ReadDir(dir)
	l.unread(snapshot.Fifos, dir, err)
	for _, fd := range fds {
		if link, err := l.ReadLink(dir + "/" + fd); err == nil && path.IsAbs(link) && path.Base(link) == execFifo {
			return path.Clean(link)
		}
	}
	return ""
}

// readersFifo is the fifo of the container that a runc starts, by its command line.
//
// Source: runc main.go and start.go.
func readersFifo(argv []string) string {
	root := "/run/runc"
	starts := false
	for i := 1; i < len(argv); i++ {
		name, value, with := strings.Cut(strings.TrimPrefix(argv[i], "-"), "=")
		switch {
		case name == "-root" && with:
			root = value
		case name == "-root" && i+1 < len(argv):
			i++
			root = argv[i]
		case argv[i] == "start" || argv[i] == "run":
			starts = true
		}
	}
	if !starts {
		return ""
	}
	id := argv[len(argv)-1]
	if !path.IsAbs(root) || id == "" || id[0] == '-' || id == "." || id == ".." || strings.Contains(id, "/") {
		return ""
	}
	return path.Join(root, id, execFifo)
}
