// Package sockdiag asks the kernel which unix sockets listen, and how many
// connections wait in the queue of each: those that a hung daemon does not accept.
//
// It asks over netlink. Where the kernel's answer is in a module that is not
// loaded, to ask would load it: see [Loaded].
package sockdiag

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// A Listener is one unix socket that listens.
type Listener struct {
	Inode   uint32
	Name    string // the path as it was bound, or "@" and the rest of an abstract name; "" if it has none
	Pending uint32 // connections that nobody has accepted yet
	Backlog uint32 // Pending at which connect(2) waits, or fails with EAGAIN
}

// ErrFormat is the error of an answer that is none of the kernel's.
var ErrFormat = errors.New("not an answer of sock_diag")

// Numbers of the protocol. Source: Linux 6.12 include/uapi/linux/sock_diag.h,
// unix_diag.h, netlink.h; sock_diag(7).
const (
	byFamily       = 20 // SOCK_DIAG_BY_FAMILY
	familyUnix     = 1
	stateListen    = 10 // TCP_LISTEN, used for unix sockets too
	showName       = 1  // UDIAG_SHOW_NAME
	showQueue      = 0x10
	attrName       = 0 // UNIX_DIAG_NAME
	attrQueue      = 4 // UNIX_DIAG_RQLEN
	messageDone    = 3
	messageError   = 2
	headerSize     = 16 // struct nlmsghdr
	unixSize       = 16 // struct unix_diag_msg
	requestDump    = 0x300
	requestRequest = 1
)

// request is the question for all listening unix sockets.
func request() []byte {
	var b []byte
	n := binary.NativeEndian
	b = n.AppendUint32(b, headerSize+24)
	b = n.AppendUint16(b, byFamily)
	b = n.AppendUint16(b, requestRequest|requestDump)
	b = n.AppendUint32(b, 1) // sequence
	b = n.AppendUint32(b, 0) // port
	b = append(b, familyUnix, 0, 0, 0)
	b = n.AppendUint32(b, 1<<stateListen)
	b = n.AppendUint32(b, 0) // any inode
	b = n.AppendUint32(b, showName|showQueue)
	return append(b, make([]byte, 8)...) // any cookie
}

// Parse reads what came in one datagram, and reports whether it was the last.
// Errors wrap [ErrFormat], or are the kernel's own.
func Parse(data []byte) (found []Listener, last bool, err error) {
	for len(data) > 0 {
		kind, body, rest, err := message(data)
		if err != nil {
			return found, true, err
		}
		data = rest
		switch kind {
		case messageDone:
			return found, true, nil
		case messageError:
			return found, true, failure(body)
		case byFamily:
			l, listens, err := listener(body)
			if err != nil {
				return found, true, err
			}
			if listens {
				found = append(found, l)
			}
		}
	}
	return found, false, nil
}

// message takes one netlink message off the front.
func message(data []byte) (kind uint16, body, rest []byte, err error) {
	if len(data) < headerSize {
		return 0, nil, nil, fmt.Errorf("%w: header of %d bytes", ErrFormat, len(data))
	}
	size := int64(binary.NativeEndian.Uint32(data))
	if size < headerSize || size > int64(len(data)) {
		return 0, nil, nil, fmt.Errorf("%w: message of %d bytes in %d", ErrFormat, size, len(data))
	}
	return binary.NativeEndian.Uint16(data[4:]), data[headerSize:size], data[min(align(size), int64(len(data))):], nil
}

func align(n int64) int64 { return (n + 3) &^ 3 }

func listener(body []byte) (l Listener, listens bool, err error) {
	if len(body) < unixSize {
		return l, false, fmt.Errorf("%w: socket of %d bytes", ErrFormat, len(body))
	}
	listens = body[0] == familyUnix && body[2] == stateListen
	l.Inode = binary.NativeEndian.Uint32(body[4:])
	for attrs := body[unixSize:]; len(attrs) >= 4; {
		size := int64(binary.NativeEndian.Uint16(attrs))
		if size < 4 || size > int64(len(attrs)) {
			return l, false, fmt.Errorf("%w: attribute of %d bytes in %d", ErrFormat, size, len(attrs))
		}
		value := attrs[4:size]
		switch binary.NativeEndian.Uint16(attrs[2:]) {
		case attrName:
			l.Name = name(value)
		case attrQueue:
			if len(value) >= 8 {
				l.Pending, l.Backlog = binary.NativeEndian.Uint32(value), binary.NativeEndian.Uint32(value[4:])
			}
		}
		attrs = attrs[min(align(size), int64(len(attrs))):]
	}
	return l, listens, nil
}

// name is a bound name as people write it: an abstract one begins with NUL.
func name(value []byte) string {
	if len(value) > 0 && value[0] == 0 {
		return "@" + string(value[1:])
	}
	return string(bytes.TrimRight(value, "\x00"))
}

// BuiltIn reports whether a kernel's list of built-in modules, lib/modules/RELEASE/modules.builtin,
// has what answers for unix sockets.
func BuiltIn(list []byte) bool { return strings.Contains(string(list), "/unix_diag.ko") }

// Loaded reports whether /proc/modules lists what answers for unix sockets.
func Loaded(modules []byte) bool {
	for line := range bytes.Lines(modules) {
		if bytes.HasPrefix(line, []byte("unix_diag ")) {
			return true
		}
	}
	return false
}
