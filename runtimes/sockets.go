package runtimes

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// usual are the sockets that runtimes listen on unless told otherwise, docker's
// first. Each * is a directory's numeric names: /run/user has one a user.
//
// Source: dockerd(8); containerd v1.6 defaults/defaults_unix.go; the k3s, k0s and
// microk8s manuals; cri-dockerd and CRI-O, crio.conf(5); podman-system-service(1);
// kubelet 1.23 cmd/kubelet/app/options for dockershim.
var usual = []Socket{
	{Kind: Docker, Path: "/run/docker.sock"},
	{Kind: Docker, Path: "/var/run/docker.sock"},
	{Kind: Docker, Path: "/run/user/*/docker.sock"},
	{Kind: Containerd, Path: "/run/containerd/containerd.sock"},
	{Kind: CRI, Path: "/run/containerd/containerd.sock"},
	{Kind: Containerd, Path: "/run/k3s/containerd/containerd.sock"},
	{Kind: CRI, Path: "/run/k3s/containerd/containerd.sock"},
	{Kind: Containerd, Path: "/run/k0s/containerd.sock"},
	{Kind: CRI, Path: "/run/k0s/containerd.sock"},
	{Kind: Containerd, Path: "/var/snap/microk8s/common/run/containerd.sock"},
	{Kind: CRI, Path: "/var/snap/microk8s/common/run/containerd.sock"},
	{Kind: Containerd, Path: "/run/docker/containerd/containerd.sock"},
	{Kind: CRI, Path: "/run/crio/crio.sock"},
	{Kind: CRI, Path: "/run/cri-dockerd.sock"},
	{Kind: CRI, Path: "/run/dockershim.sock"},
	{Kind: CRI, Path: "/var/run/dockershim.sock"},
	{Kind: Podman, Path: "/run/podman/podman.sock"},
	{Kind: Podman, Path: "/run/user/*/podman/podman.sock"},
}

// Sockets returns the sockets below root that may be a runtime's and exist,
// each once for each API that it may speak: first those that the environment
// and docker's contexts name, then the usual ones. The environment is that of
// the host's own user, so it counts only if root is "/". Addresses of other
// machines (tcp, ssh) are ignored.
//
// Paths are resolved inside root and have no symbolic links. Nothing is opened
// but docker's settings, nothing is connected to, and no path is followed onto
// another machine's file system, FUSE or an automount. What cannot be read or
// parsed on the way is taken as absent: it only tells where to look.
//
// Source: docker(1) for DOCKER_HOST, DOCKER_CONTEXT and DOCKER_CONFIG; podman(1)
// for CONTAINER_HOST; ctr for CONTAINERD_ADDRESS; crictl for
// CONTAINER_RUNTIME_ENDPOINT.
func Sockets(root string, getenv func(string) string) []Socket {
	table, err := readMounts()
	l := newLookup(root, table)
	var wanted []Socket
	if l.root == "/" && err == nil { // without the mount table only /run and /var are known to be local
		wanted = append(wanted, named(getenv, "DOCKER_HOST", Docker)...)
		wanted = append(wanted, contexts(l, getenv)...)
		wanted = append(wanted, named(getenv, "CONTAINER_HOST", Podman)...)
		wanted = append(wanted, named(getenv, "CONTAINERD_ADDRESS", Containerd, CRI)...)
		wanted = append(wanted, named(getenv, "CONTAINER_RUNTIME_ENDPOINT", CRI)...)
		wanted = append(wanted, login(getenv)...)
	}
	for _, s := range usual {
		s.From = "default"
		for _, p := range l.users(s.Path) {
			s.Path = p
			wanted = append(wanted, s)
		}
	}
	return existing(l, wanted)
}

// named returns the socket that an environment variable names, for each kind.
func named(getenv func(string) string, variable string, kinds ...Kind) []Socket {
	p, ok := localPath(getenv(variable))
	if !ok {
		return nil
	}
	var found []Socket
	for _, k := range kinds {
		found = append(found, Socket{Kind: k, Path: p, From: variable})
	}
	return found
}

// login returns the sockets of rootless runtimes of this login, wherever its
// runtime directory is.
func login(getenv func(string) string) []Socket {
	dir := getenv("XDG_RUNTIME_DIR")
	if !path.IsAbs(dir) {
		return nil
	}
	return []Socket{
		{Kind: Docker, Path: path.Join(dir, "docker.sock"), From: "XDG_RUNTIME_DIR"},
		{Kind: Podman, Path: path.Join(dir, "podman/podman.sock"), From: "XDG_RUNTIME_DIR"},
	}
}

// localPath returns the path of an address on this machine: unix:///run/x.sock,
// or the bare path that ctr and older crictl take.
func localPath(address string) (string, bool) {
	p := strings.TrimPrefix(address, "unix://")
	ok := path.IsAbs(p) && len(p) < unix.PathMax && !strings.ContainsRune(p, 0)
	return path.Clean(p), ok
}

// existing keeps the first of each socket and API. Two paths are one socket if
// device and inode say so: /var/run is mostly a link to /run, but may be a bind mount.
func existing(l *lookup, wanted []Socket) []Socket {
	type identity struct {
		dev, ino uint64
		api      Kind
	}
	seen := make(map[identity]bool)
	var found []Socket
	for _, s := range wanted {
		at, e, err := l.find(s.Path)
		if err != nil || e.mode&unix.S_IFMT != unix.S_IFSOCK {
			continue
		}
		s.Path = at
		if s.Kind == Docker && path.Base(at) == "podman.sock" { // podman-docker links docker.sock to it
			s.Kind = Podman
		}
		id := identity{e.dev, e.ino, s.Kind}
		if id.api == Podman {
			id.api = Docker
		}
		if !seen[id] {
			seen[id] = true
			found = append(found, s)
		}
	}
	return found
}
