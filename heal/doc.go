// Package heal carries out a plan: it looks at each target again, acts, and looks
// once more. It is the only changer of a host. Each act runs in a child process
// with the capabilities that it needs and no others, and with a deadline.
//
// The pages of the actions follow.
//
// # Action nudge-parent
//
// nudge-parent: SIGCHLD to a parent that catches it and missed one
//
// A parent that waits for its children in a handler of SIGCHLD leaves one dead
// if it missed the signal: two that come at the same time are one. The next one
// makes it look again. Who has no handler does not notice, so it is refused.
//
// Target: the process, by pid and start time, held by a pidfd (Linux 5.3) while
// it is looked at again and signalled. Refused for what is stopped,
// blocks SIGCHLD, or has no handler. Proved by: the children are gone.
//
// # Action resume-process
//
// resume-process: SIGCONT to what was stopped and forgotten
//
// A stopped dockerd, containerd or shim answers nothing, and everybody who asks
// waits. It runs on from where it was. Of a runtime's processes that is safe:
// nobody stops one for a purpose. Of others it is disruptive.
//
// Target: the process, by pid and start time, held by a pidfd. It must stay
// stopped for a minute without running once, counted from the look; heal waits
// for that, and compares its context switches once more right before. Refused for what a debugger holds and what a runtime calls paused.
// Proved by: it is not stopped.
//
// # Action thaw
//
// thaw: let a frozen cgroup run on that no runtime calls paused
//
// A freezer that was left on, by a crashed runc or by hand, stops all that is in
// the cgroup and below: exec, probes and stop hang. Disruptive: somebody may
// have frozen it for a checkpoint.
//
// Target: the cgroup, by path and inode number of its directory, which is opened
// first and written through. Refused if a cgroup above it is what freezes it, or
// its runtime says paused. Proved by: it is not frozen.
//
// # Action end-runtime-child
//
// end-runtime-child: kill a runc that hangs below a shim
//
// A shim starts runc, or crun, for one operation: start, exec, kill, delete. One
// that never ends holds the container's lock in the shim, and docker inspect,
// exec, stop and top of the container wait for ever. Killed, the one operation
// fails and all that waits is answered. Never a shim: its container would end with
// it. What each of its threads waited in is in the journal.
//
// Before that the shim, containerd and dockerd above it are asked for their
// goroutines by SIGUSR1, as sexton stacks PID does, for whoever asks later what hung:
// sexton stacks FILE. Where each dump is kept, or why there is none, is in the plan
// and the journal. They take at most a few seconds, by a process that keeps CAP_KILL,
// CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH alone. None of them stops the act.
//
// Target: the child, by pid and start time, held by a pidfd, below its parent, held
// by another. Refused unless the child executes runc or crun and the parent is a
// known shim, conmon or daemon, both are in the same mount and PID namespaces,
// as no program of a container is, and no thread of the child has run since the
// look. Proved by: it has ended.
//
// # Action reap-by-ptrace
//
// reap-by-ptrace: reap adopted orphans of a PID 1 that never waits
//
// Nobody but the parent can reap, and it does not. For an instant one of its
// threads, which waits in a system call, is stopped by ptrace and made to call
// waitid(2) for one dead child after the other, 50 ms at a time; then it goes on
// with what it was in. Children that PID 1 started itself are never reaped: it
// may still ask for their status. Proved adopted is who is in another session
// than its own and that of PID 1. One that PID 1 has a pidfd on is left. Those
// that started in the last five minutes are disruptive to reap. How each ended is
// in the journal. With CAP_SYS_NICE and CAP_SYS_RESOURCE it first goes before
// others in the queue for a processor and out of the reach of the OOM killer, and
// then gives those up too. Idle processors do not sleep until it is done, where
// /dev/cpu_dma_latency may be opened: so it takes half of the time.
//
// Target: the parent and each child, by pid and start time, looked at again in
// the same instant. Refused for what is stopped, frozen or traced; the host's
// PID 1; 32-bit programs; where a seccomp filter would not let waitid through
// (the program's own filters are run to find out); in a restartable sequence.
// If sexton is killed in the middle the program goes on. On amd64; the arm64
// part is built and has not been run. Proved by: the children are gone.
//
// # Action unmount-in-namespace
//
// unmount-in-namespace: end a leaked copy of a mount where it is
//
// The owner has unmounted it; another mount namespace still has it. It is
// unmounted there, never with -l, by a thread that enters the namespace, also
// one without a process. Before, the effect in all mount namespaces is computed
// by the rules of this kernel: if a mount would go that a process uses, that its
// owner still has, or that a container works in, it is refused. It is destructive
// where a tmpfs or ramfs loses its last mount: what is in it is nowhere else. The
// shared memory and the secrets of a container that has ended are no loss.
//
// Target: the mount, by its unique id (Linux 6.8; before by id, device, root and
// options) in the namespace, by its id. The path is walked without following
// any symbolic link, and held, so that what is swapped in cannot be hit. Never
// "/" of a namespace: that would make the superblock read-only for all.
// Proved by: the kernel knows the mount no more, and it is in no namespace.
//
// # Action make-private-then-unmount
//
// make-private-then-unmount: unmount a leaked copy without taking live mounts along
//
// The copy's parent tells other namespaces of an unmount, and there a mount would
// go that somebody uses. So the parent is made private first, in the holder's
// namespace alone, and then the copy is unmounted. Disruptive: what others mount
// or unmount there is not seen in that namespace from then on, until its
// processes are started anew.
//
// Target: the mount and its parent, each by its id. Refused where a mount
// receives from that parent, where container software mounts for others in that
// namespace, and where a live mount would go all the same.
// Proved by: the kernel knows the mount no more, and it is in no namespace.
//
// # Action remove-mountpoint
//
// remove-mountpoint: free copies that nobody can unmount where they are
//
// A copy may be locked in a user namespace, or in a mount namespace that nothing
// leads to. Where its owner's namespace has the directory on which it is mounted,
// empty and with nothing mounted on it, a new directory is put in its place: the
// kernel then takes what is mounted on the old one off everywhere, used or not.
// The new one has owner, mode, times and attributes of the old, the security
// label too; they are in the journal before, and sexton heal --resume puts back
// what a crash left.
//
// Target: the directory, by the mount that it is on and its path, and all mounts
// that go. Refused if one of those is used, its owner's or a container's, or if
// not all users could be looked for. What has come since is looked for once more
// when no path leads to the old directory any more; then all is put back. Linux 3.18.
// Proved by: none of those mounts is in a mount namespace.
//
// # Action retry-remove
//
// retry-remove: ask the runtime again to remove a container that it failed to remove
//
// A removal that failed with "device or resource busy" leaves the container Dead.
// When what kept it is gone, the runtime's own removal succeeds. Never by force,
// never with volumes, and only in state Dead or RemovalInProgress.
//
// Target: the container, by its full id, through its runtime's socket. Docker and
// podman: containerd and the CRI have no state that says that a removal was asked
// for and failed, and the kubelet tries again by itself. Proved by: the runtime does
// not list it.
//
// # Action restart-holder
//
// restart-holder: restart the container or unit that holds a mount or file
//
// What nobody can unmount, as a detached tree, ends with who holds it. A container
// is restarted by its runtime (over the CRI: stopped, and the kubelet starts
// another one), a unit by systemd. A process of neither is a person's to end. A
// restart that was begun is not broken off: an interrupt waits for it, and what
// docker has stopped and not started again is started.
//
// Target: the run of the container or unit, by its first process's pid and start
// time. Refused if another run has begun, for what sexton runs in itself, and for
// what the host or its people stand on: the init's scope, systemd's own services, the
// bus, login sessions and what people are logged in by. Proved by: that process is
// gone.
//
// # Action abort-fuse
//
// abort-fuse: end the requests on a FUSE file system whose server does not answer
//
// A process that waits for such a server is in state D as soon as a signal
// comes, and docker stop does not end it. Aborted, every request ends with an
// error, and the process can be ended. The file system is of no use afterwards.
// Only where requests wait.
//
// Target: the connection, by the minor number of the superblock, and by a mount of it
// or a thread that waits for it, which tell that number from a later one. Where its control
// files are not mounted they are, for an instant and for nobody else.
// Proved by: no request waits.
//
// # Action unblock-exec-fifo
//
// unblock-exec-fifo: let go of a runc start whose init will never come
//
// runc start waits in the open of the container's exec.fifo for an init that has
// ended; the shim, containerd and docker wait for runc. The fifo is opened for
// writing, without waiting, and closed: runc sees the end of the file and fails,
// and whoever waits is told that the start failed. The other side is never opened:
// that would start the container. An init that docker gave up, and that waits in
// the fifo for nobody, is ended, and its task is deleted from containerd.
// Disruptive: the container does not start. Before it the goroutines of the shim,
// containerd and dockerd are kept, as before end-runtime-child.
//
// Target: the reader, or the init, by pid and start time, held by a pidfd, and the
// fifo, by device and inode number. Refused if it has run since the look, and for a
// reader if the container's init, by its state.json, lives and is an init of runc:
// it may come yet, and resume-process or thaw lets it. Linux 5.6.
// Proved by: nobody waits in that fifo; the init is gone.
//
// # Action deferred-remove
//
// deferred-remove: remove a mapped thin device that nobody has open any more
//
// A thin device that is mapped cannot be deleted: "Deletion of thin device 86
// failed", EBUSY. When who held it has let it go, the mapping is what is left.
// The kernel is told to remove it as soon as nobody has it open, so that who opens
// it for an instant, as udev does, does not make that fail. What is in it stays in
// the pool. Disruptive: a daemon that means to use it has to map it again.
//
// Target: the device, by name, UUID, number and thin id, compared while it is held
// open, which keeps its number from being another's. Refused while anybody else
// has it open. Linux 3.13. Proved by: no device of that name and number exists.
//
// # Action delete-thin
//
// delete-thin: delete a thin device whose deletion somebody asked for and that failed
//
// The pool is sent the message again that failed when the device was in use. Its
// blocks are free then. Destructive: what is in the device is lost, and a runtime
// that has a record of it is not told: where one does, remove the container or
// image by it instead.
//
// Target: the pool, by name, UUID and number, held open; the id in it; and the
// pool's transaction id, which docker and LVM count up with each device that they
// make or delete: another one since the plan refuses it, for ids are used again.
// Refused if the device is mapped, if the pool is not rw, and if several pools
// have a device of that id: the kernel log does not say which one was meant.
// Proved by: it is not in the pool's metadata any more.
package heal
