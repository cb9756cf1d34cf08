package devmapper

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// RemoveDeferred has the kernel remove a device as soon as nobody has it open, now
// if nobody has. The device is the one with this number: whoever holds it open keeps
// another from getting the number. Linux 3.13.
func (c *Control) RemoveDeferred(n Number) error {
	if _, _, err := c.call(cmdRemove, header{device: n, flags: flagDeferred}, nil); err != nil {
		return fmt.Errorf("remove %v: %w", n, err)
	}
	return nil
}

// Remove removes a device that nobody has open, else it gives EBUSY.
func (c *Control) Remove(name string) error {
	if _, _, err := c.call(cmdRemove, header{name: name}, nil); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// DeleteThin deletes a thin device of a pool, with all that is in it. EBUSY: it is in
// use as a mapped device; ENODATA: the pool has none of that id.
//
// Source: Linux 6.12 Documentation/admin-guide/device-mapper/thin-provisioning.rst;
// drivers/md/dm-thin-metadata.c, __delete_device.
func (c *Control) DeleteThin(pool Number, id uint64) error {
	return c.message(header{device: pool}, fmt.Sprintf("delete %d", id))
}

// Tell sends a message to the first target of a device.
func (c *Control) Tell(name, message string) error { return c.message(header{name: name}, message) }

func (c *Control) message(which header, message string) error {
	data := append(make([]byte, 8), message...) // struct dm_target_msg: the sector, then the text
	if _, _, err := c.call(cmdMessage, which, append(data, 0)); err != nil {
		return fmt.Errorf("message %q to %s: %w", message, which, err)
	}
	return nil
}

// Create makes a device of this table and sets it going. What it made is gone again
// if that fails.
func (c *Control) Create(name string, table ...Target) error {
	if len(name) > maxName || strings.ContainsAny(name, "/\x00") || name == "" {
		return fmt.Errorf("make a device named %q: %w", name, unix.EINVAL)
	}
	h, _, err := c.call(cmdCreate, header{name: name}, nil)
	if err != nil {
		return fmt.Errorf("make device %s: %w", name, err)
	}
	if _, _, err = c.call(cmdLoad, header{device: h.device, targets: uint32(len(table))}, encodeTargets(table)); err == nil {
		_, _, err = c.call(cmdSuspend, header{device: h.device}, nil) // which resumes, without the flag
	}
	if err != nil {
		c.Remove(name) // nobody has it open yet
		return fmt.Errorf("make device %s: %w", name, err)
	}
	return nil
}
