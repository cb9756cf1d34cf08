package ptrace

import (
	"math/bits"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Capabilities is the least that [Reap] needs, a bit each as in CapEff: to trace
// processes of other users and to read the files of /proc that are theirs alone
// (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH); and CAP_SYS_ADMIN, by which the kernel
// shows seccomp filters, for a parent that has some.
func Capabilities(filtered bool) uint64 {
	need := uint64(1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_DAC_READ_SEARCH)
	if filtered {
		need |= 1 << unix.CAP_SYS_ADMIN
	}
	return need
}

var capabilityNames = map[int]string{unix.CAP_SYS_PTRACE: "CAP_SYS_PTRACE", unix.CAP_DAC_READ_SEARCH: "CAP_DAC_READ_SEARCH", unix.CAP_SYS_ADMIN: "CAP_SYS_ADMIN"}

// confine drops every capability but those. It is for all threads of this
// process, or, in a program that is linked with C, for the calling one alone:
// that is the one that reads what a container wrote.
//
// Source: capabilities(7), capget(2).
func confine(need uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	has := uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
	if lacking := need &^ has; lacking != 0 {
		var names []string
		for ; lacking != 0; lacking &= lacking - 1 {
			bit := bits.TrailingZeros64(lacking)
			name, ok := capabilityNames[bit]
			if !ok {
				name = strconv.Itoa(bit)
			}
			names = append(names, name)
		}
		return refuse("run as root of the host, in a container with --privileged", "this process lacks %s", strings.Join(names, ", "))
	}
	for i := range data {
		keep := uint32(need >> (32 * i))
		data[i] = unix.CapUserData{Effective: keep, Permitted: keep}
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno == unix.ENOTSUP {
		return unix.Capset(&header, &data[0])
	}
	if errno != 0 {
		return errno
	}
	return nil
}
