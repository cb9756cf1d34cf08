// Package freezer thaws one cgroup, of version 1 or 2, that cannot be mistaken
// for another of the same path: its directory is held open, and its inode number
// is the one that the caller saw.
package freezer

import (
	"context"
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

var (
	// ErrGone is the error of a cgroup that is not there any more, whatever has its path now.
	ErrGone = errors.New("the cgroup is gone")
	// ErrRefused is the error of a cgroup that this could not thaw. Nothing was written.
	ErrRefused = errors.New("not thawed")
	// ErrThawed is the error of a cgroup that is not frozen: there is nothing to do.
	ErrThawed = errors.New("it is not frozen")
)

// maxFile bounds what is read of a control file, in bytes.
const maxFile = 4 << 10

// A Cgroup is one control group, held by its directory.
type Cgroup struct {
	path    string // as it was opened, for messages
	dir     int    // O_PATH descriptor
	freezer files
}

// Open opens a cgroup's directory, such as /sys/fs/cgroup/freezer/docker/ID or
// /sys/fs/cgroup/system.slice/docker-ID.scope, whose inode number (st_ino) is the one given.
// The caller closes it. Errors wrap [ErrGone] if no cgroup, or another one, has the path.
//
// It needs no capability. Before Linux 5.5 an inode number may be used again.
func Open(dir string, inode uint64) (*Cgroup, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case err == unix.ENOENT:
		return nil, fmt.Errorf("%s: %w", dir, ErrGone)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	c := &Cgroup{path: path.Clean(dir), dir: fd}
	if err := c.identify(inode); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cgroup) identify(inode uint64) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(c.dir, &fs); err != nil {
		return fmt.Errorf("statfs %s: %w", c.path, err)
	}
	switch fs.Type {
	case unix.CGROUP_SUPER_MAGIC:
		c.freezer = version1
	case unix.CGROUP2_SUPER_MAGIC:
		c.freezer = version2
	default:
		return fmt.Errorf("%s: %w: it is no cgroup's directory; name one below /sys/fs/cgroup", c.path, ErrRefused)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(c.dir, &stat); err != nil {
		return fmt.Errorf("stat %s: %w", c.path, err)
	}
	if stat.Ino != inode {
		return fmt.Errorf("%s: %w: the path is another's by now, inode %d and not %d; scan again", c.path, ErrGone, stat.Ino, inode)
	}
	return nil
}

// Close lets go of the cgroup.
func (c *Cgroup) Close() { unix.Close(c.dir) }

// Thaw lets the processes of the cgroup and below run on from where they were. It
// refuses if an ancestor is what keeps them frozen, and says which: thawing this one
// would change nothing. In version 2 the processes come out of the freezer a
// moment after it returned.
//
// The kernel may make a writer wait for a cgroup operation that hangs. Then Thaw
// ends with ctx, and its error says that the thawing may still come about.
//
// It needs to be the directory's owner, as root mostly is, or CAP_DAC_OVERRIDE.
func (c *Cgroup) Thaw(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w: %w", c.path, ErrRefused, err)
	}
	dir, err := unix.FcntlInt(uintptr(c.dir), unix.F_DUPFD_CLOEXEC, 0) // its own: the caller may close c first
	if err != nil {
		return fmt.Errorf("%s: %w", c.path, err)
	}
	done := make(chan error, 1)
	go func() {
		defer unix.Close(dir)
		done <- (&Cgroup{c.path, dir, c.freezer}).thaw(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: the kernel keeps whoever thaws it waiting, and may thaw it yet: look for tasks in state D that hold up cgroups: %w", c.path, ctx.Err())
	}
}

func (c *Cgroup) thaw(ctx context.Context) error {
	self, frozen, err := c.look()
	if err != nil {
		return err
	}
	above, hidden, err := c.above()
	switch {
	case err != nil:
		return err
	case above != "" && (self || frozen):
		return fmt.Errorf("%s: %w: its ancestor %s is frozen, and it with that: thaw that one", c.path, ErrRefused, above)
	case hidden || !self && frozen:
		return fmt.Errorf("%s: %w: an ancestor that cannot be seen from here is frozen: thaw it in the cgroup namespace of the host", c.path, ErrRefused)
	case !self:
		return fmt.Errorf("%s: %w", c.path, ErrThawed)
	}
	if ctx.Err() != nil { // the kernel kept it waiting until nobody waits for it any more
		return ctx.Err()
	}
	if err := write(c.dir, c.freezer.write, c.freezer.thaw); err != nil {
		return c.failed(c.freezer.write, err)
	}
	self, _, err = c.look()
	if err == nil && self {
		err = fmt.Errorf("%s: it is told to freeze again at once: see who does, such as docker pause or systemctl freeze", c.path)
	}
	return err
}

// look tells whether the cgroup itself was told to freeze, and whether it is frozen.
func (c *Cgroup) look() (self, frozen bool, err error) {
	text, err := read(c.dir, c.freezer.self)
	if err != nil {
		return false, false, c.failed(c.freezer.self, err)
	}
	state, err := read(c.dir, c.freezer.state)
	if err != nil {
		return false, false, c.failed(c.freezer.state, err)
	}
	return text == "1\n", c.freezer.frozen(state), nil
}

// above is the path of the nearest ancestor that was told to freeze, "" if none
// is to be seen; hidden says that there is one all the same.
func (c *Cgroup) above() (name string, hidden bool, err error) {
	if name, err = c.ancestor(); name != "" || err != nil || c.freezer.parent == "" {
		return name, false, err
	}
	text, err := read(c.dir, c.freezer.parent)
	if err != nil {
		return "", false, c.failed(c.freezer.parent, err)
	}
	return "", text == "1\n", nil
}

func (c *Cgroup) ancestor() (string, error) {
	at := c.dir
	defer func() { c.leave(at) }()
	for name := path.Dir(c.path); ; name = path.Dir(name) {
		up, err := unix.Openat(at, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", fmt.Errorf("open %s: %w", name, err)
		}
		c.leave(at)
		at = up
		switch text, err := read(at, c.freezer.self); {
		case err == unix.ENOENT: // the root of the hierarchy, or above it
			return "", nil
		case err != nil:
			return "", fmt.Errorf("read %s/%s: %w", name, c.freezer.self, err)
		case text == "1\n":
			return name, nil
		case len(name) == 1: // "/" or ".": whoever is in a root that is a cgroup has come to its end
			return "", nil
		}
	}
}

// leave closes a directory on the way up.
func (c *Cgroup) leave(at int) {
	if at != c.dir {
		unix.Close(at)
	}
}

// failed says what an errno of a control file means.
func (c *Cgroup) failed(file string, err error) error {
	switch err {
	case unix.ENOENT:
		if _, err := read(c.dir, "cgroup.procs"); err == unix.ENOENT {
			return fmt.Errorf("%s: %w", c.path, ErrGone)
		}
		return fmt.Errorf("%s: %w: it has no %s: it is the root, which is never frozen, or the kernel is older than %s", c.path, ErrRefused, file, c.freezer.since)
	case unix.ENODEV: // removed, with a descriptor left
		return fmt.Errorf("%s: %w", c.path, ErrGone)
	case unix.EACCES, unix.EPERM, unix.EROFS:
		return fmt.Errorf("%s/%s: %w: run sexton as root, with /sys/fs/cgroup mounted for writing", c.path, file, err)
	}
	return fmt.Errorf("%s/%s: %w", c.path, file, err)
}

// read returns the text of a control file; the errno is not wrapped.
func read(dir int, name string) (string, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	text := make([]byte, maxFile)
	n, err := unix.Read(fd, text)
	return string(text[:max(n, 0)]), err
}

func write(dir int, name, text string) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}
