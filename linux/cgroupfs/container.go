package cgroupfs

import (
	"slices"
	"strings"
)

// A Place is what a cgroup path says of the container that a process is in.
type Place struct {
	ID      string   // of the innermost container, 64 hex digits; "" on the host
	Outer   []string // ids of the containers around it, outermost first: docker in docker, kind
	Runtime string   // docker, containerd, cri-o, podman; "" if the path does not say
	PodUID  string   // of the innermost pod that holds ID; with dashes, but for a static pod; "" outside of Kubernetes
}

// prefixes are what runtimes put before the id in a systemd scope, and cri-o
// and podman in a cgroupfs directory too.
var prefixes = map[string]string{
	"docker": "docker", "cri-containerd": "containerd", "nerdctl": "containerd",
	"crio": "cri-o", "libpod": "podman", "libpod-payload": "podman",
}

// parents are directories that tell the runtime of a bare id below them.
var parents = map[string]string{
	"docker": "docker", "default": "containerd", "k8s.io": "containerd", "moby": "docker",
}

// podmanParent is where podman's cgroupfs driver puts libpod-ID; a bare id in
// it is a podman pod, with the monitors of its containers below.
const podmanParent = "libpod_parent"

// deepest bounds the containers in one path: the kernel's are under 4096 bytes.
const deepest = 64

// PlaceOf reads a cgroup path in the spellings of the cgroupfs and systemd
// drivers, nested ones included:
//
//	/docker/ID                              docker, cgroupfs
//	/system.slice/docker-ID.scope           docker, systemd
//	/kubepods/burstable/podUID/ID           any CRI, cgroupfs
//	/kubepods.slice/kubepods-podU_I_D.slice/cri-containerd-ID.scope
//	/.../crio-ID.scope, libpod-ID.scope/container, system.slice:docker:ID
//
// A monitor's own cgroup (crio-conmon-ID, libpod-conmon-ID) is not in the
// container. A container may nest cgroups of any name below its own, and with
// them forge an inner container, never an outer one and never another pod for
// itself. An id that comes again below itself counts once, so that following
// outer containers ends.
//
// Source: opencontainers/runc libcontainer/cgroups/systemd (unit names),
// kubernetes pkg/kubelet/cm/cgroup_manager_linux.go (pod names), podman
// libpod/container_internal_linux.go and runtime_pod_linux.go.
func PlaceOf(path string) Place {
	var p Place
	pod, parent := "", ""
	for name := range strings.SplitSeq(path, "/") {
		if uid := podUID(name); uid != "" {
			pod = uid
		}
		id, runtime, ok := containerOf(name, parent)
		parent = name
		if !ok || id == p.ID || slices.Contains(p.Outer, id) {
			continue
		}
		if len(p.Outer) == deepest {
			break
		}
		if p.ID != "" {
			p.Outer = append(p.Outer, p.ID)
		}
		p.ID, p.Runtime, p.PodUID = id, runtime, pod
	}
	if p.ID == "" {
		p.PodUID = pod
	}
	return p
}

// containerOf reads one directory's name: ID, prefix-ID, prefix-ID.scope, or
// slice:prefix:ID, which is a systemd path that was given to a cgroupfs driver.
func containerOf(name, parent string) (id, runtime string, ok bool) {
	name = strings.TrimSuffix(name, ".scope")
	i := strings.LastIndexAny(name, "-:")
	id = name[i+1:]
	if !IsID(id) {
		return "", "", false
	}
	if i < 0 {
		return id, parents[parent], parent != podmanParent
	}
	prefix := name[:i]
	prefix = prefix[strings.LastIndexByte(prefix, ':')+1:]
	return id, prefixes[prefix], !strings.HasSuffix(prefix, "conmon")
}

// IsID reports whether a text is a full id, as docker, containerd's CRI, CRI-O and podman
// name containers, and docker its layers.
func IsID(s string) bool {
	if len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// podUID returns the UID in the name of a pod's cgroup: "podUID",
// "kubepods-besteffort-podU_I_D.slice", or the latter before ":prefix:ID". A
// static pod's has no dashes.
func podUID(name string) string {
	name, _, _ = strings.Cut(name, ".slice")
	i := strings.LastIndex(name, "pod")
	if i < 0 || i > 0 && name[i-1] != '-' {
		return ""
	}
	uid := strings.ReplaceAll(name[i+len("pod"):], "_", "-")
	digits := strings.ReplaceAll(uid, "-", "")
	if len(digits) != 32 || strings.Trim(digits, "0123456789abcdef") != "" {
		return ""
	}
	dashed := len(uid) == 36 && uid[8] == '-' && uid[13] == '-' && uid[18] == '-' && uid[23] == '-'
	if len(uid) != 32 && !dashed {
		return ""
	}
	return uid
}
