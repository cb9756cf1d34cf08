package errtext

// slow is the cause of most timeouts.
const slow = "the runtime, or a layer below it, did not answer in time"

// unconnected is the cause of what each program with a connection says.
const unconnected = "the daemon does not listen or closes the connection"

// noOOM are what a container's state and settings have of memory.
var noOOM = []string{`oomkilled":false`, `oomkilled": false`, "oomkilled: false", "oomkilled=false", "oom_score_adj: ", "oom score"}

// certain rules stand before EBUSY is looked for.
var certain = []rule{
	{verdict: verdict{family: OOM, cause: "the kernel killed a process since a memory limit, or memory itself, was used up"},
		any: []string{"oom-kill:", "task_memcg=", "invoked oom-killer", "out of memory: kill", "memory cgroup out of memory", "killed as a result of limit of", "memory cgroup stats for", "oom-killed", "oom killed", "oomkilled", "oomkilling", "system oom encountered", "oom-killer", "oom killer", "tasks/oom", "taskoom", "oom event", "container oom", "action=oom", "killed process ", "low on resource: memory", "attempting to reclaim memory", "has insufficient memory", "oom_reaper"},
		not: noOOM},
	{verdict: verdict{family: OOM, context: true}, any: []string{"mems_allowed="}, with: []string{"cpuset="}},
	{verdict: verdict{family: Config, context: true}, any: []string{"skip loading plugin", "devmapper not configured", "skipping containerd worker"}}, // at each start
	{verdict: verdict{family: RuntimeHang, context: true}, any: []string{"shim disconnected"}, not: failed},                                           // at each end of a container
	{verdict: verdict{family: RuntimeHang, context: true}, any: []string{"loopywriter.run returning"}},                                                // at each end of a connection
	{verdict: verdict{family: Pids, cause: "the process is dead and its parent does not reap it"},
		any: []string{"is zombie", "zombie", "<defunct>"}},
	{verdict: verdict{family: MountBusy, cause: "the overlay's directory is the upper directory of another mount that still lives somewhere"},
		any: []string{"lowerdir is in-use as upperdir", "upperdir is in-use", "workdir is in-use", "lowerdir is in-use"}},
	{verdict: verdict{family: RuntimeHang, cause: "the cgroup does not freeze, or thaw: a process in it waits in the kernel"},
		any: []string{"unable to freeze", "unable to thaw"}},
	{verdict: verdict{family: MountBusy, cause: "the engine counts its own mounts of the container and one is left"},
		any: []string{"is mounted and cannot be removed", "mount still active"}},
	{verdict: verdict{family: MountBusy, cause: "the last unmount left files of the file system in use, and the kernel could not let go of them"},
		any: []string{"busy inodes after unmount"}},
	{verdict: verdict{family: Config, cause: "the mount does not pass on what is mounted below it"},
		any: []string{"not a shared mount", "not a shared or slave mount", "not a shared or a slave mount"}},
	{verdict: verdict{family: DeviceBusy, cause: "the device is open, or mounted in some mount namespace"},
		any: []string{"running removedevice dm_task_run failed", "error running removedevice", "failed to remove device"}},
	{verdict: verdict{family: Config, cause: "the pool has data of another docker data root"},
		any: []string{"unable to take ownership of thin-pool"}},
}

