package holders

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// mappings visits the mapped files of a process, each once.
//
// One mmap is cut in pieces where the protection of some pages is changed, as the
// dynamic linker does. Where all mappings are wanted, pieces that lie side by side
// and are of one file by one name are taken for that: to ask the kernel for the
// mount of each costs four times as much.
func (r *refWalk) mappings(pid int) {
	if r.noQuery {
		r.allMappings(pid)
		return
	}
	maps := strconv.Itoa(pid) + "/maps"
	fd, err := unix.Openat(r.proc, maps, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		r.denied("mappings: "+maps, &fs.PathError{Op: "open", Path: maps, Err: err})
		return
	}
	defer unix.Close(fd)
	seen := mappedFiles{}
	all := r.req.Superblock == nil
	var now, before piece
	for i := 0; r.err == nil; i++ {
		r.goesOn(i, pid, Mapping)
		var name []byte
		if all {
			name = r.names[i%2]
		}
		now, before = piece{}, now
		switch err := now.next(fd, before.end, name); err {
		case nil:
		case unix.ENOENT:
			return // there are no more
		case unix.ENOTTY:
			r.noQuery = true
			r.allMappings(pid)
			return
		default:
			r.denied("mappings: "+maps, &fs.PathError{Op: "PROCMAP_QUERY", Path: maps, Err: err})
			return
		}
		if r.internal[now.superblock] || !all && !r.req.Superblock(now.superblock) || all && now.continues(&before) {
			continue
		}
		ref := Ref{PID: pid, Kind: Mapping, Range: fmt.Sprintf("%x-%x", now.begin, now.end), Link: string(now.name)}
		link := fmt.Sprintf("%d/map_files/%s", pid, ref.Range)
		there, err := r.mapping(place{r.proc, "", r.name(link, "")}, ref, seen)
		if err != nil {
			return
		}
		if !there {
			now.name = nil // it was not told, so it stands for nothing beside it
		}
	}
}

// allMappings goes by the links of the mapped files, whatever they are on.
func (r *refWalk) allMappings(pid int) {
	in := strconv.Itoa(pid) + "/map_files"
	dir, err := r.open(in)
	if err != nil {
		r.denied("mappings: "+in, err)
		return
	}
	defer unix.Close(dir)
	ranges, err := r.namesIn(dir, in)
	r.denied("mappings: "+in, err)
	seen := mappedFiles{}
	for i, name := range ranges {
		if r.err != nil {
			return
		}
		r.goesOn(i, pid, Mapping)
		if _, err := r.mapping(place{dir, in + "/", r.name(name, "")}, Ref{PID: pid, Kind: Mapping, Range: name}, seen); err != nil {
			return
		}
	}
}

// mappedFiles are the files of one process that were visited: many are mapped
// in several pieces. One file may be there by two mounts.
type mappedFiles map[mappedFile]bool

type mappedFile struct {
	device       mounts.Device
	inode, mount uint64
}

// mapping visits one mapping, if it is still there. After an error the others cannot
// be read either: all have the same guard.
func (r *refWalk) mapping(at place, ref Ref, seen mappedFiles) (there bool, err error) {
	r.ref = ref
	if err := r.stat(at, &r.ref); Gone(err) {
		return false, nil
	} else if err != nil {
		r.denied(fmt.Sprintf("mappings: %d/map_files", ref.PID), err)
		return false, err
	}
	file := mappedFile{r.ref.Device, r.ref.Inode, r.ref.MountID}
	if !seen[file] {
		seen[file] = true
		r.keep(at, &r.ref)
	}
	return true, nil
}

// A piece is one mapping of a file.
type piece struct {
	begin, end, offset, inode uint64
	superblock                mounts.Device
	name                      []byte // nil if it was not asked for, or is longer than a path may be
}

// continues reports whether the piece seems to be of the mmap that another one was cut
// from: it is from later in the file. What is mapped anew from the file's beginning may be
// by another mount of the same path, as where one was bound over it.
func (p *piece) continues(q *piece) bool {
	return p.begin == q.end && p.offset > q.offset && p.superblock == q.superblock && p.inode == q.inode && len(p.name) > 0 && bytes.Equal(p.name, q.name)
}

// A query is struct procmap_query.
//
// Source: Linux 6.11 include/uapi/linux/fs.h.
type query struct {
	size, flags, start            uint64
	begin, end                    uint64 // of the mapping
	permissions, pageSize, offset uint64
	inode                         uint64
	superblock                    mounts.Device
	nameSize, idSize              uint32
	name                          *byte
	id                            uint64
}

// askMapping is PROCMAP_QUERY, _IOWR('f', 17, 104 bytes), in every
// architecture's way of writing it.
const askMapping = unix.FS_IOC_ADD_ENCRYPTION_KEY + (104-80)<<16 + (17 - 23)

// next finds the first file that is mapped at start or above, and puts its path into
// name, if that is not nil. ENOENT: there is none; ENOTTY: before Linux 6.11;
// ESRCH: the process has no memory any more.
//
// Source: Linux 6.11 fs/proc/task_mmu.c, do_procmap_query.
func (p *piece) next(maps int, start uint64, name []byte) error {
	const orNext, ofFile = 0x10, 0x20
	for {
		q := query{size: uint64(unsafe.Sizeof(query{})), flags: orNext | ofFile, start: start, nameSize: uint32(len(name)), name: unsafe.SliceData(name)}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(maps), askMapping, uintptr(unsafe.Pointer(&q)))
		switch {
		case errno == unix.EINTR:
		case errno == unix.ENAMETOOLONG && name != nil:
			name = nil
		case errno != 0:
			return errno
		default:
			*p = piece{begin: q.begin, end: q.end, offset: q.offset, inode: q.inode, superblock: q.superblock}
			if n := int(q.nameSize); n > 1 && n <= len(name) {
				p.name = name[:n-1]
			}
			return nil
		}
	}
}
