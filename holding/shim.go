package holding

import (
	"strconv"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// IsShim reports whether a process stands between a daemon and a container.
//
// Source: containerd v1 and v2 cmd/containerd-shim*; moby 1.13's docker-containerd-shim.
func IsShim(p *snapshot.Process) bool {
	return p.Container == "" && (strings.HasPrefix(p.Comm, "containerd-shim") || strings.HasPrefix(p.Comm, "docker-containe") && strings.Contains(strings.Join(p.Argv, " "), "-shim"))
}

// Shim is what a shim serves, by the name that people know, and the holder that it is.
func Shim(h *snapshot.Host, p *snapshot.Process) (container string, holder check.Holder) {
	container = "pid " + strconv.Itoa(p.PID)
	if id := shimOf(p); id != "" {
		container = check.ContainerName(h, id)
	}
	holder = check.HolderOf(h, p)
	if ns := h.MountNamespaceOf(p.PID); ns != nil {
		holder.MountNamespace, holder.MountNamespaceID = ns.Inode, ns.ID
	}
	return container, holder
}

// OfDocker reports whether a shim serves a container of docker, as far as its command
// line tells: not if it names another namespace of containerd.
//
// Source: moby v28 daemon/config, DefaultContainersNamespace; containerd's -namespace.
func OfDocker(shim *snapshot.Process) bool {
	for i, arg := range shim.Argv {
		if (arg == "-namespace" || arg == "--namespace") && i+1 < len(shim.Argv) {
			return shim.Argv[i+1] == "moby"
		}
	}
	return true
}

// shimOf is the container that a shim serves, by its command line: after -id, or
// the last part of its work directory. "" if it does not tell.
func shimOf(p *snapshot.Process) string {
	for i, arg := range p.Argv {
		if (arg == "-id" || arg == "--id") && i+1 < len(p.Argv) {
			return p.Argv[i+1]
		}
		if (arg == "-workdir" || arg == "--workdir") && i+1 < len(p.Argv) {
			return p.Argv[i+1][strings.LastIndexByte(p.Argv[i+1], '/')+1:]
		}
	}
	return ""
}
