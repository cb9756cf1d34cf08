// Package hostpathnopropagation finds containers that keep copies of the host's mounts.
//
// # Check hostpath-no-propagation
//
// hostpath-no-propagation: a container that took the host's mounts in and never lets go of them
//
// A bind of /, /run, /var/lib/docker or /var/lib/kubelet takes along every
// mount below it: layers of other containers, their shm, volumes of other
// pods. Docker and Kubernetes make such a bind private unless they are told
// otherwise, so what the host unmounts later stays mounted in the container
// until that ends. Then a device is busy that nobody uses, a volume cannot be
// mapped elsewhere, and on kernels before 3.15 a container cannot be removed.
// Exporters, log collectors, security agents and storage drivers do it most.
//
// A finding is a container, or a process with a root of its own, with such a
// bind that receives nothing from the mount that it was made of. It names the
// container, its pod, the directory in it and that on the host. A bind that
// took no mount along, though some were there, was made without recursion and
// is no finding.
//
// Info as long as the host has mounted all that the container has mounted below
// it, else warning.
//
// What to write: -v /:/rootfs:rslave for docker and podman, mountPropagation:
// HostToContainer in a pod's volumeMount. Both need a host whose mounts are
// shared, as systemd makes them.
//
// Sources: mount_namespaces(7); Linux 6.12
// Documentation/filesystems/sharedsubtree.rst; kubernetes.io "Mount propagation".
package hostpathnopropagation
