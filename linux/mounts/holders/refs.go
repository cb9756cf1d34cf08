package holders

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// A Kind is how a process refers to a mount or to a mount namespace.
type Kind string

// What refers to a mount.
const (
	FD      Kind = "fd" // an open file; of a mount namespace too
	Cwd     Kind = "cwd"
	Root    Kind = "root"
	Exe     Kind = "exe"
	Mapping Kind = "mmap"
	IOURing Kind = "iouring" // a file that is registered with an io_uring
)

// A Ref is one reference of a process to a mount.
type Ref struct {
	PID     int
	TID     int // 0, unless the thread has its own and the process has it not
	Kind    Kind
	FD      int           // of FD; of IOURing, the ring's
	Range   string        // of Mapping: "7f0a4000-7f0a5000", the first of this file
	MountID uint64        // 0 of IOURing, of which the kernel tells only the path
	Unique  bool          // MountID is never used again (Linux 6.8); else it is that of mountinfo
	Device  mounts.Device // of the file, which on btrfs is not the mount's
	Inode   uint64
	Link    string // the link's text: a path below a root that nobody else may have
}

// A RefRequest says which references are looked for.
type RefRequest struct {
	Proc string // where the host's /proc is; "" is /proc
	PIDs []int  // these processes; nil: all

	// Want says which are kept; nil: all. Link is read after it, so a Want
	// that keeps few saves half of the time.
	Want func(*Ref) bool

	// Superblock says by the device of its file system, which on btrfs is not
	// the file's, whether a mapping is looked at; nil: all are. Where few are,
	// mappings cost a quarter. Before Linux 6.11 it is not asked, and all are.
	Superblock func(mounts.Device) bool

	// Begin, if not nil, is told before a process is asked for its descriptors
	// and directories (FD), and later for its mappings (Mapping), and again after
	// each thousand of the first hundred thousand. Who waits for this in vain learns
	// from it which process to leave out: it is blocked, or has far too much open.
	Begin func(pid int, kind Kind)
}

// Refs calls visit for every reference to a mount that a process has. Those to
// the kernel's own mounts (pipes, sockets, memory) are left out. An error of
// visit ends the walk and is returned.
//
// It follows the links of /proc with statx and asks no file system for news.
// Even so it may hang, for a process whose mmap_lock is held (its mappings come
// last) and in what the kernel does on the way: call it in a child that can be
// abandoned. ctx is looked at between calls.
//
// Source: statx(2), STATX_MNT_ID_UNIQUE of Linux 6.8, STATX_MNT_ID of 5.8;
// proc_pid_fd(5), proc_pid_map_files(5).
func Refs(ctx context.Context, req RefRequest, visit func(Ref) error) (unknown []mounts.Unknown, err error) {
	if req.Proc == "" {
		req.Proc = "/proc"
	}
	w, err := newWalker(ctx, req.Proc)
	if err != nil {
		return nil, err
	}
	defer w.close()
	r := newRefWalk(w, req, visit)
	if req.PIDs == nil {
		w.denied("processes", hidden(req.Proc))
	}
	for _, kind := range []Kind{FD, Mapping} {
		each := func(pid int) {
			if r.err != nil {
				return
			}
			r.begin(pid, kind)
			if kind == FD {
				r.process(pid)
			} else {
				r.mappings(pid)
			}
		}
		if err := w.processes(req.PIDs, each); err != nil {
			return w.unknown, err
		}
		if r.err != nil {
			return w.unknown, r.err
		}
	}
	return w.unknown, nil
}

// A refWalk is one call of Refs.
type refWalk struct {
	*walker
	req      RefRequest
	visit    func(Ref) error
	internal map[mounts.Device]bool
	rings    mounts.Device // where io_urings are, among others of no mount
	noQuery  bool          // this kernel tells of mappings only by their links
	err      error         // of visit or ctx: nothing more is wanted
	ref      Ref           // the one at hand
	names    [2][]byte     // of mapped files: of one piece and of the one before
}

func newRefWalk(w *walker, req RefRequest, visit func(Ref) error) *refWalk {
	r := &refWalk{walker: w, req: req, visit: visit, names: [2][]byte{make([]byte, unix.PathMax), make([]byte, unix.PathMax)}}
	r.internal, r.rings = internalDevices()
	return r
}

