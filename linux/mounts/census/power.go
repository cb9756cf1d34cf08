package census

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// firstUserNamespace is the inode of the user namespace that the host began with.
//
// Source: Linux 6.12 include/linux/proc_ns.h, PROC_USER_INIT_INO.
const firstUserNamespace = 0xEFFFFFFD

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
	if stat.Ino != firstUserNamespace {
		return "this process is in a user namespace of its own"
	}
	return ""
}
