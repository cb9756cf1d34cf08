package holders

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// What keeps a mount namespace, besides an [FD].
const (
	Process Kind = "process" // its first thread is in it
	Thread  Kind = "thread"  // another thread is, and the first is elsewhere
	Bind    Kind = "bind"    // a mount of the namespace's file
	Socket  Kind = "socket"  // a socket in which descriptors wait to be received: perhaps one of this namespace
)

// A Pin is one thing that keeps a mount namespace.
type Pin struct {
	Kind Kind
	PID  int // 0 of Bind
	TID  int // of Thread, and of FD and Socket if the process has it not
	FD   int // of FD and Socket

	// Of Bind: the mount point, and the inode of the namespace that has it.
	Path      string
	Namespace uint64
}

// A PinRequest says where to look.
type PinRequest struct {
	Proc   string // where the host's /proc is; "" is /proc
	Spaces []mounts.Namespace

	// Descriptors are many, and most namespaces have processes. With false they
	// are looked at only if one of Spaces is kept by nothing else, of those that
	// Asked names by inode; nil: of all.
	Descriptors bool
	Asked       []uint64

	// Only says that what keeps others may be missing, but for those in which one of
	// Asked is bound: on a large host most processes need not be looked at then.
	Only bool

	// InFlight looks for a [Socket] too, where one of them is kept by nothing else. Of
	// many the first few are told.
	InFlight bool
}

// Pins finds what keeps each mount namespace, by inode: processes, threads,
// mounts in Spaces, open files. A namespace of Spaces that is not in the answer
// is kept by what has no name: a descriptor in flight in a socket, or a process
// that this /proc does not show. No link names what is in flight, but since Linux
// 5.6 a socket tells how many descriptors are.
//
// It reads links, which no server and no lock holds up, and of sockets the fdinfo. The
// first thread of a process stands for those that are where it is. A process that has ended
// and waits to be reaped is in no namespace. Other threads of the caller's are
// left out: they enter namespaces to look, and may still be on their way out.
//
// Source: namespaces(7), proc_pid_ns(5); Linux 6.12 fs/proc/namespaces.c; Linux
// 5.6 net/unix/af_unix.c, unix_show_fdinfo.
func Pins(ctx context.Context, req PinRequest) (pins map[uint64][]Pin, unknown []mounts.Unknown, err error) {
	if req.Proc == "" {
		req.Proc = "/proc"
	}
	w, err := newWalker(ctx, req.Proc)
	if err != nil {
		return nil, nil, err
	}
	defer w.close()
	w.denied("processes", hidden(req.Proc))
	p := pinWalk{walker: w, req: req, pins: make(map[uint64][]Pin, len(req.Spaces))}
	for i := range req.Spaces {
		p.binds(&req.Spaces[i])
	}
	if err := w.processes(p.within(), p.process); err != nil {
		return nil, w.unknown, err
	}
	if req.Descriptors || len(p.free()) > 0 {
		if err := w.processes(nil, p.descriptors); err != nil {
			return nil, w.unknown, err
		}
	}
	if req.InFlight {
		p.inFlight()
	}
	return p.pins, w.unknown, nil
}

// A pinWalk is one call of Pins.
type pinWalk struct {
	*walker
	req     PinRequest
	pins    map[uint64][]Pin
	sockets []socket // that are open, if they are asked for
}

// A socket is one of many that are remembered while descriptors are read.
type socket struct{ pid, tid, fd int32 }

// Bounds of what a container can make us keep.
const (
	mostSockets = 1 << 20 // that are remembered
	mostTold    = 64      // descriptors of one process of one namespace, and sockets of all
)

func (p *pinWalk) add(inode uint64, pin Pin) { p.pins[inode] = append(p.pins[inode], pin) }

// free lists the namespaces asked about that nothing has been found to keep.
func (p *pinWalk) free() (inodes []uint64) {
	for i := range p.req.Spaces {
		inode := p.req.Spaces[i].Inode
		if len(p.pins[inode]) == 0 && (p.req.Asked == nil || slices.Contains(p.req.Asked, inode)) {
			inodes = append(inodes, inode)
		}
	}
	return inodes
}

func (p *pinWalk) binds(ns *mounts.Namespace) {
	for i := range ns.Mounts {
		if inode, ok := mounts.BoundNamespace(&ns.Mounts[i]); ok {
			p.add(inode, Pin{Kind: Bind, Path: ns.Mounts[i].MountPoint, Namespace: ns.Inode})
		}
	}
}

