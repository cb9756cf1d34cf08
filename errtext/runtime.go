package errtext

import "strings"

// tool is the runtime of programs that are none: rm, umount, lvremove.
const tool = "-"

// programs gives the runtime that a program belongs to, by its syslog tag or by
// the name that it puts before its errors.
var programs = map[string]string{
	"dockerd": "docker", "docker": "docker", "docker-current": "docker", "dockerd-current": "docker", "docker-compose": "docker", "dockerd-ce": "docker", "balenad": "docker", "docker.service": "docker",
	"containerd": "containerd", "ctr": "containerd", "nerdctl": "containerd", "cri-containerd": "containerd", "containerd-shim": "containerd", "containerd-shim-runc-v2": "containerd", "containerd-shim-runc-v1": "containerd",
	"crio": "cri-o", "cri-o": "cri-o", "podman": "podman", "conmon": "podman", "buildah": "buildah", "runc": "runc", "crun": "crun", "youki": "youki",
	"kubelet": "kubelet", "hyperkube": "kubelet", "kubelite": "kubelet", "k3s": "kubelet", "rke2": "kubelet", "kubelet.daemon": "kubelet", "origin-node": "kubelet", "atomic-openshift-node": "kubelet",
	"kernel": "kernel", "systemd": "systemd", "systemd-shutdown": "systemd", "lxd": "lxd", "lxc": "lxc", "incus": "incus", "incusd": "incus", "lxc-start": "lxc", "lxc-destroy": "lxc", "lxc-stop": "lxc", "lxd.daemon": "lxd",

	"rm": tool, "rmdir": tool, "mv": tool, "umount": tool, "umount.nfs": tool, "umount.nfs4": tool, "mount": tool, "mount.nfs": tool, "mount.nfs4": tool, "mount.ceph": tool, "fusermount": tool, "fusermount3": tool,
	"resize2fs": tool, "e2fsck": tool, "fsck": tool, "xfs_repair": tool, "blkdiscard": tool, "swapoff": tool, "sfdisk": tool, "partprobe": tool, "kpartx": tool, "mount.cifs": tool, "umount.cifs": tool, "fuser": tool, "lvextend": tool, "vgremove": tool, "pvremove": tool,
	"losetup": tool, "dmsetup": tool, "lvremove": tool, "lvchange": tool, "vgchange": tool, "lvs": tool, "pvcreate": tool, "wipefs": tool, "mkfs.ext4": tool, "mkfs.xfs": tool, "mkfs": tool, "mke2fs": tool,
	"rbd": tool, "iscsiadm": tool, "iscsid": tool, "multipath": tool, "multipathd": tool, "mdadm": tool, "cryptsetup": tool, "zfs": tool, "zpool": tool, "btrfs": tool, "blockdev": tool, "sgdisk": tool, "dmeventd": tool, "qemu-img": tool, "qemu-nbd": tool, "ceph-fuse": tool, "lvm": tool,
	"bash": tool, "sh": tool, "-bash": tool, "/bin/sh": tool, "/bin/bash": tool, "fork": tool, "runtime": tool, "find": tool, "cp": tool, "ln": tool, "kill": tool, "nsenter": tool, "device-mapper": tool,
}

// kubeletFiles begin the names of the source files in kubelet's log lines.
//
// Source: kubernetes pkg/kubelet, pkg/volume.
var kubeletFiles = []string{
	"kubelet", "remote_", "kuberuntime", "kuberuntimemanager", "pod_workers", "nestedpendingoperations", "goroutinemap", "generic.go", "reconciler", "desired_state", "docker_", "cni.go",
	"cri_stats", "prober", "eviction", "pod_container", "qos_", "subpath", "secret.go", "configmap", "projected", "csi_", "volume_manager", "operation_generator", "log.go", "container_manager", "oom_", "setters", "rbd.go", "rbd_util", "mount_helper", "handler", "log_metrics", "pod_startup", "helpers.go", "status_manager", "image_gc", "container_gc", "manager.go", "driver-call", "volume_path_handler", "reconstruct", "actual_state", "cadvisor_", "fsHandler", "fs.go", "summary", "container.go", "plugin_", "cpu_manager", "memory_manager", "topology_manager", "nodeshutdown", "empty_dir", "downwardapi", "iscsi_util", "aws_ebs", "aws_util", "gce_", "vsphere_volume",
}

