package thinpoolspace

import (
	_ "embed"
	"fmt"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "thin-pool-space"

// Check reports each thin pool that is full, nearly full, read-only or broken.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Storage},
	Uses: []snapshot.Part{snapshot.Processes, // of dmeventd
		snapshot.Places, snapshot.Names, snapshot.Threads, snapshot.MountTables, snapshot.References, snapshot.Log}, // of who waits
	Run: run,
}

func run(p check.Pass) []check.Finding {
	all := p.Now.Pools
	if all == nil {
		return nil
	}
	var found []check.Finding
	for i := range all.Devices {
		m := &all.Devices[i]
		if m.Pool == nil || m.Pool.Mode == "" {
			continue
		}
		s, wrong := stateOf(m.Pool, p.Limits)
		if !wrong {
			continue
		}
		found = append(found, finding(p, m, s))
	}
	return found
}

// A state is what is wrong with a pool.
type state struct {
	severity           check.Severity
	title, cause, harm string
	full               bool // for want of space, which growing ends
	repair             bool // its metadata must be repaired
}

// stateOf says what is wrong with a pool, the worst of it.
func stateOf(p *snapshot.Pool, limits check.Limits) (state, bool) {
	data, meta := share(p.DataUsed, p.DataTotal), share(p.MetaUsed, p.MetaTotal)
	switch {
	case p.Mode == "Fail":
		return state{severity: check.Critical, repair: true, title: "has failed",
			cause: "Its metadata could not be read or written, and what was under way could not be taken back: the kernel gave it up",
			harm:  "All file systems on it fail, to read too, until the pool is stopped, repaired and started"}, true
	case p.Mode == "Error":
		return state{severity: check.Critical, repair: true, title: "cannot say how it is",
			cause: "The kernel could not read the pool's own metadata to answer", harm: "What is on it may fail at any moment"}, true
	case p.NeedsCheck:
		return state{severity: check.Critical, repair: true, title: "must be checked before it is written again",
			cause: "A write of its metadata failed, or its metadata was full: the kernel made the pool read-only and marked it needs_check",
			harm:  "Nothing new is written to any file system on it; most turn read-only or shut down"}, true
	case p.Mode == "out_of_data_space":
		cause := "All of its blocks of data are in use"
		if p.TimedOut {
			cause += ". Writes waited for room, as it was told to let them, until no_space_timeout was over"
		}
		return state{severity: check.Critical, full: true, title: "is full", cause: cause, harm: fullErrors}, true
	case p.Mode == "ro":
		cause := "It is not full: it was set read-only, or its metadata could not be written"
		if meta >= 0.9 {
			cause = "Its metadata is full"
		}
		return state{severity: check.Critical, full: meta >= 0.9, repair: meta < 0.9, title: "is read-only", cause: cause,
			harm: "Nothing new is written to any file system on it"}, true
	}
	s := state{full: true, harm: "When data is full, writes wait or fail on all file systems of the pool at once; when metadata is full, the pool turns read-only and must be checked offline"}
	free := p.DataTotal - p.DataUsed
	switch {
	case data >= limits.BudgetCritical || meta >= limits.BudgetCritical:
		s.severity = check.Critical
	case data >= limits.BudgetWarning || meta >= limits.BudgetWarning || p.LowWater > 0 && free <= p.LowWater:
		s.severity = check.Warning
	default:
		return state{}, false
	}
	s.title = fmt.Sprintf("is nearly full: %s of its data, %s of its metadata is in use", percent(data), percent(meta))
	s.cause = "It promises more than it has, and what was written or deleted inside was not given back"
	if data < limits.BudgetWarning && meta < limits.BudgetWarning {
		s.title = fmt.Sprintf("tells that little is left: %s are free", check.Count(int(free), "block"))
		s.cause = fmt.Sprintf("Its low water mark is %s", check.Count(int(p.LowWater), "block"))
	}
	return s, true
}

func share(used, total uint64) float64 {
	if total == 0 {
		return 0
	}
	return float64(used) / float64(total)
}

func percent(share float64) string { return fmt.Sprintf("%d %%", int(share*100)) }

func finding(pass check.Pass, m *snapshot.Mapped, s state) check.Finding {
	h, p := pass.Now, m.Pool
	f := check.Finding{
		ID:       name + "/" + m.Name,
		Severity: s.severity,
		Subject:  check.Subject{Kind: "device", Name: m.Name, Device: m.Device},
		Title:    fmt.Sprintf("thin pool %s (%s) %s", m.Name, m.Device, s.title),
		Cause:    s.cause,
		Harm:     s.harm,
		Evidence: []check.Evidence{{Source: "device-mapper status of " + m.Name, Text: status(p)}},
	}
	if p.Mode == "out_of_data_space" {
		waits(&f, pass, m)
	}
	for _, u := range h.Pools.UsersOf(m.Name) {
		f.Evidence = append(f.Evidence, check.Evidence{Source: u.Daemon, Text: u.Said})
		if u.Daemon == "docker" && s.full && share(p.DataUsed, p.DataTotal) >= 0.9 {
			f.Harm += ". docker makes no container and pulls no image while less than a tenth is free (dm.min_free_space)"
		}
	}
	growth, evidence := grows(h, m.Name)
	if evidence != nil {
		f.Evidence = append(f.Evidence, *evidence)
	}
	if s.full {
		f.Cause += ". " + growth
	}
	f.Advice = advice(h, m, s)
	return f
}

// status is a pool's in words that people know from dmsetup.
func status(p *snapshot.Pool) string {
	text := "mode " + p.Mode
	if p.DataTotal == 0 {
		return text
	}
	text += fmt.Sprintf(", data %d/%d blocks of %s, metadata %d/%d blocks of 4 KiB", p.DataUsed, p.DataTotal, size(p.Block), p.MetaUsed, p.MetaTotal)
	if p.LowWater > 0 {
		text += fmt.Sprintf(", low water mark %d", p.LowWater)
	}
	if p.Queues {
		text += ", queue_if_no_space"
	} else {
		text += ", error_if_no_space"
	}
	if p.NeedsCheck {
		text += ", needs_check"
	}
	if p.Listed {
		text += fmt.Sprintf(", holds %s", check.Count(len(p.Holds), "thin device"))
	}
	return text
}

// size prints bytes in the largest unit that has no rest.
func size(bytes uint64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if bytes%1024 != 0 || unit == "MiB" || bytes == 0 {
			return fmt.Sprintf("%d %s", bytes, unit)
		}
		bytes /= 1024
	}
	return ""
}
