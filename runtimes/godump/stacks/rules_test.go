package stacks

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sexton.dev/runtimes/godump"
)

// locked is a goroutine that waits for a mutex, in the function f(args).
func locked(id, minutes int, addr, f string) string {
	return fmt.Sprintf("goroutine %d [semacquire, %d minutes]:\nsync.runtime_SemacquireMutex(0x0?)\nsync.(*Mutex).lockSlow(%s)\nsync.(*Mutex).Lock(...)\n%s\n\n", id, minutes, addr, f)
}

// The address of a lock is found in what each version of Go prints.
func TestLockAddress(t *testing.T) {
	for _, tt := range []struct {
		name, stack string
		key         uint64
		shown       string
	}{
		{"go 1.4", "sync.runtime_Semacquire(0xc820354f54)\nsync.(*Mutex).Lock(0xc820354f50)\nmain.f(0x1)", 0xc820354f50, "0xc820354f50"},
		{"go 1.10", "sync.runtime_SemacquireMutex(0xc4200bc0c4, 0x646b00)\nsync.(*Mutex).Lock(0xc4200bc0c0)\nmain.f(0x1)", 0xc4200bc0c0, "0xc4200bc0c0"},
		{"go 1.17, Lock inlined", "sync.runtime_SemacquireMutex(0xc4200bc0c4, 0x0, 0x1)\nsync.(*Mutex).lockSlow(0xc4200bc0c0)\nsync.(*Mutex).Lock(...)\nmain.f(0x1)", 0xc4200bc0c0, "0xc4200bc0c0"},
		{"go 1.24", "internal/sync.runtime_SemacquireMutex(0xc4200bc0c4?, 0x0?, 0x1?)\ninternal/sync.(*Mutex).lockSlow(0xc4200bc0c0)\ninternal/sync.(*Mutex).Lock(...)\nsync.(*Mutex).Lock(...)\nmain.f(0x1)", 0xc4200bc0c0, "0xc4200bc0c0"},
		{"all inlined but the semaphore", "sync.runtime_SemacquireMutex(0xc4200bc0c4, 0x0, 0x1)\nsync.(*Mutex).Lock(...)\nmain.f(0x1)", 0xc4200bc0c0, "0xc4200bc0c4"},
		{"a reader", "sync.runtime_SemacquireMutex(0xc000b1878c, 0x0, 0x1)\nsync.(*RWMutex).RLock(...)\nmain.f(0x1)", 0xc000b18780, "0xc000b1878c"},
		{"a reader, go 1.22", "sync.runtime_SemacquireRWMutexR(0xc000b1878c, 0x0, 0x1)\nsync.(*RWMutex).RLock(...)\nmain.f(0x1)", 0xc000b18780, "0xc000b1878c"},
		{"a writer that waits for readers", "sync.runtime_SemacquireRWMutex(0xc000b18788?, 0x0?, 0x1?)\nsync.(*RWMutex).Lock(0xc000b18780)\nmain.f(0x1)", 0xc000b18780, "0xc000b18780"},
		{"a writer behind a writer", "sync.runtime_SemacquireMutex(0x0?)\nsync.(*Mutex).lockSlow(0xc000b18780)\nsync.(*Mutex).Lock(...)\nsync.(*RWMutex).Lock(0x0?)\nmain.f(0x1)", 0xc000b18780, "0xc000b18780"},
		{"leftovers alone: the object", "sync.runtime_SemacquireMutex(0xc000b1878c?)\nsync.(*RWMutex).RLock(...)\nmain.(*T).f(0xc000ba4340)", 0xc000ba4340, "0xc000ba4340"},
		{"nothing", "sync.runtime_SemacquireMutex(0xc000b1878c?)\nsync.(*Mutex).Lock(...)\nmain.f(...)", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			_, err := godump.Read(strings.NewReader("goroutine 1 [semacquire]:\n"+tt.stack+"\n"), func(g *godump.Goroutine) {
				n++
				if _, ok := lockOwner(g); !ok {
					t.Error("no wait for a lock")
				}
				if key, shown := lockAddress(g); key != tt.key || shown != tt.shown {
					t.Errorf("%#x, shown as %q; want %#x, %q", key, shown, tt.key, tt.shown)
				}
			})
			if err != nil || n != 1 {
				t.Errorf("%d stacks: %v", n, err)
			}
		})
	}
}