// kubeletWords are in what kubelet prints in its log and in events.
var kubeletWords = []string{
	"from runtime service failed", "pleg is not healthy", "error syncing pod", "orphaned pod", "unmountvolume.", "mountvolume.", "mapvolume.", "failed for volume \"", "operation for \"", "nodenotready", "kubeletnotready", "stopped posting node status", "failedkillpod", "failedmount", "failedunmount", "failedcreatepodsandbox", "failed create pod sandbox",
	"failed to \"startcontainer\"", "failed to \"killcontainer\"", "failed to \"killpodsandbox\"", "failed to \"createpodsandbox\"", "unable to attach or mount volumes", "unable to mount volumes for pod", "error killing pod", "container runtime is down", "skipping pod synchronization", "runpodsandbox from", "failed to clean up pod", "failed to remove pod volumes", "failed to cleanup volumes", "syncpod", "poduid=", `containerid={"type":"`,
	"kubelethas", "kubelet config", "liveness probe failed", "readiness probe failed", "startup probe failed", " probe errored", "status is now: node", "failed to create pod sandbox", "failed to start sandbox container", "failed to run kubelet", "kubelet cgroup driver",
}

// runtimeWords tell the runtime by what it alone prints; the first that is in
// the text counts.
var runtimeWords = []struct {
	runtime string
	words   []string
}{
	{"kernel", []string{"invoked oom-killer", "out of memory: kill", "oom-kill:", "task_memcg=", "memory cgroup stats for", "killed as a result of limit of", "unregister_netdevice", "fork rejected by pids controller", "blocked for more than", "soft lockup", "device-mapper: thin:", "overlayfs:", "ext4-fs", "buffer i/o error", "jbd2", "mems_allowed=", "device-mapper: table:", "xfs (", "oom_reaper", "rcu: info", "block nbd", "nf_conntrack:", "i/o error, dev ", "nfs: server ", "cifs: vfs: ", "cifs vfs: ", "workqueue lockup", "libceph: ", "ceph: mds", "lustreerror: "}},
	{"docker", []string{"response from daemon", "failed to create task for container", "driver failed programming external", "could not kill running container", "use the --init option", "volume is in use - [", "(or rename) that container", "error starting daemon", "docker daemon", "handler for ", "cannot start service", "docker-compose", "an http request took too long", "cannotcreatecontainererror", "cannotstartcontainererror", "dockertimeouterror", "docker: ", "failed to exit within", "trying direct sigkill", "did not receive an exit event", "error initializing graphdriver", "devmapper: error", "devmapper: thin pool", "devicemapper: ", "failed to register layer", "error during connect: ", "%2fdocker.sock", "unixhttpconnectionpool", "libnetwork", "api error (4", "api error (5", "(http code 4", "(http code 5", "code = 2 desc = oci runtime error", "code = 2 desc = \"oci runtime error", "docker.errors.", "error: for ", "http+docker://", "dockerjava", "libcontainerd", "daemon/graphdriver", "com.docker"}},
	{"buildah", []string{"buildah"}},
	{"cri-o", []string{"cri-o", "crio", "kubernetes.io/cri-o", "error reserving ctr name", "error reserving pod name"}},
	{"podman", []string{"podman", "libpod", "netavark", "aardvark-dns", "removing storage for container", "creating container storage", "that name is already in use", "container state improper", "cleaning up storage", "cleanup storage", "layer is not mounted", "has dependent containers", "no container with name or id", "being used by container(s)", "conmon", "oci runtime error: ", "oci permission denied", "network namespace for container", "failed to remove ns path", ": oci runtime error", "given pid did not die", "given pids did not die", "stopsignal sig", "network namespace for container ", "layer not known", "num_locks"}},
	{"lxd", []string{"lxd", "/snap/lxd/"}},
	{"incus", []string{"/var/lib/incus", "incus "}},
	{"lxc", []string{"lxc_", "lxc-", "/var/lib/lxc/", "lxc "}},
	{"containerd", []string{"containerd", "podsandboxstatus for", "stoppodsandbox for", "removepodsandbox for", "runpodsandbox for", "stopcontainer for", "containerstatus for", "removecontainer for", "execsync for", "task must be stopped before deletion", "killpodsandbox for", "cleanup rootfs mount", "io.containerd.", "taskoom", "failed to reserve container name", "failed to reserve sandbox name", "failed to create shim", "nerdctl", "shim disconnected", "delete shim", "cleanup shim", "shim log", "ttrpc", "&taskexit{", "taskexit event", "namespace=k8s.io", "namespace \"k8s.io\"", "network for sandbox", "cni config", "failed to exec in container: ", "get state for ", "collecting metrics for "}},
	{"docker", []string{"oci runtime exec failed", "oci runtime create failed", "oci runtime start failed", "oci runtime pause failed", "oci runtime resume failed"}},
	{"crun", []string{"crun: ", "crun "}},
	{"runc", []string{"container_linux.go", "process_linux.go", "rootfs_linux.go", "runc create failed", "runc run failed", "runc exec failed", "runc did not terminate", "runc delete", "runc:", "nsexec", "unable to start container process", "standard_init_linux.go", "that is not stopped", "cannot start an already running container", "cannot start a container that has"}},
	{"docker", []string{"/var/lib/docker", "/var/run/docker", "/run/docker", "dockerd", "driver \"", "driver overlay2 failed", "driver overlay failed", "driver aufs failed", "driver devicemapper failed", "driver btrfs failed", "driver zfs failed", "driver vfs failed", "unable to remove filesystem for", "docker.service", "docker.sock", "docker/overlay", "docker/containers/", "docker/devicemapper", "docker/aufs", "docker/volumes/", "docker/btrfs", "docker/zfs", "docker/vfs", "docker container", " docker "}},
	{"podman", []string{"/containers/storage/", "machine-libpod"}},
	{"docker", []string{"error creating overlay mount to"}},
	{"systemd", []string{"stop job is running", "start job is running"}},
}

