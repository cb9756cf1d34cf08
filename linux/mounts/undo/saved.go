package undo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// Saved is all of a directory that has none in it, to make it again.
type Saved struct {
	Path               []byte
	Temporary          string // name beside it that the new one has at first
	Device             string
	Inode              uint64
	UID, GID           uint32
	Mode               uint32 // permissions and the three bits above
	Accessed, Modified unix.Timespec
	Attributes         []Attribute // ordered by name
	Project, Flags     uint32      // of the quota; FS_XFLAG_*
}

// An Attribute is an extended one: a security label, an access list.
type Attribute struct{ Name, Value []byte }

// save reads a directory, and refuses what could not be given to another.
func save(dir *os.File) (Saved, error) {
	st, err := stat(dir)
	if err != nil {
		return Saved{}, failed("look at the directory", err)
	}
	s := Saved{
		Device: device(st), Inode: st.Ino,
		UID: st.Uid, GID: st.Gid, Mode: st.Mode & 0o7777, Accessed: st.Atim, Modified: st.Mtim,
	}
	if s.Attributes, err = attributes(int(dir.Fd())); err != nil {
		return s, failed("read the extended attributes", err)
	}
	s.Project, s.Flags = project(int(dir.Fd()))
	return s, nil
}

// project asks for struct fsxattr. Many file systems have no such thing.
//
// Source: Linux 6.12 include/uapi/linux/fs.h, FS_IOC_FSGETXATTR.
func project(fd int) (id, flags uint32) {
	const get, hasAttributes = 0x801c581f, 1 << 31
	var answer struct{ flags, extent, extents, project, cow, pad1, pad2 uint32 }
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), get, uintptr(unsafe.Pointer(&answer))); errno != 0 {
		return 0, 0
	}
	return answer.project, answer.flags &^ hasAttributes
}

func stat(f *os.File) (st unix.Stat_t, err error) {
	err = unix.Fstat(int(f.Fd()), &st)
	return st, err
}

func device(st unix.Stat_t) string {
	return mounts.DeviceOf(st.Dev).String()
}

// attributes reads all. Most bytes: 64 KiB of names and for each value, by the kernel.
func attributes(fd int) (all []Attribute, err error) {
	buffer := make([]byte, 1<<16)
	n, err := unix.Flistxattr(fd, buffer)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := slices.Clone(buffer[:n])
	for name := range bytes.SplitSeq(names, []byte{0}) {
		if len(name) == 0 {
			continue
		}
		n, err := unix.Fgetxattr(fd, string(name), buffer)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		all = append(all, Attribute{name, slices.Clone(buffer[:n])})
	}
	slices.SortFunc(all, func(a, b Attribute) int { return bytes.Compare(a.Name, b.Name) })
	return all, nil
}

// give makes a new directory like the saved one, proves it, and says what it could
// not be given. What it got from the directory above and should not have is taken off.
func (s Saved) give(dir *os.File) error {
	fd := int(dir.Fd())
	fresh, err := save(dir)
	if err != nil {
		return err
	}
	if names, _ := dir.Readdirnames(1); len(names) > 0 || fresh.UID != uint32(os.Geteuid()) {
		return other("the new directory is not the one that was made")
	}
	if err := unix.Fchown(fd, int(s.UID), int(s.GID)); err != nil {
		return failed("give the new directory its owner", err)
	}
	for _, a := range fresh.Attributes {
		if !slices.ContainsFunc(s.Attributes, func(b Attribute) bool { return bytes.Equal(a.Name, b.Name) }) {
			if err := unix.Fremovexattr(fd, string(a.Name)); err != nil {
				return failed(fmt.Sprintf("take attribute %q off the new directory", a.Name), err)
			}
		}
	}
	for _, a := range s.Attributes {
		if err := unix.Fsetxattr(fd, string(a.Name), a.Value, 0); err != nil {
			return failed(fmt.Sprintf("give the new directory its attribute %q", a.Name), err)
		}
	}
	if err := unix.Fchmod(fd, s.Mode); err != nil {
		return failed("give the new directory its mode", err)
	}
	times := [2]unix.Timespec{s.Accessed, s.Modified}
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0); errno != 0 {
		return failed("give the new directory its times", errno)
	}
	return s.same(dir)
}

func (s Saved) same(dir *os.File) error {
	now, err := save(dir)
	if err != nil {
		return err
	}
	var differ []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"owner", now.UID == s.UID && now.GID == s.GID}, {"mode", now.Mode == s.Mode}, {"time", now.Modified == s.Modified},
		{"project quota", now.Project == s.Project}, {"file flags", now.Flags == s.Flags},
		{"extended attributes", slices.EqualFunc(now.Attributes, s.Attributes, func(a, b Attribute) bool {
			return bytes.Equal(a.Name, b.Name) && bytes.Equal(a.Value, b.Value)
		})},
	} {
		if !f.same {
			differ = append(differ, f.name)
		}
	}
	if len(differ) > 0 {
		return &Error{Failed, "the new directory would have another " + strings.Join(differ, " and "), "unmount in each namespace instead"}
	}
	return nil
}