// noLeaks are errors that read like a leaked mount and are none.
var noLeaks = []rule{
	{verdict: verdict{family: Other, cause: "a program's file cannot be written while it runs", noLeak: "the file is a program that runs (ETXTBSY), not a mount"},
		any: []string{"text file busy"}},
	{verdict: verdict{family: Config, cause: "the cgroup uses more than the new limit", noLeak: "a memory limit below present use is refused with EBUSY"},
		any: []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.kmem.limit_in_bytes", "memory.max"}, with: []string{"busy"}},
	{verdict: verdict{family: Config, cause: "a cgroup with processes in it takes no controllers for its children", noLeak: "cgroup v2 allows processes in leaf cgroups alone"},
		any: []string{"cgroup.subtree_control", "cgroup.controllers", "cgroup.procs"}, with: []string{"busy"}},
	{verdict: verdict{family: Other, cause: "the cgroup still has processes or cgroups below it", noLeak: "a cgroup is removed when its last process is reaped; no mount holds it"},
		any: []string{"/sys/fs/cgroup", "cgroup"}, with: []string{"resource busy", "is busy", "ebusy", "device busy"}, not: []string{"umount", "unmount", "mount point", "already mounted", "mounting"}},
	{verdict: verdict{family: Other, cause: "another program listens on the port", noLeak: "a network port is taken, not a mount"},
		any: []string{"address already in use", "port is already allocated", "address in use", "bind: address"}},
	{verdict: verdict{family: Other, cause: "another package manager runs", noLeak: "a lock file is held, not a mount"},
		any: []string{"could not get lock", "dpkg/lock", "lists/lock", "frontend lock", "another app is currently holding the yum lock", "rpm/.rpm.lock", "database is locked", "is another process using it"}},
	{verdict: verdict{family: Other, cause: "another hypervisor uses the processor's virtualization", noLeak: "KVM or another virtual machine is busy, not a mount"},
		any: []string{"kvm_create_vm", "/dev/kvm", "vboxdrv", "vmx", "vhost-net", "vfio"}, with: []string{"busy", "in use"}},
	{verdict: verdict{family: Other, cause: "a module of the kernel has users, or another driver has what it wants", noLeak: "a kernel module is in use, not a mount"},
		any: []string{"modprobe", "rmmod", "insmod", "could not insert", "module "}, with: []string{"busy", "is in use"}, not: []string{"mount"}},
	{verdict: verdict{family: Other, cause: "a rule, a set or a link of the network is referred to by another", noLeak: "netfilter or a network device is busy, not a mount"},
		any: []string{"rtnetlink answers", "iptables", "ip6tables", "nf_tables", "nftables", "ipset", "siocsif"}, with: []string{"busy", "is in use"}, not: []string{"mount"}},
	{verdict: verdict{family: Other, cause: "the terminal or serial device is open elsewhere", noLeak: "a character device is open, not a mount"},
		any: []string{"/dev/ttyusb", "/dev/ttyacm", "/dev/ttys", "/dev/video", "/dev/snd", "/dev/nvidia"}, with: []string{"busy"}},
	{verdict: verdict{family: Other, cause: "a name is taken by another container", noLeak: "two containers want one name"},
		any: []string{"is already in use by container", "name is already in use", "is already in use by"}, with: []string{"name"}},
	{verdict: verdict{family: Other, cause: "a container, perhaps a stopped one, still uses the volume", noLeak: "the engine's own list says so, not the kernel"},
		any: []string{"volume is in use", "is currently used by a container", "volume is being used", "in use by container"}, not: []string{"network"}},
	{verdict: verdict{family: Other, cause: "a container, perhaps a stopped one, still uses the image", noLeak: "the engine's own list says so, not the kernel"},
		any: []string{"image is being used by", "image is in use by", "image used by", "is using its referenced image", "image is referenced"}},
	{verdict: verdict{family: Other, cause: "the network still has endpoints", noLeak: "a network is in use, not a mount"},
		any: []string{"has active endpoints", "network is in use", "in use by container"}},
	{verdict: verdict{family: Other, cause: "the volume may be used by one node or pod alone, and another one has it", noLeak: "the storage's own list says so, not the kernel"},
		any: []string{"multi-attach error", "volume is already exclusively attached", "already used by pod", "resourceinusebyanotherresource", "volumeinuse"}},
}

// likely rules follow EBUSY.
var likely = []rule{
	{verdict: verdict{family: FIFO, cause: "one end of a named pipe waits for the other, which never comes"},
		any: []string{"exec.fifo", "exec fifo", "fifo"}, with: failed, not: []string{"not a fifo scheduler", "pfifo"}},
	{verdict: verdict{family: Config, cause: "the runtime's seccomp profile is older than the image's C library and refuses a call that makes threads"},
		any: []string{"pthread_create failed: operation not permitted"}},
	{verdict: verdict{family: Other, cause: "runc's init ended before the container began: it was killed, for want of memory most often, or refused something"},
		any: []string{"read init-p:", "final child's pid from pipe", "procready not received", "cgroup.procs: no such process", "init exited prematurely"}},
	{verdict: verdict{family: Pids, cause: "no process or thread can be made: a limit of processes is used up"},
		any: []string{"fork rejected by pids controller", "pthread_create failed", "failed to create new os thread", "cannot fork", "fork: retry", "fork failed", "fork of ", "can't fork", "unable to fork", "could not fork", "failed to fork", "fork: resource", "native thread", "can't start new thread", "newosproc", "spawn worker thread", "cannot create thread", "unable to start new thread", "pidpressure", "low on resource: pids", "too many processes", "out of pids", "pids cgroup", "no more processes"}, not: []string{"hassufficientpid"}},
	{verdict: verdict{family: Pids, cause: "no process or thread can be made: a limit of processes is used up"},
		any: []string{"pids limit", "pids.max", "pid limit", "task limit", "tasksmax", "maximum number of processes"}, with: append([]string{"reach", "exceed", "exhaust", " hit ", "too many", "max events"}, failed...)},
	{verdict: verdict{family: Pids, cause: "no process or thread can be made: a limit of processes is used up"},
		any: []string{"resource temporarily unavailable", "eagain", "errno 11", "os error 11"}, with: []string{"fork", "exec", "clone", "thread", "start", "process", "nproc", "spawn", "shim", "setuid", "run program", "system_error"}},
	{verdict: verdict{family: Pids, cause: "a process of the container is not gone: dead and not reaped, or it cannot be killed"},
		any: []string{"task must be stopped before deletion", "process already finished", "no such process", "waitid: no child", "wait: no child process", "cannot delete running task", "container is running: failed precondition", "that is not stopped"}},
	{verdict: verdict{family: Pids, cause: "a process of the container is not gone: dead and not reaped, or it cannot be killed"},
		any: []string{" is not stopped", "not in 'stopped' state"}, with: []string{"container"}},
	{verdict: verdict{family: ThinPool, cause: "the thin pool has no free blocks, or fewer than the runtime wants to keep"},
		any: []string{"free data blocks", "free metadata blocks", "out-of-data-space", "out of data space", "low water mark", "out of metadata space", "no free metadata", "no free data", "out_of_data_space", "remaining free space in metadata", "no space for thin", "reached threshold", "thin pool is full", "data space exhausted", "metadata space exhausted", "running out of data space"}},
	{verdict: verdict{family: ThinPool, cause: "a thin device was not deleted: it is in use (EBUSY) or was gone already (ENODATA); the line is the same for both"},
		any: []string{"deletion of thin device"}},
	{verdict: verdict{family: ThinPool, cause: "the thin pool holds no device of that id: it was gone already (ENODATA)"},
		any: []string{"no data available", "enodata"}, with: []string{"device-mapper", "devmapper", "devicemapper", "thin"}},
	{verdict: verdict{family: ThinPool, cause: "the thin pool that the daemon was told to use does not exist; where it runs, sexton scan --check thin-pool-missing has the ways out and what each destroys"},
		any: []string{"non existing device"}},
	{verdict: verdict{family: ThinPool, cause: "the metadata of a thin pool is broken, or is not a pool's"},
		any: []string{"sb_check failed", "couldn't read superblock", "error creating metadata object"}, with: []string{"thin"}},
	{verdict: verdict{family: ThinPool, cause: "the thin pool or a device of it is missing, damaged or cannot be changed"},
		any:  []string{"thin pool", "thin-pool", "thinpool", "thin device", "base device uuid", "device-mapper: thin", "thin metadata", "needs_check", "needs-check", "transaction_id", "transaction id", "thin_check", "check of pool", "thin internal device", "space map ", "thin volume", "dm_task_run failed", "devmapper", "devicemapper", "thinly-provisioned"},
		not:  []string{"switching pool to write mode", "read-only file system"}, // it works again, or at last; what a file says
		with: append([]string{"deletion of", "switching pool", "read-only", "sending event", "mismatch", "missing", "warning", "couldn't", "wanted", "no space left", "exceed", "status", "expected", "manual repair"}, failed...)},
	{verdict: verdict{family: RuntimeHang, cause: "a task waits in the kernel and cannot be killed: a device, a file system or memory does not answer"},
		any: []string{"blocked for more than", "is blocked on a", "allocation deadlock", "soft lockup", "hard lockup", "rcu_sched self-detected stall", "rcu_sched detected stalls", "detected stalls on cpus", "self-detected stall", "workqueue lockup", "still around after", "processes still around after"}},
	{verdict: verdict{family: RuntimeHang, cause: "the server of a network file system does not answer, and whoever uses it waits in the kernel"},
		any: []string{"nfs: server ", "lockd: server ", "cifs: vfs: ", "cifs vfs: "}, with: []string{"not responding", "has not responded"}},
	{verdict: verdict{family: RuntimeHang, cause: slow},
		any: []string{"deadline exceeded", "has not responded for ", "did not start before the specified timeout", "pleg is not healthy", "pleg was last seen active", "deadlineexceeded", "timed out", "stop-sigterm", "timeout exceeded", "timeout expired", "timeout waiting", "timeout after", "timeout of", "timeout was reached", "timeout was exceeded", ": timeout", "not responding", "unresponsive", "result 'timeout'", "hung", "stuck", "stopped posting node status", "too long to complete", "waiting for connection", "still running after", "stop job is running", "commands to complete", "timeout for volume", "start job is running", "is taking a long time"}, not: []string{"interrupt took"}},
	{verdict: verdict{family: Other, cause: "the client stopped waiting for a container that was not started: the error before it says why"},
		any: []string{"error waiting for container: context cancel"}},
	{verdict: verdict{family: RuntimeHang, cause: "an earlier request about the same container never ended"},
		any: []string{"is reserved for", "name is reserved", "removal of container", "already in progress"}},
	{verdict: verdict{family: RuntimeHang, cause: "the container's processes do not die, or their end is not noticed"},
		any: []string{"did not receive an exit event", "failed to exit within", "did not exit within", "could not kill", "cannot kill container", "failed to kill", "unable to kill", "cannot stop container", "failed to stop container", "given pids did not die", "given pid did not die", "failed to stop sandbox", "stop container", "kill container", "container still running", "container not stopped", "failed to terminate", "failed to stop after"}, with: failed, not: []string{"no such container"}},
	{verdict: verdict{family: RuntimeHang, cause: unconnected},
		any: []string{"cannot connect to the docker daemon", "connect to docker daemon", "connection is closing", "is the docker daemon running", "connection refused", "transport is closing", "error while dialing", "container runtime is down", "runtime status check may not have completed", "ttrpc: closed", "ttrpc: server closed", "containerd is not running", "failed to dial", "connection reset by peer", "context canceled", "context cancelled", "server is not initialized yet", "cannot connect to podman", "connection closed", "error during connect: ", "connection is unavailable", "code = unavailable"}},
}
