package ptrace

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/capability"
)

// Capabilities is the least that [Reap] needs: to trace processes of other users
// and to read the files of /proc that are theirs alone (CAP_SYS_PTRACE,
// CAP_DAC_READ_SEARCH); and CAP_SYS_ADMIN, by which the kernel shows seccomp
// filters, for a parent that has some.
func Capabilities(filtered bool) []capability.Capability {
	need := []capability.Capability{unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE}
	if filtered {
		need = append(need, unix.CAP_SYS_ADMIN)
	}
	return need
}

// confine drops every capability but those.
func confine(need []capability.Capability) error {
	err := capability.Keep(need, nil)
	if lack, ok := errors.AsType[capability.Lack](err); ok {
		return refuse("run as root of the host, in a container with --privileged", "this process lacks %s", strings.Join(lack.Names(), ", "))
	}
	return err
}
