package stacks

import (
	"slices"
	"strings"

	"sexton.dev/runtimes/godump"
)

// classify says what a new group waits for. Whether it waits long enough is known
// only when all of its goroutines are.
func (n *group) classify(g *godump.Goroutine) {
	if owner, ok := lockOwner(g); ok {
		n.Why, n.owner = Locked, owner
		return
	}
	if c, ok := callOf(g); ok {
		n.Why, n.call = Called, c
		return
	}
	n.age = 1 // what is below is normal for a moment
	leaf := systemCall(n.Functions)
	switch {
	case contains(g.State, "syscall", "runnable") && contains(leaf, "fsync", "fdatasync", "sync", "syncfs", "unmount", "udevwait"):
		n.Why = Kernel // Go up to 1.8 shows one that comes out of a call as runnable
	case anyHas(n.Functions, "os/exec.(*Cmd).Wait", "os.(*Process).Wait", "syscall.wait4", "syscall.Wait4") && !anyHas(n.Functions, supervised...):
		n.Why = Child
	case g.State == "chan send":
		n.Why = Send
	case anyHas(n.Functions, "poll.(*FD).Write") && g.State == "IO wait", g.State == "syscall" && contains(leaf, "write", "writev"):
		n.Why = Write
	case atOnce(matching(&n.Group)):
		n.Why, n.age = Signed, 0
	case g.State == "syscall" && contains(leaf, "openat", "open", "openat2", "stat", "lstat", "fstatat", "newfstatat", "statfs", "mount", "rename", "unlink", "unlinkat", "rmdir", "flock", "getdents", "readdirent"):
		n.Why = Signed
	case len(matching(&n.Group)) > 0, g.State == "semacquire" && len(n.Functions) == 0: // a mutex, or a WaitGroup
		n.Why = Signed
	default:
		n.Why = Idle
	}
}

// atOnce tells that one of the signatures is trouble from its first moment on.
func atOnce(all []*signature) bool {
	return slices.ContainsFunc(all, func(s *signature) bool { return s.Minutes == 0 })
}

// supervised children are those that live as long as their parent.
var supervised = []string{"supervisor.", "startContainerd", "runContainerdDaemon", "proxyCommand", "StartProxy", "startProxy"}

// blocked is what the group is, now that the age of its goroutines is known.
func (n *group) blocked() Why {
	if n.age > 0 && n.Minutes >= 0 && n.Minutes < n.age {
		return Idle
	}
	return n.Why
}

// systemCall gives the name of the call that a stack is in, in lower case.
func systemCall(functions []string) string {
	name := ""
	for _, f := range functions {
		if strings.Contains(f, "dm_udev_wait") || strings.HasSuffix(f, "devicemapper.UdevWait") {
			return "udevwait"
		}
		pkg, last := split(f)
		if pkg != "syscall" && pkg != "internal/runtime/syscall" && pkg != "runtime/internal/syscall" && !strings.HasSuffix(pkg, "sys/unix") {
			break
		}
		if last = strings.ToLower(last); !strings.HasPrefix(last, "syscall") && !strings.HasPrefix(last, "rawsyscall") && name == "" {
			name = last
		}
	}
	return name
}

// split cuts a function's name into the path of its package and the rest.
func split(f string) (pkg, name string) {
	slash := strings.LastIndexByte(f, '/')
	dot := strings.IndexByte(f[slash+1:], '.')
	if dot < 0 {
		return "", f
	}
	return f[:slash+1+dot], f[slash+dot+2:]
}

// short is a function's name without the path before its package.
func short(f string) string { return f[strings.LastIndexByte(f, '/')+1:] }

// plumbing is what carries a wait but does not say what it is about.
var plumbing = []string{
	"google.golang.org/grpc", "/ttrpc.", "golang.org/x/", "/go-grpc-", "otelgrpc", "opentelemetry", "namespaceInterceptor", "api/services/", "api/runtime/",
	"api/grpc/types.", "/shim/v1.(*shimClient)", "(*taskClient).", "runtime/v1alpha2.", "runtime/v1.(*", "containerd/containerd.(*", "containerd/v2/client.(*", "containerd/containerd.With",
	"libcontainerd/remote.(*", "libcontainerd.(*client)", "libcontainerd.(*remote)", "go-runc.", "/reaper.", "containerd/fifo.", "container.(*State).", "container.(*Container).Lock",
	"container.(*Container).GetExecIDs", "exec.(*Store).", "process.(*safePid)", "/pkg/pools.", "/pkg/ioutils.", "/devicemapper.",
	"libpod/lock/shm.", "libpod/lock.", "storage/pkg/lockfile.", "etcd/client/pkg/v3/fileutil.", "etcd/pkg/fileutil.",
}

// telling picks the function that says best what a stack is about: the innermost
// that is neither Go's own nor plumbing, else the outermost that is not Go's own.
func telling(functions []string) string {
	outermost := ""
	for _, f := range functions {
		pkg, _ := split(f)
		first, _, _ := strings.Cut(pkg, "/")
		if pkg != "main" && !strings.Contains(first, ".") {
			continue
		}
		outermost = f
		if !anyHas([]string{f}, plumbing...) {
			return f
		}
	}
	if outermost == "" && len(functions) > 0 {
		outermost = functions[len(functions)-1]
	}
	return outermost
}

func anyHas(functions []string, parts ...string) bool {
	for _, f := range functions {
		for _, p := range parts {
			if strings.Contains(f, p) {
				return true
			}
		}
	}
	return false
}

func contains(word string, words ...string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
