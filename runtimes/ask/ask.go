// Package ask asks a runtime's socket by the client for its kind.
package ask

import (
	"context"
	"fmt"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/containerd"
	"sexton.dev/runtimes/cri"
	"sexton.dev/runtimes/docker"
	"sexton.dev/runtimes/podman"
)

// Ask returns what the runtime behind a socket says of itself and its
// containers. It ends with the context, which should have a deadline: a second
// is much for a healthy runtime.
//
// The Answer holds what was learned also beside an error. Errors wrap
// [runtimes.ErrSilent], [runtimes.ErrPartial] or [runtimes.ErrOtherAPI] where
// that is so, and the system call's error where a connect failed.
func Ask(ctx context.Context, s runtimes.Socket) (runtimes.Answer, error) {
	switch s.Kind {
	case runtimes.Docker:
		if s.Brief {
			return docker.Brief(ctx, s.Kind, s.Path)
		}
		return docker.List(ctx, s.Path)
	case runtimes.Podman:
		return podman.List(ctx, s.Path)
	case runtimes.Containerd:
		if s.Brief {
			return containerd.Brief(ctx, s.Path)
		}
		return containerd.List(ctx, s.Path)
	case runtimes.CRI:
		return cri.List(ctx, s.Path)
	}
	return runtimes.Answer{Kind: s.Kind, Socket: s.Path}, fmt.Errorf("ask %s: no client for kind %q", s.Path, s.Kind)
}
