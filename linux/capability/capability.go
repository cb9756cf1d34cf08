// Package capability gives up the capabilities of this process that it has no use for.
package capability

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Capability is one of capabilities(7), by number.
type Capability int

var names = map[Capability]string{
	unix.CAP_KILL: "CAP_KILL", unix.CAP_SYS_PTRACE: "CAP_SYS_PTRACE", unix.CAP_SYS_ADMIN: "CAP_SYS_ADMIN", unix.CAP_SYS_CHROOT: "CAP_SYS_CHROOT",
	unix.CAP_DAC_OVERRIDE: "CAP_DAC_OVERRIDE", unix.CAP_DAC_READ_SEARCH: "CAP_DAC_READ_SEARCH", unix.CAP_CHOWN: "CAP_CHOWN", unix.CAP_FOWNER: "CAP_FOWNER",
	unix.CAP_SYS_RESOURCE: "CAP_SYS_RESOURCE", unix.CAP_SYS_NICE: "CAP_SYS_NICE", unix.CAP_FSETID: "CAP_FSETID",
}

func (c Capability) String() string {
	if name, ok := names[c]; ok {
		return name
	}
	return fmt.Sprintf("capability %d", int(c))
}

// A Lack is what of the needed capabilities the process has not got.
type Lack []Capability

func (l Lack) Error() string { return "this process lacks " + strings.Join(l.Names(), " and ") }

// Names are those of the manual, in the order in which they were asked for.
func (l Lack) Names() (out []string) {
	for _, c := range l {
		out = append(out, c.String())
	}
	return out
}

// Keep gives up every capability but those: what is needed, and of what is helpful
// that which is held. It is for all threads of this process or, in a program that
// is linked with C, as under the race detector, for the calling one alone. The
// error is a [Lack] if something needed is not held; nothing has changed then.
//
// Source: capabilities(7), capset(2).
func Keep(needed, helpful []Capability) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have, want [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	var lack Lack
	for i, c := range slices.Concat(needed, helpful) {
		word, bit := c/32, uint32(1)<<(c%32)
		if have[word].Permitted&bit == 0 {
			if i < len(needed) {
				lack = append(lack, c)
			}
			continue
		}
		want[word].Effective |= bit
		want[word].Permitted |= bit
	}
	if lack != nil {
		return lack
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&want[0])), 0)
	switch {
	case errno == unix.ENOTSUP:
		return unix.Capset(&header, &want[0])
	case errno != 0:
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}