func TestBlocked(t *testing.T) {
	const a, b = "0xc000000100", "0xc000000200"
	for _, tt := range []struct {
		name, text string
		function   string
		waiters    int
		says       string // part of the conclusion
	}{
		{name: "a deadlock of two", text: locked(1, 5, a, "example.com/x.(*B).F("+b+")") + locked(2, 5, b, "example.com/x.(*A).F("+a+")"), function: "example.com/x.(*B).F", waiters: 1, says: "a deadlock"},
		{name: "a reader and a writer of one lock", text: "goroutine 1 [sync.RWMutex.RLock, 2 minutes]:\nsync.runtime_SemacquireRWMutexR(0xc00000010c, 0x0)\nsync.(*RWMutex).RLock(...)\nexample.com/x.R()\n\n" + locked(2, 1, a, "example.com/x.W()"), function: "example.com/x.R", waiters: 2},
		{name: "the holder works on the same object and comes last", text: locked(1, 5, "0xc000000170", "example.com/x.(*B).Get("+a+")") + locked(2, 4, "0xc000000170", "example.com/x.(*B).Get("+a+")") +
			"goroutine 9 [select, 6 minutes]:\ngithub.com/containerd/ttrpc.(*Client).dispatch(0x1)\ngithub.com/containerd/containerd/api/runtime/task/v3.(*ttrpctaskClient).Kill(0x1)\nexample.com/x.(*B).Kill(" + a + ")\n", function: "example.com/x.(*B).Kill", waiters: 2, says: "likely held by goroutine 9, in x.(*B).Kill, which waits 6 minutes for the shim to answer task.Kill"},
		{name: "an idle goroutine with the same object holds nothing", text: locked(1, 5, "0xc000000170", "example.com/x.(*B).Get("+a+")") + "goroutine 9 [chan receive, 6 minutes]:\nexample.com/x.(*B).loop(" + a + ")\n", function: "example.com/x.(*B).Get", waiters: 1, says: "cannot be seen"},
		{name: "a lock for a moment does not hide a call for an hour", text: locked(1, 0, a, "example.com/x.F()") + "goroutine 9 [select, 60 minutes]:\ngoogle.golang.org/grpc.invoke(0x1)\ngithub.com/containerd/containerd/api/services/version/v1.(*versionClient).Version(0x1)\nexample.com/x.G(0x1)\n", function: "example.com/x.G", waiters: 1, says: "version.Version"},
		{name: "fsync before those who wait for its lock", text: locked(1, 5, a, "example.com/x.F()") + "goroutine 9 [syscall, 3 minutes]:\nsyscall.Syscall(0x4a)\nsyscall.Fsync(0x6)\nos.(*File).Sync(0x1)\ngithub.com/docker/docker/container.(*Container).ToDisk(0x1)\n", function: "github.com/docker/docker/container.(*Container).ToDisk", waiters: 1, says: "the kernel (fsync)"},
		{name: "an fsync of a moment", text: "goroutine 9 [syscall]:\nsyscall.Syscall(0x4a)\nsyscall.Fsync(0x6)\nmain.main()\n", says: "Nothing is blocked"},
		{name: "an fsync of a moment holds a lock for which others have waited long", text: locked(1, 5, a, "example.com/x.(*C).Get("+a+")") + "goroutine 9 [runnable]:\nsyscall.Syscall(0x4a)\nsyscall.Fsync(0x6)\nos.(*File).Sync(0x1)\ngithub.com/docker/docker/container.(*Container).ToDisk(" + a + ")\n", function: "github.com/docker/docker/container.(*Container).ToDisk", waiters: 1, says: "likely held by goroutine 9, in container.(*Container).ToDisk, which waits less than a minute for the kernel (fsync)"},
		{name: "podman's lock in shared memory", text: "goroutine 1 [syscall, locked to thread]:\nruntime.cgocall(0x1)\ngithub.com/containers/podman/v4/libpod/lock/shm._Cfunc_lock_semaphore(0x1, 0x3)\ngithub.com/containers/podman/v4/libpod/lock/shm.(*SHMLocks).LockSemaphore(0x1, 0x3)\ngithub.com/containers/podman/v4/libpod/lock.(*SHMLock).Lock(0x1)\ngithub.com/containers/podman/v4/libpod.(*Runtime).removePod(0x1)\n", function: "github.com/containers/podman/v4/libpod.(*Runtime).removePod", says: "podman waits less than a minute for a system call, in libpod.(*Runtime).removePod (goroutine 1). Known: podman waits for the lock"},
		{name: "a lock of a file", text: "goroutine 1 [syscall, 4 minutes]:\nsyscall.Syscall(0x48)\ngolang.org/x/sys/unix.FcntlFlock(0x6, 0x26, 0x1)\ngithub.com/containers/storage/pkg/lockfile.(*LockFile).lock(0x1)\ngithub.com/containers/storage.(*layerStore).startWriting(0x1)\n", function: "github.com/containers/storage.(*layerStore).startWriting", says: "lslocks"},
		{name: "a lock of a file for a moment", text: "goroutine 1 [syscall]:\nsyscall.Syscall(0x48)\ngolang.org/x/sys/unix.FcntlFlock(0x6, 0x26, 0x1)\ngithub.com/containers/storage/pkg/lockfile.(*LockFile).lock(0x1)\n", says: "Nothing is blocked"},
		{name: "etcd's disk", text: "goroutine 180 [syscall, 3 minutes]:\nsyscall.Syscall(0x4b)\nsyscall.Fdatasync(0x9)\ngo.etcd.io/etcd/client/pkg/v3/fileutil.Fdatasync(...)\ngo.etcd.io/etcd/server/v3/wal.(*WAL).sync(0x1)\n", function: "go.etcd.io/etcd/server/v3/wal.(*WAL).sync", says: "etcd waits 3 minutes for the kernel (fdatasync)"},
		{name: "buildkit by itself", text: locked(1, 5, a, "github.com/moby/buildkit/util/progress.(*MultiWriter).writeRawProgress("+a+")"), function: "github.com/moby/buildkit/util/progress.(*MultiWriter).writeRawProgress", waiters: 1, says: "buildkitd: 1 goroutine waits"},
		{name: "buildkit in dockerd", text: locked(1, 5, a, "github.com/docker/docker/vendor/github.com/moby/buildkit/util/progress.(*MultiWriter).writeRawProgress("+a+")"), function: "github.com/docker/docker/vendor/github.com/moby/buildkit/util/progress.(*MultiWriter).writeRawProgress", waiters: 1, says: "dockerd: 1 goroutine waits"},
		{name: "a pipe that nobody reads", text: "goroutine 9 [IO wait, 3 minutes]:\ninternal/poll.runtime_pollWait(0x1)\ninternal/poll.(*FD).Write(0x1)\nos.(*File).Write(0x1)\ngithub.com/containerd/fifo.(*fifo).Write(0x1)\nio.copyBuffer(0x1)\ngithub.com/containerd/containerd/runtime/v1/linux/proc.copyPipes.func2.1(0x1)\n", function: "github.com/containerd/containerd/runtime/v1/linux/proc.copyPipes.func2.1", says: "containerd/issues/3457"},
		{name: "a reader of a pipe is idle", text: "goroutine 9 [IO wait, 3 minutes]:\ninternal/poll.(*FD).Read(0x1)\nos.(*File).Read(0x1)\nio.copyBuffer(0x1)\nexample.com/x.copy(0x1)\n", says: "Nothing is blocked"},
		{name: "a task's Wait is open as long as it runs", text: "goroutine 9 [select, 900 minutes]:\ngoogle.golang.org/grpc.invoke(0x1)\ngithub.com/containerd/containerd/api/services/tasks/v1.(*tasksClient).Wait(0x1)\nexample.com/x.G(0x1)\n", says: "Nothing is blocked"},
		{name: "containerd as a child is no wait", text: "goroutine 9 [syscall, 900 minutes]:\nsyscall.wait4(0x514)\nos.(*Process).Wait(0x1)\nos/exec.(*Cmd).Wait(0x1)\ngithub.com/docker/docker/libcontainerd/supervisor.(*remote).startContainerd.func1(0x1)\n", says: "Nothing is blocked"},
		{name: "udev", text: "goroutine 90 [syscall, 2968 minutes, locked to thread]:\ngithub.com/docker/docker/pkg/devicemapper._Cfunc_dm_udev_wait(0xd4d6bdc, 0xc200000000)\ngithub.com/docker/docker/pkg/devicemapper.UdevWait(0xc2090d7a70)\ngithub.com/docker/docker/daemon/graphdriver/devmapper.(*DeviceSet).activateDeviceIfNeeded(0xc20806e180)\n", function: "github.com/docker/docker/daemon/graphdriver/devmapper.(*DeviceSet).activateDeviceIfNeeded", says: "udevcomplete"},
		{name: "runc start at its FIFO", text: "goroutine 1 [syscall, 9 minutes]:\nsyscall.Syscall6(0x101)\nsyscall.openat(0xffffffffffffff9c)\nsyscall.Open(0xc420062380)\nos.OpenFile(0xc420062380)\ngithub.com/opencontainers/runc/libcontainer.(*linuxContainer).exec(0xc42011a000)\nmain.main()\n", function: "github.com/opencontainers/runc/libcontainer.(*linuxContainer).exec", says: "exec.fifo"},
		{name: "runc waits for its init", text: "goroutine 1 [IO wait, 5 minutes]:\ninternal/poll.(*FD).Read(0x1)\nos.(*File).Read(0x1)\nencoding/json.(*Decoder).Decode(0x1)\ngithub.com/opencontainers/runc/libcontainer.parseSync(0x1)\ngithub.com/opencontainers/runc/libcontainer.(*initProcess).start(0x1)\n", function: "github.com/opencontainers/runc/libcontainer.parseSync", says: "that one is frozen, stopped or stuck"},
		{name: "runc waits for its init for a moment", text: "goroutine 1 [IO wait]:\ninternal/poll.(*FD).Read(0x1)\ngithub.com/opencontainers/runc/libcontainer.parseSync(0x1)\n", says: "Nothing is blocked"},
		{name: "runc start at its FIFO, for a moment by its dump", text: "goroutine 1 [syscall]:\nsyscall.openat(0xffffffffffffff9c)\nos.OpenFile(0xc420062380)\ngithub.com/opencontainers/runc/libcontainer.(*Container).exec(0xc42011a000)\nmain.main()\n", function: "github.com/opencontainers/runc/libcontainer.(*Container).exec", says: "exec.fifo"},
		{name: "a shim waits for its runc", text: "goroutine 9 [chan receive, 3 minutes]:\ngithub.com/containerd/containerd/sys/reaper.(*Monitor).Wait(0x1)\ngithub.com/containerd/go-runc.(*Runc).runOrError(0x1)\ngithub.com/containerd/go-runc.(*Runc).Start(0x1)\ngithub.com/containerd/containerd/pkg/process.(*Init).start(0x1)\ngithub.com/containerd/containerd/runtime/v2/runc/task.(*service).Start(0x1)\n", function: "github.com/containerd/containerd/pkg/process.(*Init).start", says: "The shim waits 3 minutes for runc start to end"},
		{name: "dockerd since 23", text: "goroutine 9 [select, 3 minutes]:\ngoogle.golang.org/grpc.invoke(0x1)\ngithub.com/containerd/containerd/api/services/tasks/v1.(*tasksClient).Delete(0x1)\ngithub.com/containerd/containerd.(*task).Delete(0x1)\ngithub.com/docker/docker/libcontainerd/remote.(*task).Delete(0x1)\ngithub.com/docker/docker/daemon.(*Daemon).handleContainerExit(0x1)\n", function: "github.com/docker/docker/daemon.(*Daemon).handleContainerExit", says: "dockerd waits 3 minutes for containerd to answer tasks.Delete"},
		{name: "kubelet asks the runtime", text: "goroutine 9 [select, 3 minutes]:\ngoogle.golang.org/grpc.invoke(0x1)\nk8s.io/cri-api/pkg/apis/runtime/v1.(*runtimeServiceClient).StopPodSandbox(0x1)\nk8s.io/kubernetes/pkg/kubelet/cri/remote.(*remoteRuntimeService).StopPodSandbox(0x1)\n", function: "k8s.io/kubernetes/pkg/kubelet/cri/remote.(*remoteRuntimeService).StopPodSandbox", says: "kubelet waits 3 minutes for the container runtime (CRI) to answer runtimeService.StopPodSandbox"},
		{name: "the old containerd", text: "goroutine 9 [select, 3 minutes]:\ngoogle.golang.org/grpc.Invoke(0x1)\ngithub.com/docker/containerd/api/grpc/types.(*aPIClient).UpdateProcess(0x1)\ngithub.com/docker/docker/libcontainerd.(*client).Resize(0x1)\ngithub.com/docker/docker/daemon.(*Daemon).ContainerResize(0x1)\n", function: "github.com/docker/docker/daemon.(*Daemon).ContainerResize", says: "containerd to answer aPI.UpdateProcess"},
		{name: "a WaitGroup of a server is idle", text: "goroutine 9 [semacquire, 900 minutes]:\nsync.runtime_Semacquire(0xc4215af98c)\nsync.(*WaitGroup).Wait(0xc4215af980)\nexample.com/x.Serve(0x1)\n", says: "Nothing is blocked"},
		{name: "Go ended it", text: "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n", says: "Go ended the program: fatal error: all goroutines are asleep - deadlock!."},
		{name: "headers alone, as grep leaves them", text: "goroutine 7 [select, 9 minutes]:\ngoroutine 8 [semacquire, 9 minutes]:\ngoroutine 9 [semacquire, 7 minutes]:\n", says: "waits 9 minutes for an event (semacquire), its stack is not in the text (2 goroutines)"},
		{name: "a program without frames", text: "goroutine 1 [chan send, 7 minutes]:\n", says: "its stack is not in the text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := read(t, tt.text)
			if r.BlockedFunction != tt.function || r.WaitersOnSameLock != tt.waiters {
				t.Errorf("blocked in %q, %d waiters; want %q, %d", r.BlockedFunction, r.WaitersOnSameLock, tt.function, tt.waiters)
			}
			if !strings.Contains(r.Conclusion, tt.says) {
				t.Errorf("the conclusion does not say %q: %s", tt.says, r.Conclusion)
			}
		})
	}
}

