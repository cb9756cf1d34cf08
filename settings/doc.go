// Package settings judges what a manifest, an image, a unit or docker's file asks
// for, before it runs. Checks of scan that judge the same on a host use its rules.
//
// # Rule hostpath-no-propagation
//
// hostpath-no-propagation: a container that takes the host's mounts in and never lets go of them
//
// A volume of /, /run, /var, /var/lib/docker, /var/lib/kubelet or another directory
// below which runtimes mount takes along every mount below it. Docker and Kubernetes
// make it private, so what the host unmounts later stays mounted in the container:
// devices stay busy, disk space stays in use, and on kernels before 3.15 other
// containers cannot be removed. A data-root of docker's settings counts too.
//
// A finding is a hostPath or a bind of such a directory without HostToContainer,
// Bidirectional, rslave or rshared. One that takes no mounts along (recursive:
// disabled) is none.
//
// Warning; info for an init container, which ends soon, and for a service of a compose
// file with docker's own data root below the directory: docker since 18.03 makes that
// rslave unless it is told otherwise.
//
// Sources: mount_namespaces(7); kubernetes.io "Mount propagation"; docs.docker.com
// "Bind mounts"; moby v28 daemon/volumes_linux.go, validateBindDaemonRoot.
//
// # Rule no-init
//
// no-init: a container whose PID 1 reaps no orphans or passes no TERM on
//
// PID 1 is given every orphan of the container, and the kernel drops each signal that
// it has no handler for. A shell in front of the program (the shell form of ENTRYPOINT
// and CMD, or sh -c) passes no TERM to it.
//
// A finding is a shell that is told to run something by -c, without exec before the
// last command and without a trap; and a program that is known to reap no orphans, as
// node, python and java, without an init. An init is tini and its like in the command,
// init: true, and, for orphans, shareProcessNamespace and hostPID. Entrypoint scripts
// and images that are not in the files are not known. ENTRYPOINT ['x'] is the shell
// form: docker wants JSON, with double quotes.
//
// Warning for a shell: each stop waits out the grace period. A single command counts
// for sh and dash alone: bash and busybox replace themselves by it. Info for a program
// without an init: it depends on what that does.
//
// Sources: pid_namespaces(7); docs.docker.com "Dockerfile reference"; bash(1) "SIGNALS".
//
// # Rule memory-limit-too-low
//
// memory-limit-too-low: a memory limit below what the runtime's own init needs
//
// Before the program of a container runs, runc's init is in its memory cgroup, and
// again for each exec and exec probe. With less than it needs the start fails, or the
// kernel kills runc:[2:INIT], and an old runtime waits for it for ever. Docker refuses
// less than 6 MiB for this, cri-o less than 12; the kubelet, containerd and podman refuse
// nothing. A limit of 100m is not 100 mebibytes: in Kubernetes m is a thousandth of a byte.
//
// A finding is a limit below 16 MiB, which is what the init of a runc takes that must
// copy itself into memory.
//
// Warning below 6 MiB, else info.
//
// Sources: moby v28 daemon/daemon_unix.go, linuxMinMemory; crio.conf(5),
// container_min_memory; https://github.com/opencontainers/runc/issues/1980.
//
// # Rule mountflags-live-restore
//
// mountflags-live-restore: live-restore on a dockerd that gets a new mount namespace at each start
//
// With live-restore containers outlive the daemon. With MountFlags=slave or another
// directive that gives it a mount namespace of its own, the daemon that is started next
// cannot reach what the one before mounted: docker exec fails in the containers that
// ran, and on kernels before 3.15 their removal does.
//
// A finding is such a directive on the unit of a dockerd (docker.service, or one that
// starts dockerd) together with live-restore in docker's file or on its command line.
//
// Always warning.
//
// Sources: systemd.exec(5), MountFlags=; moby#35873, docs.docker.com live-restore.
//
// # Rule private-unit
//
// private-unit: a service whose own mount namespace keeps mounts of containers
//
// PrivateTmp, ProtectSystem, ProtectHome, ReadWritePaths, MountFlags and the like give a
// service a copy of the host's mounts as they are at its start: those of containers too,
// if it starts after them. Where an unmount does not arrive in the copy, they stay in
// use until the service is restarted.
//
// A finding is a unit with such a directive that is not container software and is not
// ordered before it. A drop-in counts for the unit that its folder names.
//
// Warning if it is ordered after a runtime or after a target that has one, else info.
//
// Sources: systemd.exec(5) "SANDBOXING"; moby#36047.
//
// # Rule devicemapper-loop
//
// devicemapper-loop: docker's thin pool in two sparse files
//
// Without a device dockerd puts the pool of devicemapper on loop devices. Each write
// passes two file systems, and a full disk beneath takes every container along.
//
// A finding is the storage driver devicemapper, or an option of it, without
// dm.thinpooldev, dm.directlvm_device or dm.datadev.
//
// Always warning.
//
// Sources: docs.docker.com "Device Mapper storage driver", loop-lvm and direct-lvm.
//
// # Rule directlvm-force
//
// directlvm-force: dockerd sets a device up for devicemapper, and nobody chose what becomes of its data
//
// dockerd sets dm.directlvm_device up once, and again when its data root was moved or
// emptied. dm.directlvm_device_force decides what happens then to a device that holds a
// file system or an older pool. False, as when it is not set: it is left alone, and dockerd does
// not start ("Non existing device docker-thinpool" is the like with a pool that is
// gone). True: it is wiped.
//
// A finding is dm.directlvm_device without dm.directlvm_device_force, or with true.
//
// Warning if it is not set, info if it is true.
//
// Sources: moby v24 daemon/graphdriver/devmapper; docs.docker.com "Device Mapper storage
// driver".
package settings
