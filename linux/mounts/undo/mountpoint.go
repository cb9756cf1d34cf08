package undo

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// A Directory is one to take the place of, by what it is now.
type Directory struct {
	Path   string // below the root of its namespace, any bytes
	Device string // of stat, "8:16"
	Inode  uint64
}

// FindDirectory looks at the directory at a path, which must be on the mount with this id
// and no mount point itself.
func FindDirectory(namespace int, path string, mount uint64) (d Directory, err error) {
	if err := checkPath(path); err != nil {
		return d, err
	}
	err = inside(namespace, mounts.IsUnique(mount), func(t table) error {
		p, err := walk(path)
		if err != nil {
			return blocked(path, err)
		}
		defer p.close()
		old, err := p.directory()
		if err != nil {
			return err
		}
		defer old.Close()
		there, err := t.id(int(old.Fd()))
		if err == nil && there != mount {
			err = other("%q is on mount %d by now, not on %d", path, there, mount)
		}
		var st unix.Stat_t
		if err == nil {
			st, err = stat(old)
		}
		if err != nil {
			return failed("look at the directory", err)
		}
		d = Directory{path, device(st), st.Ino}
		return nil
	})
	return d, err
}

// RemoveMountpoint exchanges an empty directory for a new one and removes it. The
// kernel then detaches what is mounted on it, in all mount namespaces, used or not, with all that is mounted on that: also a mount that is
// alive. So last looks for those in between, when the directory has a name that nobody
// knows and nothing comes on it any more; it is called with that name, outside of the
// namespace, and its error puts all back. In this namespace nothing may be
// mounted on it, by whatever path. There is no moment in which the path is missing.
//
// The new directory has owner, mode, times and all extended attributes of the old,
// the security label too. Where one of them cannot be given, or its project quota
// or file flags would differ, it refuses, and nothing has changed. before is called with all of them
// before the first change; its error ends it.
//
// It needs what [Unmount] needs, the right to write where the directory is, and
// for its owner and attributes CAP_CHOWN, CAP_FOWNER and CAP_SYS_ADMIN.
//
// Source: Linux 3.18 fs/namei.c, vfs_rename, detach_mounts; fs/namespace.c,
// __detach_mounts. Before, and on RHEL 7 without fs.may_detach_mounts, it is EBUSY.
func RemoveMountpoint(namespace int, d Directory, before func(Saved) error, last func(name string) error) error {
	if err := checkPath(d.Path); err != nil {
		return err
	}
	return inside(namespace, true, func(table) error {
		p, err := walk(d.Path)
		if err != nil {
			return blocked(d.Path, err)
		}
		defer p.close()
		old, err := p.directory()
		if err != nil {
			return err
		}
		defer old.Close()
		saved, err := d.expected(old)
		if err != nil {
			return err
		}
		if err := before(saved); err != nil {
			return failed("write the journal", err)
		}
		return p.replace(old, saved, last)
	})
}

// Restore does what is left of a [RemoveMountpoint] that was broken off: it takes
// the unfinished new directory away, and if there is nothing at the path, makes the
// directory anew. Where the two were exchanged it removes the old one, or by an error of
// last puts that back.
func Restore(namespace int, s Saved, last func(name string) error) error {
	if err := checkPath(string(s.Path)); err != nil {
		return err
	}
	return inside(namespace, true, func(table) error {
		p, err := walk(string(s.Path))
		if err != nil {
			return blocked(string(s.Path), err)
		}
		defer p.close()
		if !strings.HasPrefix(s.Temporary, temporary) || strings.Contains(s.Temporary, "/") {
			return other("%q is no name of an unfinished directory", s.Temporary)
		}
		if err := p.clear(s, last); err != nil {
			return err
		}
		if fd, err := p.open(); err == nil {
			return unix.Close(fd)
		} else if !errors.Is(err, unix.ENOENT) {
			return failed("look at the directory", err)
		}
		made, err := p.make(s)
		if err != nil {
			return err
		}
		made.Close()
		return p.rename(s, unix.RENAME_NOREPLACE)
	})
}

// clear takes away what has the temporary name, if anything has.
func (p place) clear(s Saved, last func(string) error) error {
	err := s.at(place{p.parent, s.Temporary})
	switch {
	case err == nil && outside(last, s.Temporary) != nil:
		return p.back(s, last)
	case err != nil && !errors.Is(err, ErrOther):
		return err
	}
	if err := unix.Unlinkat(p.parent, s.Temporary, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return failed("remove the unfinished directory", err)
	}
	return nil
}

// directory opens a directory on the same mount as the one above.
func (p place) directory() (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NOATIME | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat2(p.parent, p.name, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS})
	switch {
	case errors.Is(err, unix.EXDEV):
		return nil, &Error{Busy, fmt.Sprintf("something is mounted on %q in this namespace", p.name), "unmount it there"}
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, other("%q is no directory", p.name)
	case errors.Is(err, unix.ENOENT):
		return nil, other("%q is not there", p.name)
	case errors.Is(err, unix.ENOSYS):
		return nil, &Error{Failed, "this kernel has no openat2 (Linux 5.6), without which a mount could be taken for the directory", "unmount in each namespace"}
	case err != nil:
		return nil, failed("open the directory", err)
	}
	return os.NewFile(uintptr(fd), p.name), nil
}

