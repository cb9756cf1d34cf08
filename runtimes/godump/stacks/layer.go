package stacks

import (
	"strings"

	"sexton.dev/runtimes/godump"
)

// A dump is one while goroutines are added, with what speaks for each layer.
type dump struct {
	Dump
	votes  map[string]int
	before int // goroutines that are blocked in the dump before it of the same process
}

// layers are told by the packages in a stack and by the paths of their sources.
// Packages are vendored by others, so what a program alone has weighs most.
var layers = []struct {
	layer  string
	weight int
	marks  []string
}{
	{"shim", 10, []string{"cmd/containerd-shim", "runtime/v2/shim.", "containerd/pkg/shim.", "containerd/v2/pkg/shim.", "linux/shim.(*Service)", "linux/shim.NewService", "runtime/v1/shim.(*Service)", "runtime/v2/runc/task.", "docker/containerd/containerd-shim"}},
	{"containerd", 10, []string{"cmd/containerd/", "containerd/services/", "containerd/v2/plugins/services/", "docker/containerd/supervisor", "docker/containerd/containerd/", "docker/containerd/api/grpc/server", "containerd/linux.(*Task)", "containerd/runtime/v2.(*", "containerd/v2/core/", "containerd/pkg/cri/", "containerd/v2/internal/cri/", "containerd/cri/pkg/", "containerd/metadata."}},
	{"dockerd", 10, []string{"docker/docker/daemon", "moby/moby/daemon", "moby/moby/v2/daemon", "docker/docker/api/server", "docker/docker/libcontainerd", "docker/docker/container.", "docker/docker/container/", "docker/docker/cmd/dockerd", "docker/docker/pkg/signal.DumpStacks", "app-emulation/docker-1.", "docker/docker/builder", "docker/docker/vendor/"}},
	{"kubelet", 10, []string{"k8s.io/kubernetes/pkg/kubelet", "k8s.io/kubernetes/cmd/kubelet", "k8s.io/kubernetes/vendor/github.com/google/cadvisor", "k8s.io/kubernetes/Godeps/_workspace/src/github.com/google/cadvisor"}},
	{"crio", 10, []string{"github.com/cri-o/cri-o/"}},
	{"podman", 10, []string{"github.com/containers/podman/", "github.com/containers/libpod/"}},
	{"cri-dockerd", 10, []string{"Mirantis/cri-dockerd/"}},
	{"etcd", 10, []string{"etcd/server/v3/", "etcd/v3/etcdserver", "coreos/etcd/etcdserver", "etcd/etcdserver/", "etcdmain."}},
	{"buildkitd", 9, []string{"buildkit/cmd/buildkitd"}},
	{"buildkitd", 2, []string{"github.com/moby/buildkit/"}},
	{"kubelet", 2, []string{"google/cadvisor"}},
	{"kubelet", 1, []string{"k8s.io/kubernetes/vendor/"}},
	{"containerd", 2, []string{"/shim/v1.(*shimClient)", "ttrpc.(*Client)."}},
	{"runc", 1, []string{"opencontainers/runc/", "docker/libcontainer."}},
}

// programs are the names in a log's prefix that say the layer too.
var programs = map[string]string{
	"dockerd": "dockerd", "docker": "dockerd", "docker-daemon": "dockerd", "containerd": "containerd", "docker-containerd": "containerd",
	"kubelet": "kubelet", "hyperkube": "kubelet", "runc": "runc", "crio": "crio", "podman": "podman",
}

// vote says what one stack tells of the layer that it is from.
func (d *dump) vote(g *godump.Goroutine) {
	for _, l := range layers {
		if hasMark(g, l.marks) {
			d.votes[l.layer] += l.weight
		}
	}
	if layer := programs[g.Program]; layer != "" {
		d.votes[layer]++
	}
}

func hasMark(g *godump.Goroutine, marks []string) bool {
	for _, mark := range marks {
		if strings.Contains(g.Creator, mark) {
			return true
		}
		for i := range g.Frames {
			if strings.Contains(g.Frames[i].Func, mark) || strings.Contains(g.Frames[i].File, mark) {
				return true
			}
		}
	}
	return false
}

// layer is the one that most speaks for, the first of the table among equals.
func (d *dump) layer() string {
	best := ""
	for _, l := range layers {
		if d.votes[l.layer] > d.votes[best] {
			best = l.layer
		}
	}
	return best
}

// depth orders the layers by who calls whom.
func depth(layer string) int {
	return map[string]int{"kubelet": 1, "dockerd": 2, "podman": 2, "crio": 3, "containerd": 3, "shim": 4, "runc": 5}[layer]
}
