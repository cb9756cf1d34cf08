package thindeletefailed

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "thin-delete-failed"

// Check reports each thin device whose deletion failed.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.MountTables, snapshot.References, snapshot.Storage, snapshot.Log},
	Run:   run,
}

// A failure is a thin device that the log says was not deleted.
type failure struct {
	id    uint64
	last  snapshot.LogEvent
	times int
}

// A suspect is a pool that has a device of that id.
type suspect struct {
	failure
	pool   *snapshot.Mapped
	mapped *snapshot.Mapped // the device as it is mapped; nil: it is not
	alone  bool             // no other pool has one
}

func run(p check.Pass) (found []check.Finding) {
	if p.Now.Pools == nil || p.Now.Log == nil {
		return nil
	}
	for _, f := range failures(p.Now.Log) {
		all := suspects(p.Now.Pools, f)
		for _, s := range all {
			s.alone = len(all) == 1
			found = append(found, s.finding(p))
		}
		if len(all) == 0 {
			found = append(found, f.gone(p))
		}
	}
	return found
}

// failures are those of the log, each device once, with the last time.
func failures(log *snapshot.KernelLog) (out []failure) {
	for _, e := range log.Events {
		id, err := strconv.ParseUint(e.Device, 10, 24)
		if e.Family != snapshot.LogThinDelete || err != nil {
			continue
		}
		i := slices.IndexFunc(out, func(f failure) bool { return f.id == id })
		if i < 0 {
			i = len(out)
			out = append(out, failure{id: id})
		}
		out[i].last = e
		out[i].times += max(e.Times, 1)
	}
	return out
}

// suspects are the pools that have a device of that id, mapped or by their metadata.
func suspects(all *snapshot.Pools, f failure) (out []suspect) {
	for i := range all.Devices {
		pool := &all.Devices[i]
		if pool.Pool == nil {
			continue
		}
		s := suspect{failure: f, pool: pool}
		for k := range all.Devices {
			if m := &all.Devices[k]; m.Thin != nil && m.Thin.Pool == pool.Device && m.Thin.ID == f.id {
				s.mapped = m
			}
		}
		if s.mapped != nil || pool.Pool.Has(f.id) {
			out = append(out, s)
		}
	}
	return out
}

// base is what the findings have in common.
func (f failure) base(p check.Pass) check.Finding {
	text := f.last.Text
	if f.times > 1 {
		text += fmt.Sprintf(" (%d times)", f.times)
	}
	out := check.Finding{
		Severity: check.Info,
		Evidence: []check.Evidence{{Source: "kernel log", Text: text}},
	}
	if p.IsRecent(f.last.Time) {
		out.Severity = check.Warning
	}
	return out
}

// gone is the finding of a device that no pool holds.
func (f failure) gone(p check.Pass) check.Finding {
	out := f.base(p)
	out.Severity = check.Info
	out.ID = fmt.Sprintf("%s/%d", name, f.id)
	out.Subject = check.Subject{Kind: "device", Name: fmt.Sprintf("thin device %d", f.id)}
	out.Title = fmt.Sprintf("thin device %d could not be deleted, and no pool holds it", f.id)
	out.Cause = "It was gone already (ENODATA, \"No data available\"): somebody else deleted it, or the daemon's records are of another pool; or a later try deleted it"
	out.Harm = "None by itself: no space is held"
	pools := 0
	for _, m := range p.Now.Pools.Devices {
		switch {
		case m.Pool == nil:
			continue
		case m.Pool.Listed:
			out.Evidence = append(out.Evidence, check.Evidence{Source: "metadata of pool " + m.Name, Text: fmt.Sprintf("holds %s, and no %d", check.Count(len(m.Pool.Holds), "device"), f.id)})
		default:
			out.Harm = "Its space may still be held"
			out.Title = fmt.Sprintf("thin device %d could not be deleted, and it is not mapped now", f.id)
			out.Cause = "Which devices pool " + m.Name + " holds could not be read: it may be there still (it was in use then, EBUSY), or was gone already (ENODATA)"
		}
		pools++
	}
	if pools == 0 {
		out.Cause = "There is no thin pool any more"
	}
	return out
}

// finding is that of a device which a pool still has.
func (s suspect) finding(p check.Pass) check.Finding {
	out := s.base(p)
	out.ID = fmt.Sprintf("%s/%s/%d", name, s.pool.Name, s.id)
	out.Subject = check.Subject{Kind: "device", Name: s.pool.Name}
	out.Harm = "Its space is not given back" + s.size() + "; a container whose device it was stays Dead"
	if s.pool.Pool.Listed {
		out.Evidence = append(out.Evidence, check.Evidence{Source: "metadata of pool " + s.pool.Name, Text: fmt.Sprintf("holds device %d%s", s.id, s.size())})
	}
	if s.mapped != nil {
		s.busy(p.Now, &out)
	} else {
		s.idle(&out)
	}
	if !s.alone {
		out.Cause += ". Other pools have a device of that id too, and the log does not say which one was meant"
	} else if len(out.Remedies) > 0 || s.mapped == nil && s.pool.Pool.Mode == "rw" {
		out.Remedies = append(out.Remedies, check.Remedy{Action: "delete-thin", Risk: "destructive", Why: "its deletion was asked for, and failed",
			Targets: []check.Target{{Kind: "thin", Name: s.pool.Name, Device: s.pool.Device, Thin: s.id}}})
	}
	out.Advice = append(out.Advice, "when nobody uses it any more, remove the container or image by its runtime (docker rm): it then deletes the device, and its own record too")
	return out
}

