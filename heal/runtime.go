package heal

import (
	"context"
	"errors"
	"fmt"

	"sexton.dev/check"
	"sexton.dev/linux/pidfd"
	"sexton.dev/linux/systemd"
	"sexton.dev/plan"
	"sexton.dev/runtimes"
	"sexton.dev/runtimes/cri"
	"sexton.dev/runtimes/docker"
)

// restart restarts the very run of a container or unit that a step names: the one
// whose first process it names.
func restart(ctx context.Context, s plan.Step, _ func(any) error) error {
	t := s.Target
	first, err := pidfd.Open(t.PID, t.Start)
	if errors.Is(err, pidfd.ErrGone) {
		return fmt.Errorf("%w: %w", errNotNeeded, err)
	}
	if err != nil {
		return refusal{err}
	}
	defer first.Close()
	switch {
	case t.Kind == "unit":
		return restartUnit(ctx, t)
	case t.Socket == "":
		return silent(t)
	}
	switch kind := runtimes.Kind(t.Runtime); kind {
	case runtimes.Docker, runtimes.Podman:
		was, err := docker.Inspect(ctx, kind, t.Socket, t.Container)
		if err != nil {
			return asked(err)
		}
		if was.PID != t.PID {
			return refusal{fmt.Errorf("%s says that the container's first process is pid %d, not %d: it is another run of it; plan again: sexton heal", kind, was.PID, t.PID)}
		}
		_, err = docker.Restart(ctx, kind, t.Socket, was)
		return asked(err)
	case runtimes.CRI: // the kubelet starts another one in its place
		was, err := cri.Inspect(ctx, t.Socket, t.Container)
		if err != nil {
			return asked(err)
		}
		return asked(cri.Stop(ctx, t.Socket, was))
	}
	return notBy(t)
}

func restartUnit(ctx context.Context, t check.Target) error {
	was, err := systemd.RunOf(ctx, "/", t.Unit)
	switch {
	case errors.Is(err, systemd.ErrRefused):
		return refusal{err}
	case err != nil:
		return err
	case was.MainPID != t.PID:
		return refusal{fmt.Errorf("the main process of %s is pid %d, not %d, which holds: whether its restart helps cannot be told; restart it by hand", t.Unit, was.MainPID, t.PID)}
	}
	_, err = systemd.Restart(ctx, "/", t.Unit, was)
	if errors.Is(err, systemd.ErrRefused) {
		return refusal{err}
	}
	return err
}

// remove finishes the removal of a container that somebody asked for.
func remove(ctx context.Context, s plan.Step, _ func(any) error) error {
	t := s.Target
	if t.Socket == "" {
		return silent(t)
	}
	switch kind := runtimes.Kind(t.Runtime); kind {
	case runtimes.Docker, runtimes.Podman:
		return asked(docker.Remove(ctx, kind, t.Socket, t.Container))
	case runtimes.CRI:
		return asked(cri.Remove(ctx, t.Socket, t.Container))
	}
	return notBy(t)
}

func silent(t check.Target) error {
	return refusal{fmt.Errorf("%s did not answer: see why: sexton scan", t.Runtime)}
}

func notBy(t check.Target) error {
	return refusal{fmt.Errorf("sexton does not do this by %s: do it by hand with its own tool", t.Runtime)}
}

// asked sorts the answers of a runtime.
func asked(err error) error {
	return sorted(err, []error{runtimes.ErrGone}, []error{runtimes.ErrRefused})
}