// process adds where a process and its threads are.
func (p *pinWalk) process(pid int) {
	first, err := p.namespace(place{p.proc, "", p.name(strconv.Itoa(pid), "/ns/mnt")})
	if err != nil {
		p.denied(fmt.Sprintf("mount namespace of process %d", pid), err)
		if !Gone(err) {
			return // its threads have the same guard
		}
	}
	if first != 0 {
		p.add(first, Pin{Kind: Process, PID: pid})
	}
	if pid == p.self {
		return
	}
	threads, err := p.threads(pid)
	if err != nil {
		p.denied(fmt.Sprintf("threads of process %d", pid), err)
	}
	for _, tid := range threads {
		if tid == pid {
			continue
		}
		inode, err := p.namespace(place{p.proc, "", p.name(fmt.Sprintf("%d/task/%d", pid, tid), "/ns/mnt")})
		p.denied(fmt.Sprintf("mount namespace of thread %d of process %d", tid, pid), err)
		if inode != 0 && inode != first {
			p.add(inode, Pin{Kind: Thread, PID: pid, TID: tid})
		}
	}
}

// descriptors adds the namespace files that a process has open, or a thread
// that has files of its own.
func (p *pinWalk) descriptors(pid int) {
	threads, err := p.threads(pid)
	p.denied(fmt.Sprintf("open files of process %d", pid), err)
	var tables []int // threads with files that no earlier one has
	for _, tid := range threads {
		if p.shares(kcmpFiles, tables, tid) {
			continue
		}
		tables = append(tables, tid)
		pin := Pin{Kind: FD, PID: pid}
		if tid != pid {
			pin.TID = tid
		}
		p.table(fmt.Sprintf("%d/task/%d/fd", pid, tid), pin)
	}
}

func (p *pinWalk) table(dir string, pin Pin) {
	at, err := p.open(dir)
	if err != nil {
		p.denied("open files: "+dir, err)
		return
	}
	defer unix.Close(at)
	fds, err := p.numbersIn(at, dir)
	p.denied("open files: "+dir, err)
	told := map[uint64]int{}
	for _, pin.FD = range fds {
		if p.ctx.Err() != nil {
			return
		}
		link, err := p.linkAt(place{at, dir + "/", p.number(pin.FD)})
		if p.denied("open files: "+dir, err); err != nil && !Gone(err) {
			return // the others have the same guard
		}
		inode, ok := mounts.NamespaceInode(link)
		switch {
		case ok && told[inode] < mostTold:
			told[inode]++
			p.add(inode, pin)
		case p.req.InFlight && bytes.HasPrefix(link, []byte("socket:[")) && len(p.sockets) <= mostSockets: // no path begins like this
			p.sockets = append(p.sockets, socket{int32(pin.PID), int32(pin.TID), int32(pin.FD)})
		}
	}
}

// inFlight adds the sockets in which something waits to each namespace that
// nothing else keeps: what it is, nobody tells.
func (p *pinWalk) inFlight() {
	free := p.free()
	if len(free) == 0 {
		return
	}
	if len(p.sockets) > mostSockets {
		p.denied("sockets", fmt.Errorf("only %d are asked what waits in them", mostSockets))
		p.sockets = p.sockets[:mostSockets]
	}
	var found []Pin
	for _, s := range p.sockets {
		if len(found) == mostTold || p.ctx.Err() != nil {
			break
		}
		path := infoPath(fmt.Sprintf("%d/fd/%d", s.pid, s.fd))
		if s.tid != 0 {
			path = infoPath(fmt.Sprintf("%d/task/%d/fd/%d", s.pid, s.tid, s.fd))
		}
		text, err := p.read(path, maxFDInfo)
		p.denied("open files: "+path, err)
		if parseInFlight(text) > 0 {
			found = append(found, Pin{Kind: Socket, PID: int(s.pid), TID: int(s.tid), FD: int(s.fd)})
		}
	}
	if len(found) == 0 {
		return
	}
	for _, inode := range free {
		p.pins[inode] = slices.Clip(found) // one list: a container can have as many namespaces as sockets
	}
}

// namespace reads a link and returns the inode of the mount namespace that it
// names, 0 for any other text. No file's path reads like it: paths begin with '/'.
func (p *pinWalk) namespace(at place) (uint64, error) {
	text, err := p.linkAt(at)
	if err != nil {
		return 0, err
	}
	inode, _ := mounts.NamespaceInode(text)
	return inode, nil
}
