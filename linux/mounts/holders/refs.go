package holders

import (
	"context"
	"fmt"
	"io/fs"
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
	FD      int    // of FD; of IOURing, the ring's
	Range   string // of Mapping: "7f0a4000-7f0a5000", the first of this file
	MountID uint64 // 0 of IOURing, of which the kernel tells only the path
	Unique  bool   // MountID is never used again (Linux 6.8); else it is that of mountinfo
	Major   uint32 // of the file, which on btrfs is not the mount's
	Minor   uint32
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

	// Begin, if not nil, is told before a process is asked for its descriptors
	// and directories (FD), and later for its mappings (Mapping). Who waits for
	// this in vain learns from it which process to leave out.
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
	r := &refWalk{walker: w, req: req, visit: visit, internal: internalDevices()}
	if req.PIDs == nil {
		w.denied("processes", hidden(req.Proc))
	}
	for _, kind := range []Kind{FD, Mapping} {
		each := func(pid int) {
			if r.err != nil {
				return
			}
			if req.Begin != nil {
				req.Begin(pid, kind)
			}
			if kind == FD {
				r.process(pid)
			} else {
				r.mappings(pid)
			}
		}
		if err := r.each(each); err != nil {
			return w.unknown, err
		}
	}
	return w.unknown, nil
}

// A refWalk is one call of Refs.
type refWalk struct {
	*walker
	req      RefRequest
	visit    func(Ref) error
	internal map[device]bool
	err      error // of visit or ctx: nothing more is wanted
}

type device struct{ major, minor uint32 }

func (r *refWalk) each(visit func(pid int)) error {
	if r.req.PIDs == nil {
		if err := r.processes(visit); err != nil {
			return err
		}
	}
	for _, pid := range r.req.PIDs {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		visit(pid)
	}
	return r.err
}

// process visits what a process and its threads have, without mappings.
func (r *refWalk) process(pid int) {
	threads, err := r.threads(pid)
	r.denied(fmt.Sprintf("references of process %d", pid), err)
	var files, dirs []int // threads with tables that no earlier one has
	for _, tid := range threads {
		ref := Ref{PID: pid}
		at := fmt.Sprintf("%d/", pid)
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
		r.one(fmt.Sprintf("%d/task/%d/exe", pid, threads[len(threads)-1]), Ref{PID: pid, Kind: Exe}) // a first thread that ended has none
	}
}

func (r *refWalk) dirs(at string, ref Ref) {
	ref.Kind = Cwd
	r.one(at+"cwd", ref)
	ref.Kind = Root
	r.one(at+"root", ref)
}

func (r *refWalk) files(at string, ref Ref) {
	fds, err := r.numbers(at + "fd")
	r.denied("open files: "+at+"fd", err)
	ref.Kind = FD
	for _, fd := range fds {
		if r.err != nil {
			return
		}
		ref.FD = fd
		r.one(fmt.Sprintf("%sfd/%d", at, fd), ref)
	}
}

// mappings visits the mapped files of a process, each once.
func (r *refWalk) mappings(pid int) {
	dir := fmt.Sprintf("%d/map_files", pid)
	ranges, err := r.names(dir)
	r.denied("mappings: "+dir, err)
	type file struct {
		device
		inode, mount uint64
	}
	seen := map[file]bool{}
	for _, name := range ranges {
		if r.err != nil {
			return
		}
		ref := Ref{PID: pid, Kind: Mapping, Range: name}
		path := dir + "/" + name
		err := r.stat(path, &ref)
		f := file{device{ref.Major, ref.Minor}, ref.Inode, ref.MountID}
		if err != nil {
			if r.denied("mappings: "+dir, err); !Gone(err) {
				return // all links of the folder have the same guard
			}
			continue
		}
		if !seen[f] {
			seen[f] = true
			r.keep(path, ref)
		}
	}
}

// one visits what the link at path leads to, if it is on a mount.
func (r *refWalk) one(path string, ref Ref) {
	if r.err != nil {
		return
	}
	if err := r.stat(path, &ref); err != nil {
		r.denied(string(ref.Kind)+": "+path, err)
		return
	}
	r.keep(path, ref)
}

// stat fills what statx tells of the file that the link at path leads to.
func (r *refWalk) stat(path string, ref *Ref) error {
	if r.err = r.ctx.Err(); r.err != nil {
		return r.err
	}
	var stat unix.Statx_t
	const flags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	if err := unix.Statx(r.proc, path, flags, unix.STATX_INO|unix.STATX_MNT_ID|unix.STATX_MNT_ID_UNIQUE, &stat); err != nil {
		return &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	ref.Major, ref.Minor, ref.Inode = stat.Dev_major, stat.Dev_minor, stat.Ino
	ref.MountID, ref.Unique = stat.Mnt_id, stat.Mask&unix.STATX_MNT_ID_UNIQUE != 0
	if !ref.Unique && stat.Mask&unix.STATX_MNT_ID == 0 {
		return r.oldMountID(path, ref)
	}
	return nil
}

// keep passes a reference on if it is wanted.
func (r *refWalk) keep(path string, ref Ref) {
	if r.internal[device{ref.Major, ref.Minor}] {
		if ref.Kind == FD {
			r.ring(path, ref)
		}
		return
	}
	if r.req.Want != nil && !r.req.Want(&ref) {
		return
	}
	link, err := r.link(path)
	if err != nil {
		r.denied(string(ref.Kind)+": "+path, err)
		return
	}
	ref.Link = link
	if strings.HasPrefix(link, "/dmabuf:") && r.isDMABuf(path) {
		r.internal[device{ref.Major, ref.Minor}] = true
		return
	}
	r.err = r.visit(ref)
}
