// Package runtimehung finds the first layer of a container runtime that does not
// answer.
//
// # Check runtime-hung
//
// runtime-hung: the first layer of a container runtime that does not answer, and what it waits for
//
// A request for a container passes from layer to layer: client, dockerd,
// containerd, the container's shim, the runc that the shim starts for one
// operation, runc's init, the program, the kernel. If one does not answer, all
// above it wait, docker ps, inspect or stop hangs, and which one it is cannot be
// seen from above. The finding draws this ladder: each rung with its last answer,
// the first silent one marked, with what it waits in.
//
// A finding is
//
//   - a daemon, shim, conmon or runtime's child that was stopped (state T) or
//     frozen in both looks;
//   - a runc or crun below a shim, conmon or daemon that is 30 s old, none of whose
//     threads ran between the looks, nor anything below it. It holds the
//     container's lock, so that inspect, exec, stop and top of it wait;
//   - a container's first process that is frozen though its runtime does not call it
//     paused, or that was killed and waits in the kernel;
//   - a daemon or shim that takes a question and does not answer in time, while none
//     of its threads was at work. One that is at work is slow, not hung;
//   - a container for which dockerd does not answer: asked only where its list and
//     the kernel differ and nothing above explains it, once;
//   - a program that waits for a reader of its output in both looks: whoever has the
//     other end of its shim's FIFO does not read, or nobody does.
//
// It looks at /proc first, and at how many connections wait in each queue; then a
// ping, the version, the lists; each shim by a call that takes no lock. No
// stopped layer is asked anything, and none that was silent before, until it is
// another process: each question that hangs leaves a goroutine, and maybe a lock,
// in the daemon. docker ps is no measure: since 17.10 it answers from memory.
//
// A pod has one shim, which has its sandbox's id: the finding names the pod and the
// containers that this shim serves. Of a containerd at fault the evidence names what
// is below its shims. Above a pod's layers stands the kubelet, where it is a process
// of the host's own; the pods of a node whose runtime is silent are named by the
// kubelet's links in /var/log/containers.
//
// The advice says what is lost if the layer at fault is killed. A shim is never
// killed to heal: its container ends with it.
//
// Critical where what is asked of a runtime waits. Else warning: a container that
// is frozen.
//
// Covered are dockerd with its own or the system's containerd, containerd with CRI
// or alone, CRI-O and podman with conmon, as far as their processes and sockets
// tell. Which goroutine holds the lock is in a dump: sexton stacks.
//
// Sources: containerd v1.6 runtime/v2/runc, services/tasks; moby v20.10 and v28
// daemon/; proc_pid_syscall(5), sock_diag(7), unix(7).
package runtimehung
