package containerd

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// specType is the end of the type name of an OCI spec in containerd's records.
//
// Source: containerd v1.6 oci/spec.go and typeurl, which put types.containerd.io/ before it.
const specType = "opencontainers/runtime-spec/1/Spec"

// A spec is the part of an OCI runtime spec that is kept: two paths, and never
// the process with its environment.
type spec struct {
	Linux struct {
		CgroupsPath string `json:"cgroupsPath"`
	} `json:"linux"`
	Root struct {
		Path string `json:"path"`
	} `json:"root"`
}

// parseSpec reads an OCI spec as containerd keeps it, JSON in an Any. A record
// without one, or with another type's, gives an empty spec and no error.
//
// Source: OCI runtime-spec 1.2 config.md and config-linux.md.
func parseSpec(kind string, text []byte) (spec, error) {
	var s spec
	if !strings.HasSuffix(kind, specType) {
		return s, nil
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return spec{}, fmt.Errorf("not an OCI spec: %w", err)
	}
	return s, nil
}

// layouts says where a containerd keeps its state, by where its socket is. Below
// another root the end of the path still tells.
//
// Source: containerd v1.6 defaults/defaults_unix.go; k3s v1.30
// pkg/agent/config/config_linux.go; k0s docs/runtime.md; moby v20.10
// libcontainerd/supervisor/remote_daemon.go; microk8s' directories on a host.
var layouts = []struct{ socket, state string }{
	{"/run/k3s/containerd/containerd.sock", "/run/k3s/containerd"},
	{"/run/docker/containerd/containerd.sock", "/run/docker/containerd/daemon"},
	{"/run/containerd/containerd.sock", "/run/containerd"},
	{"/run/k0s/containerd.sock", "/run/k0s/containerd"},
	{"/var/snap/microk8s/common/run/containerd.sock", "/var/snap/microk8s/common/run/containerd"},
}

// bundle is the OCI bundle directory of a container on its host, or "" where
// the layout is not known.
//
// Source: containerd v1.6 runtime/v2/bundle.go, NewBundle, below the plugin's
// state directory; runtime/v1/linux/runtime.go for the older shim.
func bundle(socket, runtime, namespace, id string) string {
	if !oneName(namespace) || !oneName(id) {
		return ""
	}
	plugin := "io.containerd.runtime.v2.task"
	if runtime == "io.containerd.runtime.v1.linux" {
		plugin = runtime
	}
	for _, l := range layouts {
		if strings.HasSuffix(socket, l.socket) {
			return path.Join(l.state, plugin, namespace, id)
		}
	}
	return ""
}

func oneName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.Contains(s, "/")
}

// rootFS is where the container's root file system is mounted: the spec's path is
// relative to the bundle, or absolute as docker writes it.
func rootFS(bundle, root string) string {
	switch {
	case path.IsAbs(root):
		return root
	case root == "" || bundle == "":
		return ""
	}
	return path.Join(bundle, root)
}
