package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A pageServer serves a FUSE file system that holds one file of one page, until
// it is stopped. It knows the few requests that mapping that file takes; a
// library for all of them costs every command of sexton its start.
//
// Source: Linux 6.12 include/uapi/linux/fuse.h; fuse(4).
type pageServer struct {
	device int // descriptor of /dev/fuse; Go's poller cannot watch it before it is mounted
	page   []byte
	mute   atomic.Bool // it reads requests and answers none but the first, INIT
	asked  func()      // called for each lookup of those
}

// Requests, by their number in enum fuse_opcode.
const (
	fuseLookup, fuseForget, fuseGetattr, fuseSetattr  = 1, 2, 3, 4
	fuseOpen, fuseRead, fuseWrite, fuseRelease        = 14, 15, 16, 18
	fuseFlush, fuseInit, fuseInterrupt, fuseForgetAll = 25, 26, 36, 42
)

const (
	fuseRoot, fuseNode = 1, 2    // node ids
	fuseHeader         = 40      // bytes of struct fuse_in_header
	fuseRequest        = 1 << 17 // more than any request that max_write allows
)

// A request is struct fuse_in_header and what follows it.
type request struct {
	Length, Opcode          uint32
	Unique, Node            uint64
	UID, GID, PID, Extended uint32
	body                    []byte
}

// mountPage mounts the file system on dir.
func mountPage(dir string) (*pageServer, error) {
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device)
	if err := unix.Mount(mountSource, dir, "fuse."+mountSource, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return nil, errors.Join(fmt.Errorf("mount FUSE: %w", err), unix.Close(device))
	}
	return &pageServer{device: device, page: make([]byte, os.Getpagesize())}, nil
}

// serve answers requests until the file system is gone.
func (p *pageServer) serve() error {
	buffer := make([]byte, fuseRequest)
	for {
		n, err := unix.Read(p.device, buffer)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) { // interrupted, or the request was
			continue
		}
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		var r request
		if n < fuseHeader {
			return fmt.Errorf("a request of %d bytes", n)
		}
		r.Length, r.Opcode = order.Uint32(buffer), order.Uint32(buffer[4:])
		r.Unique, r.Node = order.Uint64(buffer[8:]), order.Uint64(buffer[16:])
		r.body = buffer[fuseHeader:n]
		if p.mute.Load() && r.Opcode != fuseInit { // until that is answered, who asks waits where a kill ends it
			if r.Opcode == fuseLookup {
				p.asked()
			}
			continue
		}
		if err := p.answer(r); err != nil {
			return err
		}
	}
}

var order = binary.NativeEndian

func (p *pageServer) answer(r request) error {
	switch r.Opcode {
	case fuseForget, fuseForgetAll, fuseInterrupt:
		return nil // nobody waits for an answer
	case fuseInit: // version 7.31, 16 KiB of read-ahead, one page a write
		return p.reply(r, 0, words(7, 31, 16<<10, 0, 0, uint32(len(p.page)), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0))
	case fuseLookup:
		if name, _, _ := bytes.Cut(r.body, []byte{0}); string(name) != fuseFile {
			return p.reply(r, unix.ENOENT, nil)
		}
		entry := append(words(fuseNode, 0, 0, 0, 3600, 0, 3600, 0, 0, 0), p.attributes(fuseNode)...)
		return p.reply(r, 0, entry)
	case fuseGetattr, fuseSetattr:
		return p.reply(r, 0, append(words(3600, 0, 0, 0), p.attributes(r.Node)...))
	case fuseOpen:
		return p.reply(r, 0, words(0, 0, 0, 0))
	case fuseRead:
		return p.reply(r, 0, p.page)
	case fuseWrite: // struct fuse_write_in: the size is its fifth word
		if len(r.body) < 20 {
			return p.reply(r, unix.EINVAL, nil)
		}
		return p.reply(r, 0, words(order.Uint32(r.body[16:]), 0))
	case fuseFlush, fuseRelease:
		return p.reply(r, 0, nil)
	}
	return p.reply(r, unix.ENOSYS, nil)
}

// attributes is struct fuse_attr of the root directory or of the file.
func (p *pageServer) attributes(node uint64) []byte {
	mode, size := uint32(unix.S_IFDIR|0o700), uint32(0)
	if node == fuseNode {
		mode, size = unix.S_IFREG|0o600, uint32(len(p.page))
	}
	const times, owner = 9, 3 // seconds and nanoseconds; uid, gid, rdev
	head := words(uint32(node), 0, size, 0, size/512, 0)
	return append(append(append(head, make([]byte, 4*times)...), words(mode, 1)...), append(make([]byte, 4*owner), words(uint32(len(p.page)), 0)...)...)
}

// words puts 32-bit numbers behind each other; a 64-bit one is two of them.
func words(numbers ...uint32) []byte {
	var out []byte
	for _, n := range numbers {
		out = order.AppendUint32(out, n)
	}
	return out
}

// reply writes struct fuse_out_header and the body. A request that was given up
// meanwhile is no failure.
func (p *pageServer) reply(r request, fail unix.Errno, body []byte) error {
	head := words(uint32(16+len(body)), uint32(-int32(fail)))
	head = order.AppendUint64(head, r.Unique)
	if _, err := unix.Write(p.device, append(head, body...)); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("answer a request: %w", err)
	}
	return nil
}
