package thinpoolmissing

import (
	_ "embed"
	"fmt"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "thin-pool-missing"

// Check reports each thin pool that a daemon was told to use and that is not there.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Storage},
	Uses:  []snapshot.Part{snapshot.Log},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	all := p.Now.Pools
	if all == nil {
		return nil
	}
	var found []check.Finding
	for _, u := range all.Users {
		switch m := all.Named(u.Pool); {
		case m != nil && (m.Pool != nil || m.Type == ""):
		case m == nil && (all.Partial || u.Disk != "" && !u.Used): // not all devices are known; or docker has yet to make it
		default:
			f := finding(all, u, m)
			if lines := refusals(p); len(lines) > 0 {
				f.Cause += ". The kernel refused to make a thin pool lately: its metadata is broken, or is not a pool's"
				f.Evidence = append(f.Evidence, lines...)
			}
			found = append(found, f)
		}
	}
	return found
}

// finding is that of a pool which is not there; m is what has its name, nil if nothing has.
func finding(all *snapshot.Pools, u snapshot.PoolUser, m *snapshot.Mapped) check.Finding {
	f := check.Finding{
		ID:       fmt.Sprintf("%s/%s/%s", name, u.Daemon, u.Pool),
		Severity: check.Critical,
		Subject:  check.Subject{Kind: "device", Name: u.Pool},
		Title:    fmt.Sprintf("%s was told to use thin pool %s, and no device of that name exists", u.Daemon, u.Pool),
		Harm:     u.Daemon + " does not start: \"Non existing device " + u.Pool + "\"; nor does what needs it, as the kubelet",
		Evidence: []check.Evidence{{Source: u.Daemon, Text: u.Said}},
	}
	if u.Daemon == "containerd" {
		f.Harm = "containerd has no devmapper snapshotter: no container starts that is to use it"
	}
	if u.PID != 0 {
		f.Severity = check.Warning
		f.Harm = fmt.Sprintf("%s (pid %d) runs without it, or by what it was told before; ", u.Daemon, u.PID) + "after its next start: " + f.Harm
	}
	if m != nil {
		f.Subject.Device = m.Device
		f.Title = fmt.Sprintf("%s was told to use thin pool %s, and the device of that name is no thin pool", u.Daemon, u.Pool)
		f.Evidence = append(f.Evidence, check.Evidence{Source: "device-mapper", Text: fmt.Sprintf("%s (%s) is of type %s", m.Name, m.Device, m.Type)})
	}
	w := whereabouts(all, u.Pool)
	f.Cause, f.Advice = w.cause, runbook(u, w)
	if m != nil {
		f.Cause = "Something else has the pool's name. " + f.Cause
	}
	f.Evidence = append(f.Evidence, w.evidence...)
	return f
}

// refusals are the last lines of the kernel's log on a pool that it did not make. They
// name no pool.
func refusals(p check.Pass) (lines []check.Evidence) {
	if p.Now.Log == nil {
		return nil
	}
	for _, e := range p.Now.Log.Events {
		refused := strings.Contains(e.Text, "superblock") || strings.Contains(e.Text, "Error creating metadata object") || strings.Contains(e.Text, "sb_check failed")
		if e.Family == snapshot.LogThinPool && refused && p.IsRecent(e.Time) {
			lines = append(lines, check.Evidence{Source: "kernel log", Text: e.Text})
		}
	}
	return lines[max(0, len(lines)-mostLines):]
}

// mostLines of the kernel's log are shown: one refusal has three.
const mostLines = 3

// A place is where a pool would be, as far as anything tells.
type place struct {
	group, volume string // of LVM; "" if LVM gives no device such a name
	disks         []string
	recorded      bool // LVM's last record of the group has it
	cause         string
	evidence      []check.Evidence
}

// whereabouts finds the volume group that a pool's name means.
func whereabouts(all *snapshot.Pools, pool string) place {
	group, volume, ok := snapshot.VolumeOf(pool)
	w := place{group: group, volume: volume}
	if !ok {
		w.group, w.volume = "", ""
		w.cause = "No logical volume has a device of that name: somebody made the pool by dmsetup, which does not survive a boot, and nothing made it again"
	}
	for _, m := range all.Devices {
		if strings.HasPrefix(m.Name, pool+"_t") || m.Name == pool+"-tpool" {
			w.evidence = append(w.evidence, check.Evidence{Source: "device-mapper", Text: fmt.Sprintf("%s (%s) is there: a part of it", m.Name, m.Device)})
		}
	}
	if !ok {
		return w
	}
	if !all.Loaded {
		w.evidence = append(w.evidence, check.Evidence{Source: "/proc/misc", Text: "has no device-mapper: the kernel has it not loaded, so no volume of LVM is active"})
	}
	g, _ := all.Volume(pool)
	if g != nil {
		w.recorded, w.disks = true, g.Disks
		w.cause = fmt.Sprintf("It is a pool of LVM, volume %s of group %s, and not active: its disk came late or is missing, or somebody deactivated it", volume, group)
		w.evidence = append(w.evidence, record(g, "has the thin pool "+volume))
		return w
	}
	if all.LVM != nil {
		for i := range all.LVM.Groups {
			if g := &all.LVM.Groups[i]; g.Name == group {
				w.disks = g.Disks
				w.cause = fmt.Sprintf("By its name it is volume %s of group %s, and LVM's last record of that group has no such pool: it was removed or renamed, or never made", volume, group)
				w.evidence = append(w.evidence, record(g, "has no thin pool "+volume))
				return w
			}
		}
	}
	w.cause = fmt.Sprintf("By its name it is volume %s of group %s, and LVM has no record of such a group here: it was removed, it is on a disk that is missing, or it was never made on this host", volume, group)
	return w
}

func record(g *snapshot.VolumeGroup, says string) check.Evidence {
	text := fmt.Sprintf("group %s %s", g.Name, says)
	if len(g.Disks) > 0 {
		text += ", on " + strings.Join(g.Disks, " ")
	}
	if !g.Written.IsZero() {
		text += ", written " + g.Written.Format("2006-01-02 15:04 MST")
	}
	return check.Evidence{Source: g.File, Text: text}
}
