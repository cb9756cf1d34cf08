package plan

import (
	"fmt"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// Acts on devices of device-mapper. A device is its name, UUID and number, which
// heal keeps open while it compares them; a thin one in a pool is its id, and the
// pool's transaction id, which whoever works with the pool counts up.

// removeMapped plans the removal of mapped thin devices that nobody has open.
func removeMapped(h *snapshot.Host, _ check.Finding, r check.Remedy) (out []Step) {
	for _, t := range r.Targets {
		m := mappedAs(h, t)
		if m == nil || m.Thin == nil {
			continue
		}
		t.UUID, t.Thin = m.UUID, m.Thin.ID
		s := Step{
			Does:    fmt.Sprintf("have the kernel remove the mapped device %s (%s), thin device %d, as soon as nobody has it open", t.Name, t.Device, t.Thin),
			Command: "dmsetup remove --deferred " + quote(t.Name),
			Target:  t,
			Holds:   []string{fmt.Sprintf("%s is still the device of that name and UUID, and thin device %d", t.Device, t.Thin), "nobody has it open"},
			Then:    []string{"no device of that name and number exists"},
			Affects: []string{"its data stays in the pool; who wants it again has to map it again"},
		}
		if m.Open > 0 {
			s.Refused = fmt.Sprintf("it is open (%d times): who has it open must let it go first: sexton holders %s", m.Open, t.Device)
		}
		out = append(out, s)
	}
	return out
}

// mappedAs is the device of a target, nil if its number is another's now.
func mappedAs(h *snapshot.Host, t check.Target) *snapshot.Mapped {
	if h.Pools == nil {
		return nil
	}
	if m := h.Pools.Device(t.Device); m != nil && m.Name == t.Name {
		return m
	}
	return nil
}

func unmapped(h *snapshot.Host, s Step) (bool, string) {
	if h.Pools == nil {
		return false, "the devices of device-mapper were not read"
	}
	m := mappedAs(h, s.Target)
	if m == nil {
		return !h.Pools.Partial, "not all devices of device-mapper could be asked in time"
	}
	return false, fmt.Sprintf("%s is still there, open %d times", m.Name, m.Open)
}

// deleteThin plans the end of thin devices whose deletion somebody asked for.
func deleteThin(h *snapshot.Host, _ check.Finding, r check.Remedy) (out []Step) {
	for _, t := range r.Targets {
		m := mappedAs(h, t)
		if m == nil || m.Pool == nil || m.Pool.Listed && !m.Pool.Has(t.Thin) {
			continue
		}
		t.UUID, t.Transaction = m.UUID, m.Pool.Transaction
		s := Step{
			Does:    fmt.Sprintf("delete thin device %d of pool %s (%s), with all that is in it", t.Thin, t.Name, t.Device),
			Command: fmt.Sprintf("dmsetup message %s 0 'delete %d'", quote(t.Name), t.Thin),
			Target:  t,
			Holds: []string{fmt.Sprintf("%s is still the pool of that name and UUID, and its transaction id is still %d", t.Device, t.Transaction),
				"the pool is rw", fmt.Sprintf("thin device %d is not mapped", t.Thin)},
			Then:    []string{fmt.Sprintf("the pool holds no thin device %d", t.Thin)},
			Affects: []string{"what is in the device is lost for good; blocks that a snapshot shares stay", "a runtime that still has a record of it is not told"},
		}
		s.Refused = undeletable(h, m, t)
		out = append(out, s)
	}
	return out
}

// undeletable says why a thin device must not be deleted, "" if it may.
func undeletable(h *snapshot.Host, pool *snapshot.Mapped, t check.Target) string {
	for i := range h.Pools.Devices {
		if m := &h.Pools.Devices[i]; m.Thin != nil && m.Thin.Pool == t.Device && m.Thin.ID == t.Thin {
			return fmt.Sprintf("it is mapped as %s (%s), open %d times: the kernel deletes none that is", m.Name, m.Device, m.Open)
		}
	}
	switch {
	case !pool.Pool.Listed:
		return "which devices the pool holds could not be read: see why: sexton scan"
	case pool.Pool.Mode != "rw":
		return fmt.Sprintf("the pool is in mode %s: see sexton why thin-pool-space/%s", pool.Pool.Mode, t.Name)
	}
	return ""
}

func deleted(h *snapshot.Host, s Step) (bool, string) {
	if h.Pools == nil {
		return false, "the devices of device-mapper were not read"
	}
	m := mappedAs(h, s.Target)
	switch {
	case m == nil || m.Pool == nil:
		return false, "the pool is not there any more"
	case !m.Pool.Listed:
		return false, "which devices the pool holds could not be read"
	}
	return !m.Pool.Has(s.Target.Thin), fmt.Sprintf("the pool still holds thin device %d", s.Target.Thin)
}
