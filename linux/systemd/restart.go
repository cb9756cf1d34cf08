package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sd "github.com/coreos/go-systemd/v22/dbus"
)

var (
	// ErrRefused is the error of a restart that was not asked for, as the service is
	// not loaded, does not run, or is in another run than the caller saw.
	ErrRefused = errors.New("not restarted")
	// ErrFailed is the error of a restart that systemd did not bring about.
	ErrFailed = errors.New("the restart failed")
)

// A Run is one run of a service. Each start has another invocation id.
type Run struct {
	MainPID    int    // in systemd's PID namespace; 0: none
	Invocation string // 32 hex digits; "" before systemd 232
}

// RunOf tells the run that a service is in, as a restart wants it named. The
// service must be loaded and active: errors wrap [ErrRefused] else. It needs what
// [Restart] does.
func RunOf(ctx context.Context, root, unit string) (Run, error) {
	c, err := open(ctx, root)
	if err != nil {
		return Run{}, err
	}
	defer c.Close()
	return runOf(ctx, c, unit)
}

// Restart restarts a service, if it is in the run that the caller saw, and returns
// the run that it is in then. It waits for the job's end, which is when the service
// has started as its Type= says; ctx must have a deadline, and leave time for the
// stop (TimeoutStopSec=, 90 s if not set) and the start.
//
// A service that stops meanwhile is not started, and a job that somebody else
// queued is not replaced: systemd refuses then, and so does this. If ctx ends first the
// job goes on, which the error says.
//
// It needs uid 0, as all who talk to systemd's private socket.
//
// Source: org.freedesktop.systemd1(5), TryRestartUnit, JobRemoved; systemd 257
// src/core/dbus.c, bus_foreach_bus: a private connection gets signals unasked.
func Restart(ctx context.Context, root, unit string, was Run) (Run, error) {
	if was.MainPID == 0 && was.Invocation == "" {
		return Run{}, fmt.Errorf("%s: %w: no run of it was named", unit, ErrRefused)
	}
	c, err := open(ctx, root)
	if err != nil {
		return Run{}, err
	}
	defer c.Close()
	is, err := runOf(ctx, c, unit)
	if err != nil {
		return is, err
	}
	if is != was {
		return is, fmt.Errorf("%s: %w: it runs as pid %d, invocation %.32q, not as pid %d, %.32q: scan again", unit, ErrRefused, is.MainPID, is.Invocation, was.MainPID, was.Invocation)
	}
	if err := restart(ctx, c, unit); err != nil {
		return is, err
	}
	now, err := runOf(ctx, c, unit)
	if err == nil && now == was {
		err = fmt.Errorf("%s: %w: the job is done, and the run is the same as before", unit, ErrFailed)
	}
	return now, err
}

// runOf reads the run of a service that is loaded and active.
func runOf(ctx context.Context, c *sd.Conn, unit string) (Run, error) {
	if !strings.HasSuffix(unit, ".service") {
		return Run{}, fmt.Errorf("%.80q: %w: not a service: name a unit that ends in .service", unit, ErrRefused)
	}
	paths, err := loaded(ctx, c)
	if err != nil {
		return Run{}, err
	}
	path, ok := paths[unit]
	if !ok {
		return Run{}, fmt.Errorf("%.80s: %w: systemd has no such unit loaded", unit, ErrRefused)
	}
	general, err := c.GetUnitPathPropertiesContext(ctx, path)
	if err != nil {
		return Run{}, fmt.Errorf("systemd: properties of %s: %w", unit, because(ctx, err))
	}
	service, err := c.GetUnitTypePropertiesContext(ctx, unit, "Service")
	if err != nil {
		return Run{}, fmt.Errorf("systemd: properties of %s: %w", unit, because(ctx, err))
	}
	if state, _ := general["ActiveState"].(string); state != "active" {
		return Run{}, fmt.Errorf("%s: %w: it is %.20q, not active: systemctl status says why", unit, ErrRefused, state)
	}
	pid, _ := service["MainPID"].(uint32)
	invocation, _ := general["InvocationID"].([]byte)
	return Run{MainPID: int(pid), Invocation: fmt.Sprintf("%x", invocation)}, nil
}

// restart queues the job and waits for its result.
func restart(ctx context.Context, c *sd.Conn, unit string) error {
	result := make(chan string, 1)
	job, err := c.TryRestartUnitContext(ctx, unit, "fail", result)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", unit, ErrFailed, because(ctx, err))
	}
	select {
	case how := <-result:
		if how != "done" {
			return fmt.Errorf("%s: %w: systemd says %.40q: systemctl status %s, journalctl -u %s", unit, ErrFailed, how, unit, unit)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: job %d has not ended in time and goes on: systemctl list-jobs shows it, systemctl cancel %d ends it: %w", unit, job, job, ctx.Err())
	}
}
