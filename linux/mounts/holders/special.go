package holders

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// internalDevices are the device numbers of the kernel's own mounts, which
// nobody mounted and nobody can unmount. Each is that of a file that we make:
// shared memory of all sorts is on that of memfd, an io_uring on that of epoll.
//
// Source: Linux 6.12 mm/shmem.c, fs/anon_inodes.c, fs/pipe.c, net/socket.c, fs/nsfs.c, fs/pidfs.c.
func internalDevices() (devices map[mounts.Device]bool, rings mounts.Device) {
	devices = map[mounts.Device]bool{}
	for i, open := range []func() (int, error){
		func() (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) }, // the first, see i
		func() (int, error) { return unix.MemfdCreate("device", unix.MFD_CLOEXEC) },
		func() (int, error) { return unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) },
		func() (int, error) { return unix.PidfdOpen(unix.Getpid(), 0) },
		func() (int, error) { return unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0) },
		func() (int, error) {
			var pair [2]int
			err := unix.Pipe2(pair[:], unix.O_CLOEXEC)
			if err == nil {
				unix.Close(pair[1])
			}
			return pair[0], err
		},
	} {
		fd, err := open()
		if err != nil {
			continue // what we cannot make, this kernel has not got or we see in vain: its mounts are in no table
		}
		var stat unix.Stat_t
		if unix.Fstat(fd, &stat) == nil {
			d := mounts.DeviceOf(stat.Dev)
			devices[d] = true
			if i == 0 {
				rings = d
			}
		}
		unix.Close(fd)
	}
	return devices, rings
}

// infoPath is where the kernel tells about the descriptor at "PID/fd/N".
func infoPath(path string) string {
	dir, fd := filepath.Split(path)
	return strings.TrimSuffix(dir, "fd/") + "fdinfo/" + fd
}

// oldMountID finds the mount id on kernels before 5.8, of descriptors alone.
//
// Source: proc_pid_fdinfo(5), mnt_id of Linux 3.15.
func (r *refWalk) oldMountID(path string, ref *Ref) error {
	if ref.Kind != FD {
		return errors.New("statx tells mount ids from Linux 5.8")
	}
	text, err := r.read(infoPath(path), maxFDInfo)
	if err != nil {
		return err
	}
	ref.MountID, err = ParseMountID(text)
	return err
}

// ParseMountID finds the mount id in the text of /proc/PID/fdinfo/FD. Errors
// wrap [mounts.ErrFormat].
//
// Source: proc_pid_fdinfo(5); Linux 6.12 fs/proc/fd.c, seq_show.
func ParseMountID(text []byte) (uint64, error) {
	value, ok := field(text, "mnt_id:")
	if !ok {
		return 0, fmt.Errorf("fdinfo: %w: no mnt_id", mounts.ErrFormat)
	}
	id, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("fdinfo: %w: mnt_id %.40q", mounts.ErrFormat, value)
	}
	return id, nil
}

// field finds the rest of the line of an fdinfo file that begins with the key.
func field(text []byte, key string) (value []byte, ok bool) {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(key)); ok {
			return value, true
		}
	}
	return nil, false
}

// parseInFlight finds in a socket's fdinfo how many descriptors wait in it: 0
// before Linux 5.6, and in others than Unix sockets.
func parseInFlight(text []byte) int {
	value, _ := field(text, "scm_fds:")
	n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

// isDMABuf reports whether a descriptor is a DMA buffer's, whose device we have
// no file to compare with. A file may be named "/dmabuf:", this line is the kernel's.
//
// Source: Linux 6.12 drivers/dma-buf/dma-buf.c, dma_buf_show_fdinfo.
func (r *refWalk) isDMABuf(path string) bool {
	text, err := r.read(infoPath(path), maxFDInfo)
	return err == nil && bytes.Contains(text, []byte("\nexp_name:"))
}

// ring visits the files that are registered with the io_uring at path, if it is one.
func (r *refWalk) ring(path string, ref Ref) {
	if link, err := r.link(path); err != nil || link != "anon_inode:[io_uring]" {
		return
	}
	text, err := r.read(infoPath(path), maxFDInfo)
	if err != nil {
		r.denied("files registered with the io_uring "+path, err)
		return
	}
	for _, file := range ParseUserFiles(text) {
		ref := Ref{PID: ref.PID, TID: ref.TID, Kind: IOURing, FD: ref.FD, Link: file}
		if r.err == nil && (r.req.Want == nil || r.req.Want(&ref)) {
			r.err = r.visit(ref)
		}
	}
}

// ParseUserFiles lists the paths of the files that are registered with an
// io_uring, from the text of its fdinfo. Older kernels give names without
// folders; a ring that is busy gives none.
//
// Source: Linux 6.12 io_uring/fdinfo.c, io_uring_show_fdinfo.
func ParseUserFiles(text []byte) (paths []string) {
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, " ") {
			inside = strings.HasPrefix(line, "UserFiles:")
			continue
		}
		number, path, ok := strings.Cut(strings.TrimLeft(line, " "), ": ")
		if _, err := strconv.ParseUint(number, 10, 32); inside && ok && err == nil && path != "" && path != "<none>" {
			paths = append(paths, mounts.Unescape(path))
		}
	}
	return paths
}
