package census

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/nsfs"
)

// table reads the mounts of the namespace fd.
//
// Whoever enters a namespace stands on the top mount of its "/" and sees what
// is below that. A process that lives there may stand lower, on the mount that
// was "/" before, and see more; or higher up, in a chroot, and see less. So a
// process's table is taken if the top mount is its "/" too, else our own view.
func (r *slowReader) table(fd int, pins []holders.Pin) (all []mounts.Mount, err error) {
	var top int
	err = nsfs.Inside(fd, func() (err error) {
		top, err = r.topMount()
		return err
	})
	entered := err == nil
	if !entered {
		r.blind("namespaces whose processes are all in a chroot, or gone", err)
	}
	asked := 0
	for _, pin := range pins {
		if pin.Kind == holders.FD || asked == maxAsked {
			continue
		}
		asked++
		path := fmt.Sprintf("%d/mountinfo", pin.PID)
		if pin.Kind == holders.Thread {
			path = fmt.Sprintf("%d/task/%d/mountinfo", pin.PID, pin.TID)
		}
		view, err := r.mountinfo(path)
		if err != nil {
			continue // another process, or our own view, will do
		}
		isTop := func(m mounts.Mount) bool { return m.ID == top && m.MountPoint == "/" }
		if entered && slices.ContainsFunc(view, isTop) {
			return view, nil
		}
		if !entered && len(view) > len(all) {
			all = view
		}
	}
	if !entered {
		if len(all) == 0 {
			return nil, err
		}
		return all, nil
	}
	err = nsfs.Inside(fd, func() (err error) {
		all, err = r.mountinfo("thread-self/mountinfo")
		return err
	})
	return all, err
}

// topMount returns the id of the mount that this thread's "/" is on.
func (r *slowReader) topMount() (int, error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open /: %w", err)
	}
	defer unix.Close(root)
	text, err := r.read(fmt.Sprintf("thread-self/fdinfo/%d", root))
	if err != nil {
		return 0, err
	}
	id, err := holders.ParseMountID(text)
	return int(id), err
}

func (r *slowReader) mountinfo(path string) ([]mounts.Mount, error) {
	text, err := r.read(path)
	if err != nil {
		return nil, err
	}
	return mounts.ParseMountinfo(text)
}

// read reads a file of /proc.
func (r *slowReader) read(path string) ([]byte, error) {
	fd, err := unix.Openat(r.proc, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	text := make([]byte, 0, 32<<10)
	for len(text) < maxTable {
		text = slices.Grow(text, 16<<10)
		n, err := unix.Read(fd, text[len(text):cap(text)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return text, nil
		}
		text = text[:len(text)+n]
	}
	return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("over 64 MiB")}
}
