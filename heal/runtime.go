package heal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/linux/cgroupfs"
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
	case endsSexton(t):
		return refusal{fmt.Errorf("sexton runs in it, and would end with it: run it from elsewhere, or restart %s by hand", cmp.Or(t.Unit, t.Container))}
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
		return asked(restartContainer(ctx, kind, t, was))
	case runtimes.CRI: // the kubelet starts another one in its place
		was, err := cri.Inspect(ctx, t.Socket, t.Container)
		if err != nil {
			return asked(err)
		}
		return asked(cri.Stop(ctx, t.Socket, was))
	}
	return notBy(t)
}

// endsSexton reports whether this process would end with a target: it is in its control
// group, or comes from its first process.
func endsSexton(t check.Target) bool {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err == nil {
		all, _ := cgroupfs.ParseMembership(text)
		if m, ok := cgroupfs.Of(all, "name=systemd"); ok && belongs(m.Path, t) {
			return true
		}
	}
	const deepest = 100
	pid := os.Getpid()
	for n := 0; pid > 0 && pid != t.PID && n < deepest; n++ {
		st, err := readStat(pid)
		if err != nil {
			return false
		}
		pid = st.PPID
	}
	return pid == t.PID
}

// belongs reports whether a control group is of a unit or container.
func belongs(group string, t check.Target) bool {
	if t.Kind == "unit" {
		return strings.Contains(group+"/", "/"+t.Unit+"/")
	}
	at := cgroupfs.PlaceOf(group)
	return at.ID == t.Container || slices.Contains(at.Outer, t.Container)
}

// restartContainer restarts a container. If the daemon stops it and does not start it
// again in time, it is started: half a restart is worse than none.
func restartContainer(ctx context.Context, kind runtimes.Kind, t check.Target, was runtimes.Run) error {
	soon, cancel := context.WithTimeout(ctx, later)
	defer cancel()
	_, err := docker.Restart(soon, kind, t.Socket, was)
	if err == nil || errors.Is(err, runtimes.ErrRefused) || errors.Is(err, runtimes.ErrGone) {
		return err
	}
	if left := docker.Finish(ctx, kind, t.Socket, was); left != nil {
		return fmt.Errorf("%w; and it could not be started: %v", err, left) // whose kind does not count: something was begun
	}
	return nil
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
