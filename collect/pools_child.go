package collect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/devmapper"
	"sexton.dev/snapshot"
)

// childMapper is the child that asks device-mapper: first for all devices, which
// does not wait, then for how each is, then for what each pool holds, by its disk.
func childMapper(out io.Writer, proc, root string) error {
	e := json.NewEncoder(out)
	c, err := devmapper.Open(proc, path.Join("/", root, devmapper.Node))
	if errors.Is(err, devmapper.ErrNotLoaded) {
		return e.Encode(mapperLine{None: true})
	}
	if err != nil {
		return e.Encode(mapperLine{Whole: err.Error()})
	}
	defer c.Close()
	numbers, err := c.List()
	if err != nil {
		return e.Encode(mapperLine{Whole: err.Error()})
	}
	var all []mapperDevice
	for _, n := range numbers {
		d, err := c.Look(n)
		if errors.Is(err, unix.ENXIO) {
			continue // it is gone by now
		}
		m := mapperDevice{raw: d, Mapped: mappedOf(d)}
		all = append(all, m)
		if err := e.Encode(m.line(err)); err != nil {
			return err
		}
	}
	if err := e.Encode(mapperLine{All: true}); err != nil {
		return err
	}
	for _, more := range []func(*mapperDevice) error{
		func(m *mapperDevice) error { return m.status(c) },
		func(m *mapperDevice) error { return m.holds(root) },
	} {
		for i := range all {
			if all[i].Pool == nil && all[i].Thin == nil {
				continue
			}
			if err := e.Encode(all[i].line(more(&all[i]))); err != nil {
				return err
			}
		}
	}
	return e.Encode(mapperLine{End: true})
}

// A mapperDevice is a device while it is asked about.
type mapperDevice struct {
	snapshot.Mapped
	raw  devmapper.Device
	meta devmapper.Number // of a pool
	lack error            // the first thing that could not be read
}

// line is what is known of the device by now.
func (m *mapperDevice) line(lack error) mapperLine {
	if m.lack == nil && !errors.Is(lack, unix.ENXIO) {
		m.lack = lack
	}
	out := mapperLine{Device: &m.Mapped}
	if m.lack != nil {
		out.Lack = m.lack.Error()
	}
	return out
}

func mappedOf(d devmapper.Device) snapshot.Mapped {
	m := snapshot.Mapped{Name: d.Name, UUID: d.UUID, Device: d.Number.String(), Open: d.Open, Deferred: d.Deferred, Suspended: d.Suspend}
	for _, b := range d.Below {
		m.Below = append(m.Below, b.String())
	}
	if len(d.Targets) == 0 {
		return m
	}
	switch m.Type = d.Targets[0].Type; m.Type {
	case "thin-pool":
		m.Pool = &snapshot.Pool{}
	case "thin":
		m.Thin = &snapshot.Thin{}
	}
	return m
}

// status reads how a pool or thin device is. Its table is read here, too: it tells
// what belongs together.
func (m *mapperDevice) status(c *devmapper.Control) error {
	d, err := c.Status(m.raw)
	if len(d.Targets) == 0 {
		return err
	}
	t := d.Targets[0]
	if m.Thin != nil {
		table, bad := devmapper.ParseThinTable(t.Table)
		m.Thin.Pool, m.Thin.ID = table.Pool.String(), uint64(table.ID)
		if err == nil {
			_, m.Thin.Failed, err = devmapper.ParseThin(t.Status)
		}
		return errors.Join(bad, err)
	}
	table, bad := devmapper.ParsePoolTable(t.Table)
	m.meta = table.Meta
	m.Pool.Block, m.Pool.LowWater = table.Block*512, table.LowWater
	if err == nil {
		var p devmapper.Pool
		p, err = devmapper.ParsePool(t.Status)
		m.Pool.Mode, m.Pool.Transaction, m.Pool.Queues, m.Pool.NeedsCheck = p.Mode, p.Transaction, p.Queues, p.NeedsCheck
		m.Pool.MetaUsed, m.Pool.MetaTotal, m.Pool.DataUsed, m.Pool.DataTotal = p.MetaUsed, p.MetaTotal, p.DataUsed, p.DataTotal
		m.Pool.TimedOut = p.Mode == "out_of_data_space" && table.Queues && !p.Queues
	}
	return errors.Join(bad, err)
}

// holds reads which devices a pool holds, from the disk of its metadata.
func (m *mapperDevice) holds(root string) error {
	if m.Pool == nil || m.meta == (devmapper.Number{}) {
		return nil
	}
	node, err := devmapper.NodeOf(root, m.meta)
	if err == nil {
		err = m.list(node)
	}
	if err != nil {
		return fmt.Errorf("which thin devices it holds: %w", err)
	}
	return nil
}

func (m *mapperDevice) list(node string) error {
	const tries = 5 // a pool that is at work commits once a second, or when a device is made or deleted
	for range tries {
		all, again, err := devmapper.ReadThinDevice(node, m.meta)
		if again {
			continue
		}
		if err != nil {
			return err
		}
		m.Pool.Listed = true
		for _, t := range all {
			m.Pool.Holds = append(m.Pool.Holds, snapshot.Held{ID: uint64(t.ID), Blocks: t.Blocks})
		}
		return nil
	}
	return errors.New("the pool writes all the time")
}