// runtimeOf tells who reports: the outermost layer that the text shows, since
// kubelet's line quotes docker's error and docker's quotes runc's.
func runtimeOf(r *record) string {
	if eventBy(r.low) == "kubelet" {
		return "kubelet"
	}
	known := programs[r.program]
	if strings.HasPrefix(r.program, "kubelet") {
		known = "kubelet" // kubelet-wrapper, kubelet.sh
	}
	if known == "kubelet" || known == "kernel" || known == "cri-o" || known == "podman" {
		return known
	}
	for _, begin := range kubeletFiles {
		if r.source != "" && strings.HasPrefix(r.source, begin) && !strings.HasPrefix(r.low, "id: ") { // ceph-csi numbers its requests
			return "kubelet"
		}
	}
	if _, ok := hasAny(r.low, kubeletWords...); ok && known == "" && !r.fields {
		return "kubelet"
	}
	if known != "" && known != tool && known != "systemd" {
		return known
	}
	first, _, _ := strings.Cut(r.low, ": ")
	if _, failed := strings.CutSuffix(first, " failed"); failed { // runc kill failed: text
		first, _, _ = strings.Cut(first, " ")
	}
	if named := programs[strings.TrimSpace(first)]; named != "" && named != tool {
		return named
	}
	if r.source != "" && !strings.Contains(r.low, "error response from daemon") {
		return "" // klog of a CSI driver or another controller
	}
	for _, w := range runtimeWords {
		if hasWord(r.low, w.words) && !(w.runtime == "docker" && r.caller) {
			if _, pod := hasAny(r.low, "pod sandbox", "podsandbox"); pod && w.runtime == "podman" {
				return "cri-o" // of the two whose storage it is, the one with sandboxes
			}
			return w.runtime
		}
	}
	if strings.HasPrefix(r.low, "error: ") && strings.Contains(r.low, "container ") && len(containerIDOf(r.low)) == 64 {
		return "podman" // of the clients that begin so, the one that prints ids in full
	}
	switch {
	case known == "systemd":
		return known
	case r.program == "" && hasPrefix(r.text, kernelHeads):
		return "kernel"
	case r.fields && !r.caller && known == "" && r.program == "" && !hasWord(r.low, storageWords):
		return "docker" // of the daemons that log so, the one whose messages do not name it
	}
	return ""
}

// kernelHeads begin lines of the kernel, where their header is cut off.
var kernelHeads = []string{"drbd ", "NFS: ", "NFS4: ", "CIFS: ", "RPC: ", "VFS: "}

// storageWords are in what drivers of volumes print, which log as daemons do.
var storageWords = []string{"csi", "kubernetes.io", "nodepublishvolume", "nodeunpublishvolume", "nodestagevolume", "nodeunstagevolume", "pxd", "pxctl", "/var/lib/osd/", "longhorn", "volumedriver"}

// hasWord tells whether a text has one of the phrases, not as the end of a
// longer word: fuse-overlayfs is not the kernel's overlayfs.
func hasWord(low string, phrases []string) bool {
	for _, p := range phrases {
		for from := 0; ; {
			i := strings.Index(low[from:], p)
			if i < 0 {
				break
			}
			if i += from; i == 0 || !isLetter(p[0]) || !isLetter(low[i-1]) && !isDigit(low[i-1]) && low[i-1] != '-' {
				return true
			}
			from = i + 1
		}
	}
	return false
}

// eventBy is who reports an event of Kubernetes, in the table that kubectl describe
// prints: TYPE REASON AGE FROM MESSAGE, where an age may be "5m (x3 over 15m)".
func eventBy(low string) string {
	words := strings.Fields(low[:min(len(low), 200)])
	if len(words) < 5 || words[0] != "warning" && words[0] != "normal" {
		return ""
	}
	if from := words[3:]; !strings.HasPrefix(from[0], "(x") {
		return strings.TrimSuffix(from[0], ",")
	} else if len(from) > 3 && from[1] == "over" {
		return strings.TrimSuffix(from[3], ",")
	}
	return ""
}
