// Package podman asks podman's service, which speaks the docker API.
package podman

import (
	"context"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/docker"
)

// List is [docker.List] for podman's socket. Podman has no daemon: connecting
// to a socket that systemd listens on starts the service for as long as it is
// asked.
//
// Source: podman-system-service(1).
func List(ctx context.Context, socket string) (runtimes.Answer, error) {
	return docker.ListAs(ctx, runtimes.Podman, socket)
}