// A method is told by the lengths of its name and of its service's.
func TestByLength(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"0x3f, {0x55, 0x27}, {0x55, 0x17}, {0x55, 0xa}", "task.Checkpoint"},
		{"0x3f, {0x55, 0x27}, {0x55, 0x17}, {0x55, 0x9}", "task.ResizePty"},
		{"0xc423, 0x5605, 0xc420, 0x5605, 0x25, 0x5605, 0x8", "task.Shutdown"},
		{"0x3f, {0x55, 0x27}, {0x55, 0x17}, {0x55, 0x4}", "task.Exec|Kill|Pids|Wait"},
		{"0x3f, {0x55, 0x27}, {0x55, 0x18}, {0x55, 0x4}", ""},
		{"0x3f, {0x55, 0x27}, {0x55, 0x17?}, {0x55, 0x4}", ""},
		{"0x3f", ""},
	} {
		r := read(t, "goroutine 1 [select, 5 minutes]:\ngithub.com/containerd/ttrpc.(*Client).Call("+tt.args+")\n")
		if len(r.Calls) != 1 || r.Calls[0].Operation != tt.want {
			t.Errorf("%s: %+v, want %q", tt.args, r.Calls, tt.want)
		}
	}
}

// Each signature has a name of its own, says something and has a source.
func TestSignatures(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range known().Signatures {
		if seen[s.Name] || s.Name == "" || s.Says == "" || len(s.Frames) == 0 || slices.Contains(s.Frames, "") || !strings.HasPrefix(s.Source, "https://github.com/") {
			t.Errorf("%+v", s)
		}
		seen[s.Name] = true
	}
	for _, h := range known().Holders {
		if h.Lock == "" || h.By == "" {
			t.Errorf("%+v", h)
		}
	}
	if len(known().Signatures) < 15 || len(known().Holders) < 5 {
		t.Errorf("%d signatures, %d holders", len(known().Signatures), len(known().Holders))
	}
}

