//go:build !amd64 && !arm64

package pid1

import "syscall"

// scripted is for architectures that have the assembly: there is no entry here.
func (b *birth) scripted(uintptr) (pid int, doing string, err error) {
	return 0, "clone", syscall.ENOSYS
}
