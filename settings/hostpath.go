package settings

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
)

const hostPathName = "hostpath-no-propagation"

// Of binds without propagation: what they do and what they cost.
const (
	Unreceived = "The bind is private, as Docker and Kubernetes make it unless told otherwise: it took along what was mounted below it, and no unmount of the host reaches those copies"
	Keeps      = "What the host unmounts below it from now on stays mounted there until the container ends: devices stay busy, disk space stays in use"
)

// busy are the directories below which runtimes mount and unmount.
var busy = []string{"/run/containerd", "/run/docker", "/run/netns", "/var/lib/containerd", "/var/lib/containers/storage", "/var/lib/docker", "/var/lib/kubelet"}

// crowded are the names of directories in them that hold many mounts, and not
// just that of one container or pod.
var crowded = []string{"aufs", "btrfs", "containers", "devicemapper", "mnt", "overlay", "overlay2", "plugins", "pods", "zfs"}

// ComeAndGo reports whether runtimes mount and unmount below a directory of the
// host. more are directories in which this host's do, besides those that all have.
func ComeAndGo(dir string, more []string) bool {
	return slices.ContainsFunc(slices.Concat(busy, more), func(b string) bool {
		return holding.Within(b, dir) || path.Dir(dir) == b && slices.Contains(crowded, path.Base(dir))
	})
}

// Propagate says how a format writes that a bind, with these options besides, receives
// what the host does.
func Propagate(f Format, host, at string, options ...string) string {
	short := host + ":" + at + ":" + strings.Join(append(slices.Clone(options), "rslave"), ",")
	switch f {
	case Kubernetes:
		return "mountPropagation: HostToContainer beside the volumeMount's mountPath: " + at
	case Compose:
		return "the option rslave: " + short + ", or bind: {propagation: rslave} in the long form"
	}
	return "run -v " + short
}

// receiving are the propagations by which a bind learns of the host's unmounts.
var receiving = []string{"HostToContainer", "Bidirectional", "rslave", "slave", "rshared", "shared"}

func hostPaths(s *Set) []check.Finding {
	var roots []string // of docker's data
	for _, d := range s.daemons() {
		if d.DataRoot != nil {
			roots = append(roots, hostDir(d.DataRoot.Value))
		}
	}
	return each(func(w *Workload, c *Container) []check.Finding { return hostPath(roots, w, c) })(s)
}

func hostPath(roots []string, w *Workload, c *Container) (found []check.Finding) {
	for _, b := range c.Binds {
		dir := hostDir(b.Host)
		if b.Shallow || slices.Contains(receiving, b.Propagation) || !path.IsAbs(dir) || !ComeAndGo(dir, roots) {
			continue
		}
		f := finding(w, c, b.Place, b.At)
		f.Severity, f.Subject.Path = check.Warning, b.At
		f.Title = fmt.Sprintf("%s takes the host's %s in at %s and receives no unmount", w.label(c), b.Host, b.At)
		f.Cause, f.Harm = Unreceived, Keeps
		said := "no propagation"
		if b.Propagation != "" {
			said = "propagation " + b.Propagation
		}
		f.Evidence = []check.Evidence{seen(b.Place, fmt.Sprintf("%s at %s, %s", b.Host, b.At, said))}
		f.Advice = []string{Propagate(w.Format, b.Host, b.At, b.Options...)}
		if w.Format == Compose && b.Propagation == "" && ofDocker(dir, roots) {
			f.Severity = check.Info
			f.Title = fmt.Sprintf("%s takes the host's %s in at %s and leaves it to docker whether it receives unmounts", w.label(c), b.Host, b.At)
			f.Cause = "Docker since 18.03 makes a bind that has its data root below it rslave, where the host's mount is shared; older ones, podman and others make it private"
		}
		if c.Brief {
			f.Severity = check.Info
			f.Harm = "As long as this init container runs, what the host unmounts stays mounted in it"
		}
		found = append(found, f)
	}
	return found
}

// ofDocker reports whether docker itself makes a bind of a directory rslave: one with
// its data root below it, or in it.
//
// Source: moby v28 daemon/volumes_linux.go, validateBindDaemonRoot.
func ofDocker(dir string, roots []string) bool {
	if len(roots) == 0 {
		roots = []string{"/var/lib/docker"}
	}
	return slices.ContainsFunc(roots, func(root string) bool { return holding.Within(root, dir) || holding.Within(dir, root) })
}

// hostDir is a directory as the host has it: /var/run is a link to /run.
func hostDir(dir string) string {
	dir = path.Clean(dir)
	if dir == "/var/run" || strings.HasPrefix(dir, "/var/run/") {
		return strings.TrimPrefix(dir, "/var")
	}
	return dir
}
