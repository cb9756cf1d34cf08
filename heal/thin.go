package heal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/check"
	"sexton.dev/linux/devmapper"
	"sexton.dev/plan"
)

// removeMapped has the kernel remove the very device that a step names. It is held
// open while it is compared, so its number cannot be another's, and goes when it is let go.
func removeMapped(_ context.Context, s plan.Step, _ func(any) error) error {
	c, d, hold, err := mapped(s.Target)
	if err != nil {
		return err
	}
	defer c.Close()
	defer hold.Close()
	thin, err := thinOf(d)
	switch {
	case err != nil:
		return refusal{err}
	case uint64(thin.ID) != s.Target.Thin:
		return refusal{fmt.Errorf("%s is thin device %d, not %d: plan again: sexton heal", d.Name, thin.ID, s.Target.Thin)}
	case d.Open > 1: // we are one
		return refusal{fmt.Errorf("%s is open %d times: see who: sexton holders %v", d.Name, d.Open-1, d.Number)}
	}
	return c.RemoveDeferred(d.Number)
}

// deleteThin deletes the very thin device that a step names.
func deleteThin(_ context.Context, s plan.Step, _ func(any) error) error {
	c, d, hold, err := mapped(s.Target)
	if errors.Is(err, errNotNeeded) { // what was in it may be in another pool of that name later
		return refusal{fmt.Errorf("pool %s is gone: plan again: sexton heal", s.Target.Name)}
	}
	if err != nil {
		return err
	}
	defer c.Close()
	defer hold.Close()
	if d, err = c.Status(d); err != nil {
		return refusal{err}
	}
	if len(d.Targets) != 1 || d.Targets[0].Type != "thin-pool" {
		return refusal{fmt.Errorf("%s is no thin pool: plan again: sexton heal", d.Name)}
	}
	pool, err := devmapper.ParsePool(d.Targets[0].Status)
	switch {
	case err != nil:
		return refusal{err}
	case pool.Mode != "rw":
		return refusal{fmt.Errorf("pool %s is in mode %s: what it holds cannot be changed: see sexton why thin-pool-space/%s", d.Name, pool.Mode, d.Name)}
	case pool.Transaction != s.Target.Transaction:
		return refusal{fmt.Errorf("pool %s is at transaction %d, not %d: somebody works with it, and thin device %d may be another by now; plan again: sexton heal", d.Name, pool.Transaction, s.Target.Transaction, s.Target.Thin)}
	}
	switch err := c.DeleteThin(d.Number, s.Target.Thin); {
	case errors.Is(err, unix.ENODATA):
		return fmt.Errorf("%w: %w", errNotNeeded, err)
	case errors.Is(err, unix.EBUSY):
		return refusal{fmt.Errorf("thin device %d is mapped: %w: plan again: sexton heal", s.Target.Thin, err)}
	default:
		return err
	}
}

// mapped opens the device that a target names, and compares it. The caller closes both.
func mapped(t check.Target) (*devmapper.Control, devmapper.Device, devmapper.Hold, error) {
	var d devmapper.Device
	var hold devmapper.Hold
	n, err := devmapper.ParseNumber(t.Device)
	if err != nil {
		return nil, d, hold, refusal{err}
	}
	c, err := devmapper.Open("/proc", devmapper.Node)
	if errors.Is(err, devmapper.ErrNotLoaded) {
		return nil, d, hold, fmt.Errorf("%w: %w", errNotNeeded, err)
	}
	if err != nil {
		return nil, d, hold, refusal{err}
	}
	if hold, err = held(n); err == nil {
		if d, err = c.Look(n); err == nil {
			err = same(d, t)
		}
		if err != nil {
			hold.Close()
		}
	}
	if err != nil {
		c.Close()
		return nil, d, hold, sorted(err, []error{unix.ENXIO, os.ErrNotExist}, []error{err})
	}
	return c, d, hold, nil
}

// held keeps a device open, by the name that the kernel gave its node.
func held(n devmapper.Number) (devmapper.Hold, error) {
	node, err := devmapper.NodeOf("/", n)
	if err != nil {
		return devmapper.Hold{}, err
	}
	if !strings.HasPrefix(path.Base(node), "dm-") {
		return devmapper.Hold{}, fmt.Errorf("%v is %s, which is not of device-mapper: plan again: sexton heal", n, node)
	}
	hold, err := devmapper.HoldDevice(node, n)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%s does not exist: without it the device cannot be held: mount -t devtmpfs, or mknod, makes it", node) // it is not gone
	}
	return hold, err
}

// same compares a device with the one that was planned for.
func same(d devmapper.Device, t check.Target) error {
	if d.Name != t.Name || d.UUID != t.UUID {
		return fmt.Errorf("%v is %s (UUID %q), not %s (UUID %q): plan again: sexton heal", d.Number, d.Name, d.UUID, t.Name, t.UUID)
	}
	return nil
}

func thinOf(d devmapper.Device) (devmapper.ThinTable, error) {
	if len(d.Targets) != 1 || d.Targets[0].Type != "thin" {
		return devmapper.ThinTable{}, fmt.Errorf("%s is no thin device: plan again: sexton heal", d.Name)
	}
	return devmapper.ParseThinTable(d.Targets[0].Table)
}
