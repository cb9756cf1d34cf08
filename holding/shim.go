package holding

import (
	"strings"

	"sexton.dev/snapshot"
)

// IsShim reports whether a process stands between a daemon and a container.
//
// Source: containerd v1 and v2 cmd/containerd-shim*; moby 1.13's docker-containerd-shim.
func IsShim(p *snapshot.Process) bool {
	return p.Container == "" && (strings.HasPrefix(p.Comm, "containerd-shim") || strings.HasPrefix(p.Comm, "docker-containe") && strings.Contains(strings.Join(p.Argv, " "), "-shim"))
}

// ShimOf is the container that a shim serves, by its command line: after -id, or
// the last part of its work directory. "" if it does not tell.
func ShimOf(p *snapshot.Process) string {
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
