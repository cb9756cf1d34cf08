package sockdiag

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	within      = 500 * time.Millisecond // the kernel answers at once
	bufferBytes = 64 << 10
	maxSockets  = 1 << 16
)

// Listeners asks for all listening unix sockets of the caller's network
// namespace. It must be called only where the answer is in the kernel already
// (no /proc/modules at all, or [Loaded] or [BuiltIn] say so): the kernel loads a
// module for the question otherwise. It needs no capability.
//
// Source: sock_diag(7); Linux 6.12 net/core/sock_diag.c, sock_diag_lock_handler.
func Listeners() ([]Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(within.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	if err := unix.Sendto(fd, request(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	var all []Listener
	buffer := make([]byte, bufferBytes)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return all, fmt.Errorf("sock_diag: %w", err)
		}
		found, last, err := Parse(buffer[:n])
		all = append(all, found...)
		if err != nil || last || len(all) > maxSockets {
			return all, err
		}
	}
}

// failure is the error that the kernel answers with.
func failure(body []byte) error {
	if len(body) < 4 {
		return fmt.Errorf("%w: error of %d bytes", ErrFormat, len(body))
	}
	if code := int32(binary.NativeEndian.Uint32(body)); code < 0 {
		return fmt.Errorf("sock_diag: %w", unix.Errno(-code))
	}
	return nil
}
