package heal

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A capability is one of capabilities(7), by number.
type capability int

var capabilityNames = map[capability]string{
	unix.CAP_KILL: "CAP_KILL", unix.CAP_SYS_PTRACE: "CAP_SYS_PTRACE", unix.CAP_SYS_ADMIN: "CAP_SYS_ADMIN", unix.CAP_SYS_CHROOT: "CAP_SYS_CHROOT",
	unix.CAP_DAC_OVERRIDE: "CAP_DAC_OVERRIDE", unix.CAP_DAC_READ_SEARCH: "CAP_DAC_READ_SEARCH", unix.CAP_CHOWN: "CAP_CHOWN", unix.CAP_FOWNER: "CAP_FOWNER",
	unix.CAP_SYS_RESOURCE: "CAP_SYS_RESOURCE", unix.CAP_SYS_NICE: "CAP_SYS_NICE", unix.CAP_FSETID: "CAP_FSETID",
}

func (c capability) String() string { return capabilityNames[c] }

// keepOnly gives up every capability but those, in all threads. It fails, before
// it changes anything, if one that it needs is not held.
//
// Source: capabilities(7), capset(2).
func keepOnly(needs, helpful []capability) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have, want [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	var lacks []string
	for i, c := range slices.Concat(needs, helpful) {
		word, bit := c/32, uint32(1)<<(c%32)
		if have[word].Effective&bit == 0 {
			if i < len(needs) {
				lacks = append(lacks, c.String())
			}
			continue
		}
		want[word].Effective |= bit
		want[word].Permitted |= bit
	}
	if lacks != nil {
		return fmt.Errorf("it needs %s, which this process does not have: run it as root on the host, not in a container or user namespace without them", strings.Join(lacks, " and "))
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&want[0])), 0)
	if errno == unix.ENOTSUP { // linked with C, as under the race detector: this thread alone
		return unix.Capset(&header, &want[0])
	}
	if errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}
