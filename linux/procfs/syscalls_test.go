package procfs

import (
	"runtime"
	"syscall"
	"testing"
)

func TestSyscallName(t *testing.T) {
	for _, tt := range []struct {
		machine string
		number  int
		want    string
	}{
		{"x86_64", 0, "read"},
		{"x86_64", 61, "wait4"},
		{"x86_64", 435, "clone3"},
		{"aarch64", 260, "wait4"},
		{"aarch64", 435, "clone3"},
		{"riscv64", 63, "read"},
		{"aarch64", 2, ""}, // open is x86_64's alone
		{"x86_64", -1, ""},
		{"aarch64", -1, ""}, // not one of those that the machine lacks
		{"x86_64", 100_000, ""},
	} {
		if got := SyscallName(tt.machine, tt.number); got != tt.want {
			t.Errorf("%s %d: %q, want %q", tt.machine, tt.number, got, tt.want)
		}
	}
}

// No number and no name comes twice, and the numbers are those that Go knows for this machine.
func TestSyscallTable(t *testing.T) {
	names, amd64, generic := map[string]bool{}, map[int]bool{}, map[int]bool{}
	for _, c := range blocking {
		if names[c.name] || c.amd64 >= 0 && amd64[c.amd64] || c.generic >= 0 && generic[c.generic] {
			t.Errorf("%+v comes twice", c)
		}
		names[c.name], amd64[c.amd64], generic[c.generic] = true, true, true
	}
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	if machine == "" {
		t.Skip("sexton is not built for this machine")
	}
	for number, want := range map[int]string{
		syscall.SYS_READ: "read", syscall.SYS_WRITE: "write", syscall.SYS_WAIT4: "wait4", syscall.SYS_WAITID: "waitid",
		syscall.SYS_FUTEX: "futex", syscall.SYS_MOUNT: "mount", syscall.SYS_UMOUNT2: "umount2", syscall.SYS_OPENAT: "openat",
		syscall.SYS_FSYNC: "fsync", syscall.SYS_IOCTL: "ioctl", syscall.SYS_CONNECT: "", syscall.SYS_EXIT_GROUP: "exit_group",
		syscall.SYS_NANOSLEEP: "nanosleep", syscall.SYS_PPOLL: "ppoll", syscall.SYS_EPOLL_PWAIT: "epoll_pwait", syscall.SYS_EXECVE: "execve",
		syscall.SYS_SYNC: "sync", syscall.SYS_UNLINKAT: "unlinkat", syscall.SYS_CLONE: "clone", syscall.SYS_RECVMSG: "recvmsg",
	} {
		if got := SyscallName(machine, number); got != want {
			t.Errorf("%s %d: %q, want %q", machine, number, got, want)
		}
	}
}
