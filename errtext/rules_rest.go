package errtext

// rest are the errors that no clearer rule reads.
var rest = []rule{
	{verdict: verdict{family: Config, cause: "a setting of the daemon does not fit this host or its data"},
		any:  []string{"error initializing graphdriver", "prior storage driver", "unable to configure the docker daemon", "storage-opt", "storage driver", "live-restore", "mountflags", "daemon.json", "cgroup driver", "cgroup-driver", "cgroupdriver", "unknown flag", "no such storage driver", "directives don't match", "unknown configuration", "seccomp", "apparmor", "driver not supported", "graphdriver", "d_type", "dm.thinpooldev", "invalid configuration", "failed to load config", "swap accounting", "kernel does not support", "not supported by the kernel", "kernel memory limit", "minimum memory limit", "unable to set memory limit", "memory limit too low", "below minimum", "too low", "rshared", "rslave", "mount propagation", "devices cgroup isn't mounted", "cgroups: cgroup mountpoint does not exist", "cgroup mountpoint", "failed to write", "rlimit", "ulimit", "sysctl", "openat2", "nproc"},
		with: failed},
	{verdict: verdict{family: Config, cause: "the program that the container should run is not there or may not be run"},
		any: []string{"executable file not found", "exec format error", "exec user process caused", "no such file or directory: unknown", "permission denied: unknown"}},
	{verdict: verdict{family: ThinPool, cause: "the thin pool is full"},
		any: []string{"no space left on device"}, with: []string{"devmapper", "devicemapper", "thin", "/dev/dm-"}},
	{verdict: verdict{family: Other, cause: "cgroups of dead containers use up their number", noLeak: "cgroups have leaked, not a mount"},
		any: []string{"no space left on device", "cannot allocate memory"}, with: []string{"/sys/fs/cgroup", "cgroup"}},
	{verdict: verdict{family: Other, cause: "a file system is full, or a limit of mounts, watches or inodes is reached"},
		any: []string{"no space left on device", "enospc", "disk quota exceeded"}},
	{verdict: verdict{family: OOM, cause: "the kernel has no memory for it: a limit is reached, or the process that must make it is dying"},
		any: []string{"cannot allocate memory", "enomem", "out of memory", "oom", "signal: killed", "memory limit reached"}, with: failed, not: []string{"room", "zoom", "oom_score"}},
	{verdict: verdict{family: Other, cause: "a network device still has users: a socket or route in a network namespace"},
		any: []string{"unregister_netdevice"}},
	{verdict: verdict{family: Other, cause: "the volume is still on the node, though its pod is gone"},
		any: []string{"an operation with the given volume id"}},
	{verdict: verdict{family: MountBusy, cause: "directories of a pod that is gone are still there: a mount in them, or files"},
		any: []string{"orphaned pod", "volume paths are still present", "found, but failed to rmdir", "errors similar to this"}, with: []string{"pod"}},
	{verdict: verdict{family: Other, cause: "the server behind the mount is gone"},
		any: []string{"transport endpoint is not connected", "stale file handle", "stale nfs file handle", "host is down", "no route to host"}},
	{verdict: verdict{family: Other, cause: "it is not a mount point, or not any more"},
		any: []string{"not mounted", "invalid argument"}, with: []string{"umount", "unmount"}},
	{verdict: verdict{family: MountBusy, cause: "an unmount failed; the text does not say why, and most often it is busy"},
		any: []string{"failed unmounting", "failed to unmount", "unmount failed", "could not unmount", "cannot unmount", "unable to unmount", "failed to umount", "umount failed"}},
	{verdict: verdict{family: Other, cause: "a directory that should be empty is not: something was written below the mount point"},
		any: []string{"directory not empty"}},
	{verdict: verdict{family: Other, cause: "the device or file system reports errors"},
		any: []string{"input/output error", "i/o error", "ext4-fs error", "read-only file system", "metadata corruption", "structure needs cleaning", "aborting journal", "error -5", "superblock"}},
	{verdict: verdict{family: Other, cause: "a file system with the same UUID, a snapshot or a clone of it, is mounted already"},
		any: []string{"has duplicate uuid"}},
	{verdict: verdict{family: Other, cause: "the device is not there"},
		any: []string{"no such device or address", "no such device", "enxio", "no medium found", "can't find uuid", "can't find label", "special device"}},
	{verdict: verdict{family: Other, cause: "the kernel or a security module does not allow it"},
		any: []string{"operation not permitted", "permission denied"}},
}

// vague are failures without a cause that is known; they are events if something
// in them is: who reports, or what it is about.
var vague = rule{verdict: verdict{family: Other, cause: "it failed; the text does not say why"},
	any: []string{"error response from daemon", "failed", "cannot", "unable to", "error:", "could not", "error killing", "error removing", "exit status", "aborting", "level=error", "level=fatal"}}