// expected returns all of a directory, if it is the wanted one and empty.
func (d Directory) expected(old *os.File) (Saved, error) {
	s, err := save(old)
	if err != nil {
		return s, err
	}
	if s.Device != d.Device || s.Inode != d.Inode {
		return s, other("%q is by now inode %d of device %s", d.Path, s.Inode, s.Device)
	}
	if names, _ := old.Readdirnames(1); len(names) > 0 {
		return s, other("%q is not empty: it has %q", d.Path, names[0])
	}
	if s.Inode == subvolume {
		return s, other("%q may be a subvolume, which a directory is no replacement for", d.Path)
	}
	s.Path, s.Temporary = []byte(d.Path), temporary+rand.Text()
	return s, nil
}

const temporary = ".sexton-"

// subvolume is the inode of the root of each btrfs subvolume.
const subvolume = 256

// replace proves by the old directory, which it has open, that it was that one.
func (p place) replace(old *os.File, s Saved, last func(string) error) error {
	made, err := p.make(s)
	if err != nil {
		return err
	}
	made.Close()
	if err := p.swap(s, last); err != nil {
		return err
	}
	if !dead(old) {
		return &Error{Unverified, fmt.Sprintf("another empty directory that came to %q was replaced", s.Path), lookAgain}
	}
	return nil
}

// swap exchanges the two and removes what it has then under the temporary name, which
// nobody else knows, if it is the old one and last lets it; else all is put back. Where a
// file system cannot exchange, as an overlay cannot what is in its lower layers, the new
// one is renamed over what is there.
func (p place) swap(s Saved, last func(string) error) error {
	err := p.exchange(s)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ENOSYS) {
		if err = s.at(p); err == nil {
			err = outside(last, p.name)
		}
		if err != nil {
			p.drop(s)
			return err
		}
		return p.rename(s, 0)
	}
	if err != nil {
		p.drop(s)
		return p.refusedBy(s, err)
	}
	if err = s.at(place{p.parent, s.Temporary}); err == nil {
		err = outside(last, s.Temporary)
	}
	if err == nil {
		if err = unix.Unlinkat(p.parent, s.Temporary, unix.AT_REMOVEDIR); err == nil {
			return nil
		}
		err = p.refusedBy(s, err)
	}
	return cmp.Or(p.back(s, last), err)
}

func (p place) exchange(s Saved) error {
	return unix.Renameat2(p.parent, s.Temporary, p.parent, p.name, unix.RENAME_EXCHANGE)
}

// back undoes an exchange, and removes the new directory if nothing came on it meanwhile.
func (p place) back(s Saved, last func(string) error) error {
	if err := p.exchange(s); err != nil {
		return failed(fmt.Sprintf("put back what came to %q, which is called %q by now", s.Path, s.Temporary), err)
	}
	if err := outside(last, s.Temporary); err != nil {
		return &Error{Failed, fmt.Sprintf("%q was put back, and an empty directory %q is left beside it, for something may have been mounted on that meanwhile: %v", s.Path, s.Temporary, err), "rmdir it when nothing is"}
	}
	p.drop(s)
	return nil
}

// outside calls last on a thread that is not in the namespace.
func outside(last func(string) error, name string) error {
	done := make(chan error, 1)
	go func() { done <- last(name) }()
	return <-done
}

// at refuses what is not the saved directory.
func (s Saved) at(p place) error {
	f, err := p.directory()
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := stat(f)
	if err != nil {
		return failed("look at the directory", err)
	}
	if device(st) != s.Device || st.Ino != s.Inode {
		return other("%q is by now inode %d of device %s", s.Path, st.Ino, device(st))
	}
	return nil
}

// dead reports whether an open directory has been removed. The kernel lists none
// that has; the count of links says nothing on an overlay.
//
// Source: Linux 6.18 fs/readdir.c, iterate_dir.
func dead(dir *os.File) bool {
	_, err := unix.ReadDirent(int(dir.Fd()), make([]byte, 1024))
	return errors.Is(err, unix.ENOENT)
}

// make makes the new directory under its temporary name; if it fails, none is left.
func (p place) make(s Saved) (made *os.File, err error) {
	if err := unix.Mkdirat(p.parent, s.Temporary, 0o700); err != nil {
		return nil, failed("make a directory", err)
	}
	defer func() {
		if err != nil {
			p.drop(s)
		}
	}()
	unfinished := place{p.parent, s.Temporary}
	if made, err = unfinished.directory(); err != nil {
		return nil, err
	}
	if err := s.give(made); err != nil {
		made.Close()
		return nil, err
	}
	return made, nil
}

// rename puts the new directory in its place; if it fails, it is removed.
func (p place) rename(s Saved, flags uint) error {
	err := unix.Renameat2(p.parent, s.Temporary, p.parent, p.name, flags)
	if err == nil {
		return nil
	}
	p.drop(s)
	return p.refusedBy(s, err)
}

// drop removes the new directory, if it is not in its place.
func (p place) drop(s Saved) { unix.Unlinkat(p.parent, s.Temporary, unix.AT_REMOVEDIR) }

func (p place) refusedBy(s Saved, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return &Error{Busy, fmt.Sprintf("%q is a mount point in this namespace, by this or another path", s.Path), "unmount it there"}
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return other("%q is not empty, or has just come", s.Path)
	}
	return failed("put the new directory in its place", err)
}
