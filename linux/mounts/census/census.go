// Package census reads every mount of every mount namespace of a running host.
//
// On Linux 6.12 and later it asks listmount and statmount, which reach the
// namespaces without a process too and read no path. On older kernels, and
// where a filter forbids the calls, it reads mountinfo.
package census

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
)

// A Way is how a host's mounts are read.
type Way string

// The ways, best first.
const (
	Statmount Way = "statmount"
	Mountinfo Way = "mountinfo"
)

// A Request says what to read.
type Request struct {
	Proc   string // where the host's /proc is; "" is /proc
	Way    Way    // "" is the best that works
	Passes int    // at most; 0 is 5. With 1 nothing is compared, so Settled is false

	// Whole reads Root, MountPoint, Type, Source and Super as well. Without it they are
	// there for mounts of nsfs alone. Mountinfo has all strings and does not ask.
	Whole bool

	// About, if not nil, leaves out most mounts. Whole must be false then.
	About *Question

	// Locked says that every mount is to be read under the kernel's own lock, so not by a
	// BPF program: for who acts on it.
	Locked bool

	fewMounts int // for which no BPF program is loaded; 0 is the constant
}

func (r *Request) strings() bool { return r.Whole || r.About != nil }

// A Census is every mount of every mount namespace that could be read.
//
// One pass is no snapshot: while mounts come and go, it can hold halves of two
// states. So the host is read until two passes are equal in all that
// propagation depends on (namespaces, ids, parents, peer groups, masters).
type Census struct {
	Way        Way
	Why        string             // why not a better way; "" if it is the best
	NoBPF      string             // why no BPF program could be loaded where it was worth it
	BPF        bool               // most numbers were read by a BPF program, which takes a sixth of the time
	Namespaces []mounts.Namespace // by inode; Options of their mounts are told by some ways only
	Blind      string             // what this way sees on no host, and why; "": nothing
	Passes     int
	Settled    bool     // the last two passes were equal
	Moving     []uint64 // inodes of the namespaces that differed in the last two passes
	Unknown    []mounts.Unknown

	// Devices are the superblocks of all mounts, in no order and some more than once,
	// also of those that a question left out; nil where strings were read of few alone.
	Devices []mounts.Device
}

// Read takes the census. A namespace or mount that vanishes meanwhile is left
// out: that is normal. What exists and could not be read is in Unknown. It is
// an error only if nothing could be read or ctx ends.
//
// Its calls read no file system, so no dead server holds them up; they wait
// where the kernel's own mount lock is held.
func Read(ctx context.Context, req Request) (*Census, error) {
	if req.Proc == "" {
		req.Proc = "/proc"
	}
	if req.Passes <= 0 {
		req.Passes = 5
	}
	way, why := Detect(req.Proc)
	if req.Way != "" && req.Way != way {
		way, why = req.Way, fmt.Sprintf("%s was asked for", req.Way)
	}
	c := &Census{Way: way, Why: why}
	var err error
	if way == Mountinfo {
		err = c.readMountinfo(ctx, req)
	} else {
		err = c.readStatmount(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Census) readStatmount(ctx context.Context, req Request) error {
	r, err := newFastReader(req)
	if err != nil {
		return err
	}
	defer r.close()
	if err := c.settle(ctx, req.Passes, r.pass); err != nil {
		return err
	}
	if err := r.recheck(ctx, c.Namespaces); err != nil {
		return err
	}
	c.Unknown = r.unknown(c)
	c.BPF = r.byKernel
	if r.noBPF != nil {
		c.NoBPF = r.noBPF.Error()
	}
	if req.Whole || req.About != nil && req.About.Asked != nil {
		c.Devices = r.supers.devices()
	}
	if nestedPIDs(req.Proc) {
		c.Blind = "mount namespaces without a process, thread, bound or open file in this PID namespace: from here the kernel leads to no others"
	}
	return nil
}

func (c *Census) readMountinfo(ctx context.Context, req Request) error {
	r, err := newSlowReader(req)
	if err != nil {
		return err
	}
	defer r.close()
	if err := c.settle(ctx, req.Passes, r.pass); err != nil {
		return err
	}
	c.Unknown = r.unknown
	c.Blind = "mount namespaces that only a descriptor in flight in a socket keeps, and mounts that are covered at the root of one, below the one on /: nothing in /proc leads to them"
	c.Devices = devicesIn(c.Namespaces)
	if req.About != nil {
		req.About.answer(c.Namespaces)
	}
	return nil
}

// Detect says which way works here, and why not a better one.
func Detect(proc string) (Way, string) {
	fd, err := openOwn(proc)
	if err != nil {
		return Mountinfo, err.Error()
	}
	defer unix.Close(fd)
	if _, err := nsfs.Get(fd); err != nil {
		if errors.Is(err, unix.ENOTTY) {
			return Mountinfo, "the kernel cannot go from one mount namespace to the next: that is Linux 6.12"
		}
		return Mountinfo, err.Error()
	}
	known, err := statmount.Supported()
	if err != nil {
		return Mountinfo, err.Error()
	}
	if need := statmount.Device | statmount.Basic | statmount.Root | statmount.Point | statmount.Type; known&need != need {
		return Mountinfo, fmt.Sprintf("statmount tells only %#x", uint64(known))
	}
	if _, err := statmount.NewCaller().List(0, nil); err != nil {
		return Mountinfo, err.Error()
	}
	return Statmount, ""
}

func openOwn(proc string) (int, error) {
	path := filepath.Join(proc, "thread-self/ns/mnt")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// settle repeats pass until two give the same.
func (c *Census) settle(ctx context.Context, passes int, pass func(context.Context) ([]mounts.Namespace, error)) error {
	for c.Passes < passes && !c.Settled {
		now, err := pass(ctx)
		if err != nil {
			return err
		}
		if c.Passes > 0 {
			c.Moving = moved(c.Namespaces, now)
			c.Settled = len(c.Moving) == 0
		}
		c.Namespaces = now
		c.Passes++
	}
	return nil
}

// moved lists the namespaces that are in one only of two passes or not the same
// in both. Both are sorted by inode.
func moved(before, now []mounts.Namespace) (inodes []uint64) {
	for len(before) > 0 || len(now) > 0 {
		switch {
		case len(now) == 0 || len(before) > 0 && before[0].Inode < now[0].Inode:
			inodes, before = append(inodes, before[0].Inode), before[1:]
		case len(before) == 0 || now[0].Inode < before[0].Inode:
			inodes, now = append(inodes, now[0].Inode), now[1:]
		default:
			a, b := &before[0], &now[0]
			if a.ID != b.ID || a.Owner != b.Owner || !slices.EqualFunc(a.Mounts, b.Mounts, same) {
				inodes = append(inodes, a.Inode)
			}
			before, now = before[1:], now[1:]
		}
	}
	return inodes
}

// same compares what propagation depends on.
func same(a, b mounts.Mount) bool {
	return a.ID == b.ID && a.UniqueID == b.UniqueID && a.Parent == b.Parent && a.UniqueParent == b.UniqueParent &&
		a.Shared == b.Shared && a.Master == b.Master && a.Unbindable == b.Unbindable && a.Major == b.Major && a.Minor == b.Minor
}