// Groups, locks, dumps and members are bounded; what is over is counted and told.
func TestBounds(t *testing.T) {
	f := New()
	text, err := godump.Read(&endless{left: 12 << 20, add: func(b []byte, n int) []byte {
		b = fmt.Appendf(b, "=== BEGIN goroutine stack dump ===\ngoroutine %d [semacquire]:\nsync.runtime_SemacquireMutex(0x0?)\nsync.(*Mutex).Lock(0xc%09x)\nexample.com/x.F%d(0x1)\n\n", n, n*64, n)
		return append(b, "=== END goroutine stack dump ===\n"...)
	}}, f.Add)
	if err != nil {
		t.Fatal(err)
	}
	r := f.Report(text, "")
	if len(r.Groups) > mostGroups || len(r.Locks) > 20 || len(f.locks) > mostLocks || len(r.Dumps) > mostDumps {
		t.Errorf("%d groups, %d of %d locks, %d dumps", len(r.Groups), len(r.Locks), len(f.locks), len(r.Dumps))
	}
	if f.over == 0 || !slices.ContainsFunc(r.Lost, func(s string) bool { return strings.Contains(s, "in no group") }) {
		t.Errorf("lost: %q", r.Lost)
	}
}

func FuzzReport(f *testing.F) {
	for _, name := range []string{"01-dockerd-journald-stop-waits.txt", "03-containerd-begin-marker-indented.txt", "09-containerd-ttrpc-go12x.txt", "measured-e-containerd.txt"} {
		f.Add(file(f, name))
	}
	f.Add(locked(1, 5, "0xc000000100", "x.y(0xc000000200)") + locked(2, 5, "0xc000000200", "x.z(0xc000000100)"))
	f.Fuzz(func(t *testing.T, in string) {
		r := read(t, in)
		total := 0
		for _, g := range r.Groups {
			total += g.Goroutines
			if g.Why == "" {
				t.Errorf("%+v has no reason", g)
			}
		}
		if r.Goroutines > total || r.WaitersOnSameLock > r.Goroutines || r.Conclusion == "" {
			t.Errorf("%d goroutines in groups of %d, %d waiters: %q", r.Goroutines, total, r.WaitersOnSameLock, r.Conclusion)
		}
	})
}
