package census

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// lacksPower says why this process may not see every mount namespace; "" if it may.
func lacksPower(proc string) string {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return fmt.Sprintf("capget: %v", err)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return "this process has not got CAP_SYS_ADMIN"
	}
	path := filepath.Join(proc, "thread-self/ns/user")
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return fmt.Sprintf("stat %s: %v", path, err)
	}
	if stat.Ino != mounts.FirstUserNamespace {
		return "this process is in a user namespace of its own"
	}
	return ""
}
