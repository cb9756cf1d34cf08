package collect

import (
	"path"
	"strconv"

	"sexton.dev/linux/procfs"
	"sexton.dev/snapshot"
)

// maxChildLists bounds of how many threads of one parent the children are read.
const maxChildLists = 256

// details reads more of the few processes that a check asks about: the parents
// of the dead, leaders that died before their threads, what a debugger holds,
// and the first process of each container.
func (l *looker) details() {
	reaping, inits := l.wants(snapshot.Reaping), l.wants(snapshot.Inits)
	parents := map[int]bool{} // of the dead, read already
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		parent := l.h.Process(p.PPID)
		if reaping && p.Zombie() && parent != nil && !parent.Kernel && !parents[parent.PID] {
			parents[parent.PID] = true
			l.detail(parent, snapshot.Reaping)
			l.children(parent)
		}
		if reaping && p.HalfDead() {
			l.detail(p, snapshot.Reaping)
		}
		if l.wants(snapshot.Threads) && p.State == snapshot.Traced { // by whom
			l.detail(p, snapshot.Threads)
		}
		if inits && l.entered(p) {
			l.detail(p, snapshot.Inits)
		}
		if inits && p.First() && p.Detail.Wchan == "do_wait" {
			l.firstChild(p)
		}
	}
}

// firstChild reads the oldest living child of a PID 1 that waits for one: a
// shell's program, in the foreground or not.
func (l *looker) firstChild(p *snapshot.Process) {
	for _, child := range l.h.Children(p.PID) {
		if child.State != snapshot.Dead && child.Container == p.Container {
			l.detail(child, snapshot.Inits)
			return
		}
	}
}

// entered reports whether a process came into its container from outside: as
// its first process, or by an exec session.
func (l *looker) entered(p *snapshot.Process) bool {
	if p.Container == "" || p.State == snapshot.Dead {
		return false
	}
	parent := l.h.Process(p.PPID)
	return parent == nil || parent.Container != p.Container
}

// detail reads status, the namespaces and what the process waits in, once. All
// of it stays readable while the process's mmap_lock is held.
func (l *looker) detail(p *snapshot.Process, part snapshot.Part) {
	if p.Detail != nil {
		return
	}
	dir := "/proc/" + strconv.Itoa(p.PID)
	text, err := l.ReadFile(dir + "/status")
	if err != nil {
		l.unread(part, dir+"/status", err)
		return
	}
	s, err := procfs.ParseStatus(text)
	l.unread(part, dir+"/status", err)
	d := &snapshot.Detail{
		UID: s.UID, NSpid: s.NSpid, Ignored: snapshot.Signals(s.SigIgn), Caught: snapshot.Signals(s.SigCgt),
		Masked: snapshot.Signals(s.SigBlk), Pending: snapshot.Signals(s.SigPnd | s.ShdPnd), Seccomp: s.Seccomp, Tracer: s.Tracer, Switches: s.Switches(),
	}
	d.PIDNS = l.namespace(dir + "/ns/pid")
	d.MountNS = l.namespace(dir + "/ns/mnt")
	if exe, err := l.ReadLink(dir + "/exe"); err == nil {
		d.Exe = path.Base(exe)
	}
	d.Wchan = l.text(dir + "/wchan")
	p.Detail = d
}

// namespace returns the inode behind a namespace link, 0 where it is hidden
// from the reader or, as in a zombie, not there.
func (l *looker) namespace(file string) uint64 {
	link, err := l.ReadLink(file)
	if err != nil {
		return 0
	}
	_, inode, err := procfs.ParseNamespace(link)
	l.unread(snapshot.Reaping, file, err)
	return inode
}

// children reads whose child each child of a parent became, and when. Without
// the file (no CONFIG_PROC_CHILDREN) the origin of the dead stays unknown.
func (l *looker) children(p *snapshot.Process) {
	if p.Detail == nil {
		return
	}
	dir := "/proc/" + strconv.Itoa(p.PID) + "/task"
	tids, err := l.ReadDir(dir)
	l.unread(snapshot.Reaping, dir, err)
	for i, tid := range tids {
		if i == maxChildLists {
			break
		}
		text, err := l.ReadFile(dir + "/" + tid + "/children")
		if err != nil {
			continue
		}
		pids, err := procfs.ParseChildren(text)
		l.unread(snapshot.Reaping, dir+"/"+tid+"/children", err)
		if id, err := strconv.Atoi(tid); err == nil && len(pids) > 0 {
			p.Detail.Children = append(p.Detail.Children, snapshot.TaskChildren{TID: id, Children: pids})
		}
	}
}
