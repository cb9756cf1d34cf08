package heal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sexton.dev/linux/fusectl"
	"sexton.dev/linux/pidfd"
	"sexton.dev/plan"
	"sexton.dev/runtimes"
	"sexton.dev/runtimes/docker"
)

// restart restarts the very run of a container that a step names, by its runtime.
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
	kind, err := dockerLike(s)
	if err != nil {
		return err
	}
	was, err := docker.Inspect(ctx, kind, t.Socket, t.Container)
	if err != nil {
		return asked(err)
	}
	if was.PID != t.PID {
		return refusal{fmt.Errorf("%s says that the container's first process is pid %d, not %d: it is another run of it; plan again: sexton heal", kind, was.PID, t.PID)}
	}
	_, err = docker.Restart(ctx, kind, t.Socket, was)
	return asked(err)
}

// remove finishes the removal of a container that somebody asked for.
func remove(ctx context.Context, s plan.Step, _ func(any) error) error {
	kind, err := dockerLike(s)
	if err != nil {
		return err
	}
	return asked(docker.Remove(ctx, kind, s.Target.Socket, s.Target.Container))
}

// dockerLike is the runtime of a step, if it speaks docker's API and answers.
func dockerLike(s plan.Step) (runtimes.Kind, error) {
	kind := runtimes.Kind(s.Target.Runtime)
	switch {
	case kind != runtimes.Docker && kind != runtimes.Podman:
		return kind, refusal{fmt.Errorf("sexton does this by docker and podman only: do it by hand with %s's own tool", kind)}
	case s.Target.Socket == "":
		return kind, refusal{fmt.Errorf("%s did not answer: see why: sexton scan", kind)}
	}
	return kind, nil
}

// asked sorts the answers of a runtime.
func asked(err error) error {
	switch {
	case errors.Is(err, runtimes.ErrGone):
		return fmt.Errorf("%w: %w", errNotNeeded, err)
	case errors.Is(err, runtimes.ErrRefused):
		return refusal{err}
	}
	return err
}

// abort ends every request on a FUSE file system with an error.
func abort(ctx context.Context, s plan.Step, _ func(any) error) error {
	minor, err := strconv.Atoi(strings.TrimPrefix(s.Target.Device, "0:"))
	if err != nil {
		return refusal{fmt.Errorf("%q is no FUSE file system's number", s.Target.Device)}
	}
	c, err := fusectl.Open(ctx, minor)
	if err == nil {
		defer c.Close()
		err = c.Abort(ctx)
	}
	switch {
	case errors.Is(err, fusectl.ErrGone):
		return fmt.Errorf("%w: %w", errNotNeeded, err)
	case errors.Is(err, fusectl.ErrRefused):
		return refusal{err}
	}
	return err
}
