// Package dockerd reads what a docker daemon was told: its file of settings and its
// command line. It keeps what matters for mounts and storage alone; the rest, and
// the secrets in it, stays behind.
package dockerd

// Where a daemon has its file of settings and its data unless it was told otherwise.
const (
	DefaultFile     = "/etc/docker/daemon.json"
	DefaultDataRoot = "/var/lib/docker"
	DefaultExecRoot = "/var/run/docker"
)
