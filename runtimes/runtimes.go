// Package runtimes holds what sexton learns from a container runtime's API, in
// one vocabulary for all of them, and finds the sockets to ask.
//
// The types are the allow-list: what has no field here is never kept, so an
// environment variable, a credential or a label's value that an API returns
// cannot reach a recording or a report.
package runtimes

import "time"

// A Kind names the API that a socket speaks.
type Kind string

// The APIs that sexton asks. Podman is asked by its own socket, which speaks
// the docker API.
const (
	Docker     Kind = "docker"
	Containerd Kind = "containerd"
	CRI        Kind = "cri"
	Podman     Kind = "podman"
	Shim       Kind = "shim" // of one container or pod, below containerd
)

// A Socket is a unix socket that may belong to a runtime.
type Socket struct {
	Kind Kind   `json:"kind"`
	Path string `json:"path"` // as sexton opens it, below --root
	From string `json:"from"` // how it was found: "default", "DOCKER_HOST", "context NAME"
	// Brief says to ask nothing for which the runtime asks another that may be
	// stopped: docker's version is containerd's word too, and the question stays.
	// Of containerd it asks for the version alone.
	Brief bool `json:"brief,omitempty"`
}

// An Answer is what one runtime said about itself and its containers.
type Answer struct {
	Kind       Kind        `json:"kind"`
	Socket     string      `json:"socket"`
	Version    string      `json:"version,omitempty"`    // of the daemon, as it prints it
	APIVersion string      `json:"apiVersion,omitempty"` // docker and podman: the negotiated one; CRI: v1 or v1alpha2
	Containers []Container `json:"containers,omitempty"`
	// Components are the versions that docker tells of "containerd" and "runc"; since 18.04.
	Components map[string]string `json:"components,omitempty"`
	Said       []Said            `json:"said,omitempty"` // to each question, in order
}

// A Said is how one question to a runtime went, from connect to answer.
type Said struct {
	Question string        `json:"question"`         // ping, version, list containers, ...
	Took     time.Duration `json:"took"`             // until the next question, or until it was given up
	Failed   bool          `json:"failed,omitempty"` // it hung up, or its answer was none
	Silent   bool          `json:"silent,omitempty"` // no answer in time
	Full     bool          `json:"full,omitempty"`   // of a silent one: its queue of connections was full
}

// A Container is one container as its runtime describes it. Every string is
// the runtime's or the container's own and may hold any bytes.
type Container struct {
	ID         string `json:"id"`
	Namespace  string `json:"namespace,omitempty"` // containerd's: moby, k8s.io, default
	Name       string `json:"name,omitempty"`      // without docker's leading slash; in a pod: the container's name there
	Image      string `json:"image,omitempty"`
	State      string `json:"state,omitempty"`  // lower case: created, running, paused, exited, dead, removing, unknown; containerd: "" if it has no task
	Status     string `json:"status,omitempty"` // docker's sentence: "Up 3 days (healthy)"
	PID        int    `json:"pid,omitempty"`    // of its init, in the runtime's PID namespace; 0 if unknown
	Health     bool   `json:"health,omitempty"` // a health check is configured
	Pod        string `json:"pod,omitempty"`
	PodNS      string `json:"podNamespace,omitempty"`
	PodUID     string `json:"podUID,omitempty"`
	Sandbox    bool   `json:"sandbox,omitempty"`    // a pod's pause container
	Bundle     string `json:"bundle,omitempty"`     // OCI bundle directory
	RootFS     string `json:"rootfs,omitempty"`     // where the root file system is mounted
	CgroupPath string `json:"cgroupPath,omitempty"` // as the runtime spells it
}
