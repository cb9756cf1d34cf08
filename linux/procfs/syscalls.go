package procfs

// blocking names the system calls in which a thread is usually found when it
// waits: number on x86_64, number on the architectures that share
// include/uapi/asm-generic/unistd.h (aarch64, riscv64, loongarch64).
var blocking = []struct {
	name           string
	amd64, generic int
}{
	{"read", 0, 63}, {"write", 1, 64}, {"open", 2, -1}, {"close", 3, 57}, {"stat", 4, -1}, {"fstat", 5, 80}, {"lstat", 6, -1},
	{"poll", 7, -1}, {"mmap", 9, 222}, {"munmap", 11, 215}, {"ioctl", 16, 29}, {"pread64", 17, 67}, {"pwrite64", 18, 68},
	{"writev", 20, 66}, {"access", 21, -1}, {"select", 23, -1}, {"msync", 26, 227}, {"nanosleep", 35, 101}, {"pause", 34, -1},
	{"accept", 43, 202}, {"recvfrom", 45, 207}, {"recvmsg", 47, 212}, {"clone", 56, 220}, {"vfork", 58, -1}, {"execve", 59, 221},
	{"exit", 60, 93}, {"wait4", 61, 260}, {"flock", 73, 32}, {"fsync", 74, 82}, {"fdatasync", 75, 83}, {"truncate", 76, 45},
	{"ftruncate", 77, 46}, {"getdents", 78, -1}, {"rename", 82, -1}, {"mkdir", 83, -1}, {"rmdir", 84, -1}, {"unlink", 87, -1},
	{"readlink", 89, -1}, {"statfs", 137, 43}, {"sync", 162, 81}, {"mount", 165, 40}, {"umount2", 166, 39},
	{"futex", 202, 98}, {"getdents64", 217, 61}, {"clock_nanosleep", 230, 115}, {"exit_group", 231, 94},
	{"epoll_wait", 232, -1}, {"waitid", 247, 95}, {"openat", 257, 56}, {"newfstatat", 262, 79}, {"unlinkat", 263, 35},
	{"renameat", 264, 38}, {"renameat2", 316, 276}, {"pselect6", 270, 72}, {"ppoll", 271, 73}, {"unshare", 272, 97}, {"epoll_pwait", 281, 22},
	{"setns", 308, 268}, {"syncfs", 306, 267}, {"statx", 332, 291}, {"io_uring_enter", 426, 426}, {"clone3", 435, 435}, {"openat2", 437, 437},
}

// SyscallName returns the name of a system call on a machine as uname -m
// prints it, "" if it is none of those that threads are found waiting in.
//
// Source: Linux 6.12 arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h.
func SyscallName(machine string, number int) string {
	for _, c := range blocking {
		n := c.generic
		if machine == "x86_64" {
			n = c.amd64
		}
		if n == number && number >= 0 {
			return c.name
		}
	}
	return ""
}
