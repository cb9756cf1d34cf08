package census

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
)

// nestedPIDs reports whether this process is in a PID namespace of its own. From
// there the kernel does not lead from one mount namespace to the next.
//
// Source: Linux 6.18 kernel/nscommon.c, may_see_all_namespaces.
func nestedPIDs(proc string) bool {
	var stat unix.Stat_t
	err := unix.Stat(filepath.Join(proc, "thread-self/ns/pid"), &stat)
	return err == nil && stat.Ino != mounts.FirstPIDNamespace
}

// each calls visit for every mount namespace that can be found: as the kernel
// lists them or, where it does not, as processes, threads, descriptors and bound
// files lead to them.
func (r *fastReader) each(ctx context.Context, visit func(fd int, info nsfs.Info) error) error {
	if !nestedPIDs(r.req.Proc) {
		return nsfs.Each(r.own, visit)
	}
	s, err := newSlowReader(r.req)
	if err != nil {
		return err
	}
	defer s.close()
	pins, unknown, err := holders.Pins(ctx, holders.PinRequest{Proc: r.req.Proc, Descriptors: true})
	if err != nil {
		return err
	}
	w := walk{ctx: ctx, slow: s, caller: statmount.NewCaller(), visit: visit, seen: map[uint64]bool{}}
	r.walked = unknown
	for inode, of := range pins {
		fd, err := s.open(inode, of)
		if err != nil {
			s.blind(fmt.Sprintf("mnt:[%d]", inode), err)
			continue
		}
		err = w.take(fd, inode)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	r.walked = append(r.walked, s.unknown...)
	return ctx.Err()
}

// A walk goes from namespaces to those that are bound in them.
type walk struct {
	ctx    context.Context
	slow   *slowReader
	caller *statmount.Caller
	visit  func(fd int, info nsfs.Info) error
	seen   map[uint64]bool
}

func (w *walk) take(fd int, inode uint64) error {
	if w.seen[inode] || w.ctx.Err() != nil {
		return nil
	}
	w.seen[inode] = true
	info, err := nsfs.Get(fd)
	if err != nil {
		return err
	}
	if err := w.visit(fd, info); err != nil {
		return err
	}
	for _, m := range w.nsfs(info.ID) {
		bound, ok := mounts.BoundNamespace(&m)
		if !ok || w.seen[bound] {
			continue
		}
		other, err := w.slow.openBound(fd, m.MountPoint, bound)
		if err != nil {
			w.slow.blind(fmt.Sprintf("mnt:[%d], which is bound at %q in mnt:[%d]", bound, m.MountPoint, inode), err)
			continue
		}
		err = w.take(other, bound)
		unix.Close(other)
		if err != nil {
			return err
		}
	}
	return nil
}

// nsfs lists the mounts of namespace files in a mount namespace. What is gone, or
// not ours to see, is left out here: pass says so.
func (w *walk) nsfs(namespace uint64) (all []mounts.Mount) {
	ids, err := w.caller.List(namespace, nil)
	if err != nil {
		return nil
	}
	for _, id := range ids {
		var m mounts.Mount
		_, magic, err := w.caller.Stat(namespace, id, statmount.Device, &m)
		if err != nil || magic != mounts.NamespaceMagic {
			continue
		}
		if _, _, err := w.caller.Stat(namespace, id, statmount.Root|statmount.Point|statmount.Type, &m); err == nil {
			all = append(all, m)
		}
	}
	return all
}
