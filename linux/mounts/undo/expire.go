package undo

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// tries is how often a mount is marked that somebody uses for a moment now and
// then, as a monitor does, or while others rename beside it.
const tries = 100

// unmount unmounts the wanted mount if nothing uses it. See the package's comment.
func (t table) unmount(m Mount) error {
	err := errAgain
	for n := 0; n < tries && errors.Is(err, errAgain); n++ {
		err = t.once(m)
	}
	if errors.Is(err, errAgain) {
		return &Error{Busy, "mount points beside it are renamed all the time, or it is used", "find by whom with sexton holders, and end that"}
	}
	return err
}

var errAgain = errors.New("something came between")

func (t table) once(m Mount) error {
	p, fd, _, err := t.reach(m)
	if err != nil {
		return err
	}
	defer p.close()
	watch, err := t.watch(p.parent)
	if err == nil {
		defer unix.Close(watch)
		err = t.sameAt(p, m) // not before the watch
	}
	unix.Close(fd)
	if err != nil {
		return err
	}
	if err := unix.Fchdir(p.parent); err != nil {
		return failed("go to the directory above", err)
	}
	const expire = unix.MNT_EXPIRE | unix.UMOUNT_NOFOLLOW
	switch err := unix.Unmount(p.name, expire); {
	case err == nil: // another had marked it, and nobody has used it since
		return t.gone(m)
	case !errors.Is(err, unix.EAGAIN):
		return t.refused(p, m, err)
	}
	_, below, err := t.find(m)
	if err == nil && (len(below) > 0 || moved(watch)) {
		err = errAgain
	}
	if err != nil {
		p.use()
		return err
	}
	err = unix.Unmount(p.name, expire)
	if err == nil {
		return t.gone(m)
	}
	p.use()
	if errors.Is(err, unix.EAGAIN) { // used meanwhile, or a mount came onto it, which has no mark
		return errAgain
	}
	return t.refused(p, m, err)
}

// refused explains the errno, if it was about the wanted mount.
func (t table) refused(p place, m Mount, err error) error {
	if there := t.sameAt(p, m); there != nil {
		return there
	}
	return t.explain(m, err)
}

func (t table) sameAt(p place, m Mount) error {
	fd, err := t.openAt(p, m)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// use takes the mark off whatever is there.
func (p place) use() {
	if fd, err := p.open(); err == nil {
		unix.Close(fd)
	}
}

// watch begins to note what is renamed, made and removed in a directory.
func (t table) watch(dir int) (int, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return -1, watchFailed(err)
	}
	if err := unix.Fchdir(t.proc); err != nil {
		unix.Close(fd)
		return -1, failed("go to /proc", err)
	}
	const events = unix.IN_MOVE | unix.IN_CREATE | unix.IN_DELETE | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, fmt.Sprintf("self/fd/%d", dir), events); err != nil {
		unix.Close(fd)
		return -1, watchFailed(err)
	}
	return fd, nil
}

func watchFailed(err error) error {
	e := failed("watch the directory of the mount point", err).(*Error)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENOSPC) {
		e.Try = "raise the sysctls fs.inotify.max_user_instances and max_user_watches"
	}
	return e
}

// moved reports whether anything was noted.
func moved(watch int) bool {
	var buffer [unix.SizeofInotifyEvent + unix.NAME_MAX + 1]byte
	_, err := unix.Read(watch, buffer[:])
	return !errors.Is(err, unix.EAGAIN)
}