func (r *refWalk) begin(pid int, kind Kind) {
	if r.req.Begin != nil {
		r.req.Begin(pid, kind)
	}
}

// goesOn tells after each thousand of what a process has that it answers, as long as it
// leaves time for others.
func (r *refWalk) goesOn(n, pid int, kind Kind) {
	const most = 100_000
	if n%1000 == 999 && n < most {
		r.begin(pid, kind)
	}
}

// process visits what a process and its threads have, without mappings.
func (r *refWalk) process(pid int) {
	threads, err := r.threads(pid)
	if err != nil {
		r.denied(fmt.Sprintf("references of process %d", pid), err)
		return
	}
	var files, dirs []int // threads with tables that no earlier one has
	for _, tid := range threads {
		ref := Ref{PID: pid}
		at := strconv.Itoa(pid) + "/"
		if tid != pid {
			ref.TID, at = tid, fmt.Sprintf("%d/task/%d/", pid, tid)
		}
		if !r.shares(kcmpFS, dirs, tid) {
			dirs = append(dirs, tid)
			r.dirs(at, ref)
		}
		if !r.shares(kcmpFiles, files, tid) {
			files = append(files, tid)
			r.files(at, ref)
		}
	}
	if len(threads) > 0 {
		task := strconv.Itoa(pid) + "/task/" + strconv.Itoa(threads[len(threads)-1])
		r.one(place{r.proc, "", r.name(task, "/exe")}, Ref{PID: pid, Kind: Exe}) // a first thread that ended has none
	}
}

func (r *refWalk) dirs(at string, ref Ref) {
	ref.Kind = Cwd
	r.one(place{r.proc, "", r.name(at, "cwd")}, ref)
	ref.Kind = Root
	r.one(place{r.proc, "", r.name(at, "root")}, ref)
}

func (r *refWalk) files(at string, ref Ref) {
	at += "fd"
	dir, err := r.open(at)
	if err != nil {
		r.denied("open files: "+at, err)
		return
	}
	defer unix.Close(dir)
	fds, err := r.numbersIn(dir, at)
	r.denied("open files: "+at, err)
	ref.Kind, at = FD, at+"/"
	for i, fd := range fds {
		if r.err != nil {
			return
		}
		r.goesOn(i, ref.PID, FD)
		ref.FD = fd
		r.one(place{dir, at, r.number(fd)}, ref)
	}
}

// one visits what a link leads to, if it is on a mount.
func (r *refWalk) one(at place, ref Ref) {
	if r.err != nil {
		return
	}
	r.ref = ref
	if err := r.stat(at, &r.ref); err != nil {
		r.denied(string(ref.Kind)+": "+at.path(), err)
		return
	}
	r.keep(at, &r.ref)
}

// stat fills what statx tells of the file that a link leads to.
func (r *refWalk) stat(at place, ref *Ref) error {
	if r.err = r.ctx.Err(); r.err != nil {
		return r.err
	}
	var stat unix.Statx_t
	if errno := statx(at, unix.STATX_INO|unix.STATX_MNT_ID|unix.STATX_MNT_ID_UNIQUE, &stat); errno != 0 {
		return &fs.PathError{Op: "statx", Path: at.path(), Err: errno}
	}
	ref.Device, ref.Inode = mounts.Device{Major: stat.Dev_major, Minor: stat.Dev_minor}, stat.Ino
	ref.MountID, ref.Unique = stat.Mnt_id, stat.Mask&unix.STATX_MNT_ID_UNIQUE != 0
	if !ref.Unique && stat.Mask&unix.STATX_MNT_ID == 0 {
		return r.oldMountID(at.path(), ref)
	}
	return nil
}

// keep passes a reference on if it is wanted.
func (r *refWalk) keep(at place, ref *Ref) {
	on := ref.Device
	if r.internal[on] {
		if ref.Kind == FD && on == r.rings {
			r.ring(at.path(), *ref)
		}
		return
	}
	if r.req.Want != nil && !r.req.Want(ref) {
		return
	}
	if ref.Link == "" {
		link, err := r.linkAt(at)
		if err != nil {
			r.denied(string(ref.Kind)+": "+at.path(), err)
			return
		}
		ref.Link = string(link)
	}
	if strings.HasPrefix(ref.Link, "/dmabuf:") && r.isDMABuf(at.path()) {
		r.internal[on] = true
		return
	}
	r.err = r.visit(*ref)
}
