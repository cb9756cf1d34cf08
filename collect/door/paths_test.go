package door

import (
	"strings"
	"syscall"
	"testing"
)

func TestRefuse(t *testing.T) {
	const ok, secret, invalid = "ok", "secret", "invalid"
	for _, tt := range []struct{ op, path, want string }{
		{opRead, "/proc/1/stat", ok},
		{opRead, "/proc/self/mountinfo", ok},
		{opRead, "/proc/thread-self/children", ok},
		{opRead, "/proc/1/task/2/stat", ok},
		{opRead, "/proc/1/task/2/children", ok},
		{opRead, "/proc/1/fdinfo/3", ok},
		{opRead, "/proc/1/net/unix", ok},
		{opRead, "/proc/net/unix", ok},
		{opRead, "/proc/loadavg", ok},
		{opRead, "/proc/sys/kernel/pid_max", ok},
		{opRead, "/proc/sys/kernel/random/boot_id", ok},
		{opRead, "/proc/pressure/cpu", ok},
		{opRead, "/sys/fs/cgroup/system.slice/systemd-ask-password.service/pids.max", ok},
		{opRead, "/sys/fs/fuse/connections/40/waiting", ok},
		{opRead, "/sys/block/dm-0/dm/name", ok},
		{opLink, "/proc/self", ok},
		{opLink, "/proc/1/exe", ok},
		{opLink, "/proc/1/fd/3", ok},
		{opLink, "/proc/1/task/2/ns/mnt", ok},
		{opLink, "/sys/block/dm-0", ok},
		{opDir, "/proc", ok},
		{opDir, "/sys", ok},
		{opDir, "/proc/1/task", ok},
		{opDir, "/proc/1/task/2/fd", ok},
		{opDir, "/sys/fs/cgroup", ok},
		{opAsk, "docker/unix:///run/docker.sock", ok},
		{opAsk, "../\x00", ok},

		{opRead, "/proc/1/environ", secret},
		{opRead, "/proc/1/task/2/environ", secret},
		{opRead, "/proc/self/environ", secret},
		{opRead, "/proc/1/cmdline", secret},
		{opRead, "/proc/cmdline", secret},
		{opRead, "/proc/1/mem", secret},
		{opRead, "/proc/1/auxv", secret},
		{opRead, "/proc/1/maps", secret},
		{opRead, "/proc/1/smaps_rollup", secret},
		{opRead, "/proc/1/mounts", secret},
		{opRead, "/proc/1/root/etc/shadow", secret},
		{opRead, "/proc/1/cwd/x", secret},
		{opRead, "/proc/1/fd/3", secret},
		{opRead, "/proc/1/fd/3/x", secret},
		{opRead, "/proc/1/task/2/root/x", secret},
		{opRead, "/proc/1/task/2/task/2/stat", secret},
		{opRead, "/proc/1/task/x/stat", secret},
		{opRead, "/proc/1x/stat", secret},
		{opRead, "/proc/kcore", secret},
		{opRead, "/proc/kmsg", secret},
		{opRead, "/proc/keys", secret},
		{opRead, "/proc/sys/fs/binfmt_misc/status", secret},
		{opRead, "/proc/sys/net/ipv6/conf/all/stable_secret", secret},
		{opRead, "/proc/sys/net/ipv4/tcp_fastopen_key", secret},
		{opRead, "/sys/kernel/debug/tracing/trace_pipe", secret},
		{opRead, "/sys/kernel/config/target/iscsi/x/auth/password", secret},
		{opRead, "/sys/class/iscsi_session/session1/password", secret},
		{opRead, "/sys/firmware/acpi/tables/MSDM", secret},
		{opRead, "/etc/shadow", secret},
		{opRead, "/process/1/stat", secret},
		{opDir, "/sys/kernel/debug", secret},
		{opDir, "/proc/1/map_files", secret},
		{opDir, "/proc/1/root", secret},
		{opDir, "/proc/sys/fs/binfmt_misc", secret},
		{opDir, "/", invalid},
		{opLink, "/proc/1/root/x", secret},
		{opLink, "/proc/1/fd/x", secret},

		{opRead, "", invalid},
		{opRead, "proc/1/stat", invalid},
		{opRead, "/proc/1/../2/stat", invalid},
		{opRead, "/proc/./1/stat", invalid},
		{opRead, "/proc//1/stat", invalid},
		{opRead, "/proc/1/stat/", invalid},
		{opRead, "/proc/1/stat\x00", invalid},
		{opRead, "/sys/" + strings.Repeat("x", 4096), invalid},
		{opAsk, "", invalid},
		{opAsk, strings.Repeat("x", 4096), invalid},
	} {
		want := map[string]error{ok: nil, secret: ErrSecret, invalid: syscall.EINVAL}[tt.want]
		if got := refuse(tt.op, tt.path); got != want {
			t.Errorf("%s %q: %v, want %v", tt.op, tt.path, got, want)
		}
	}
}

// Whatever passes cannot lead out of the two trees nor into a process's own
// files.
func FuzzRefuse(f *testing.F) {
	for _, path := range []string{"/proc/1/stat", "/sys/a/../b", "/proc/self/root/x", "/proc/1/task/1/fd/2", "//", "/proc/1/environ"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, op := range []string{opRead, opLink, opDir} {
			if refuse(op, path) != nil {
				continue
			}
			if !strings.HasPrefix(path+"/", "/proc/") && !strings.HasPrefix(path+"/", "/sys/") {
				t.Errorf("%s %q is outside", op, path)
			}
			for part := range strings.SplitSeq(path[1:], "/") {
				if part == "" || part == "." || part == ".." || strings.Contains(part, "\x00") {
					t.Errorf("%s %q is not clean", op, path)
				}
			}
			for _, end := range []string{"/environ", "/mem", "/auxv", "/cmdline", "/maps"} {
				if op == opRead && strings.HasPrefix(path, "/proc/") && !strings.HasPrefix(path, "/proc/sys/") && strings.HasSuffix(path, end) &&
					!strings.Contains(path, "/net/") && !strings.HasPrefix(path, "/proc/sysvipc") && !strings.HasPrefix(path, "/proc/pressure") {
					t.Errorf("%s %q", op, path)
				}
			}
		}
	})
}

func BenchmarkRefuse(b *testing.B) {
	for b.Loop() {
		refuse(opRead, "/proc/123456/stat")
	}
}