// size is how much of the pool the device has, "" if that is not known.
func (s suspect) size() string {
	for _, h := range s.pool.Pool.Holds {
		if h.ID == s.id {
			return fmt.Sprintf(", %s (%d MiB)", check.Count(int(h.Blocks), "block"), h.Blocks*s.pool.Pool.Block>>20)
		}
	}
	return ""
}

// onTop names a mapped device that stands on another, "" if none does.
func onTop(all *snapshot.Pools, device string) string {
	for _, m := range all.Devices {
		if slices.Contains(m.Below, device) {
			return m.Name
		}
	}
	return ""
}

// idle is of a device that is not mapped: nothing keeps it any more.
func (s suspect) idle(out *check.Finding) {
	out.Title = fmt.Sprintf("thin device %d of pool %s was not deleted, and nobody uses it any more", s.id, s.pool.Name)
	out.Cause = "It was in use then (EBUSY), and is not mapped now: the next try would delete it"
	if mode := s.pool.Pool.Mode; mode != "rw" {
		out.Title = fmt.Sprintf("thin device %d of pool %s cannot be deleted: the pool is in mode %s", s.id, s.pool.Name, mode)
		out.Cause = "A pool that is read-only or has failed takes no such message: see sexton why thin-pool-space/" + s.pool.Name
	}
}

// busy is of a device that is mapped, which is what EBUSY means.
func (s suspect) busy(h *snapshot.Host, out *check.Finding) {
	m := s.mapped
	out.Subject.Name, out.Subject.Device = m.Name, m.Device
	out.Evidence = append(out.Evidence, check.Evidence{Source: "device-mapper", Text: fmt.Sprintf("%s (%s) is thin device %d of %s, open count %d", m.Name, m.Device, s.id, s.pool.Name, m.Open)})
	target := holding.MapOf(h).OnDevice(m.Device)
	out.Holders = holding.Of(h, target)
	for _, place := range target.Mounts[:min(3, len(target.Mounts))] {
		out.Evidence = append(out.Evidence, check.Evidence{Source: fmt.Sprintf("mnt:[%d]", place.Namespace.Inode), Text: holding.Line(place.Mount)})
	}
	used := fmt.Sprintf("thin device %d of pool %s cannot be deleted: it is mapped as %s (%s)", s.id, s.pool.Name, m.Name, m.Device)
	owned := holding.MapOf(h).Owned(m.Device)
	switch {
	case m.Open == 0:
		out.Title = used + ", and nobody has it open any more"
		out.Cause = "The kernel deletes no device that is mapped (EBUSY). Who used it has let it go; the mapping is what is left"
	case len(out.Holders) == 0:
		by := "what could not be found"
		out.Cause = "The kernel deletes no device that is mapped (EBUSY). It is mounted in no namespace that was seen; a file on the device itself keeps it open"
		if top := onTop(h.Pools, m.Device); top != "" {
			by = "device " + top + ", which stands on it"
			out.Cause = "The kernel deletes no device that is mapped (EBUSY), and this one is a part of another"
		}
		out.Title = used + fmt.Sprintf(", and open (count %d) by %s", m.Open, by)
		return
	case owned:
		out.Severity = check.Info
		out.Title = used + ", and its owner mounts it"
		out.Cause = "The kernel deletes no device that is mapped (EBUSY), and this one is in use as it should be: its container must end first"
		return
	default:
		out.Title = used + ", and " + holding.WhoAll(h, out.Holders) + " keeps it"
		out.Cause = "The kernel deletes no device that is mapped (EBUSY). Its owner has unmounted it; "
		if len(target.Mounts) > 0 {
			out.Cause += "another mount namespace still has it mounted"
			out.Remedies = append(out.Remedies, check.Remedy{Action: "unmount-in-namespace", Risk: "safe", Why: "its owner has unmounted it"})
		} else {
			out.Cause += "what is open on it keeps it though it is mounted nowhere"
			out.Remedies = append(out.Remedies, check.Remedy{Action: "restart-holder", Risk: "disruptive", Why: "nobody can unmount a detached tree"})
		}
	}
	out.Remedies = append(out.Remedies, check.Remedy{Action: "deferred-remove", Risk: "disruptive", Why: "a device that is mapped cannot be deleted",
		Targets: []check.Target{{Kind: "mapped", Name: m.Name, Device: m.Device}}})
}
