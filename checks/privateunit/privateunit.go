package privateunit

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/settings"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "private-unit"

// Check reports each service whose mount namespace keeps what its owner has unmounted.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.MountTables, snapshot.Configured},
	Run:   run,
}

// privateTmp is the directory that systemd makes for a unit with PrivateTmp.
var privateTmp = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`/systemd-private-[0-9a-f]{32}-(.+\.service)-[A-Za-z0-9]{6}/tmp$`)
})

func run(p check.Pass) []check.Finding {
	if p.Now.Mounts == nil {
		return nil
	}
	all := holding.MapOf(p.Now)
	spaces := holding.Spaces(p.Now)
	var found []check.Finding
	for i := range spaces {
		s := &spaces[i]
		if s.Host || s.Process == nil || s.Container != "" {
			continue
		}
		unit, tmp := unitOf(s)
		if kept := keeps(all, s); unit != "" && len(kept) > 0 {
			found = append(found, finding(p.Now, s, unit, tmp, kept))
		}
	}
	return found
}

// unitOf names the unit, and the mount that shows PrivateTmp, by which a unit is
// known also where no cgroup names it.
func unitOf(s *holding.Space) (unit string, tmp *snapshot.Mount) {
	unit = s.Unit
	for i := range s.Mounts {
		if m := &s.Mounts[i]; m.Point == "/tmp" {
			if found := privateTmp().FindStringSubmatch(m.Root); found != nil {
				return found[1], m
			}
		}
	}
	if !strings.HasSuffix(unit, ".service") {
		return "", nil
	}
	return unit, nil
}

// keeps lists the mounts of container software that none of their owners has.
func keeps(all *holding.Map, s *holding.Space) []*snapshot.Mount {
	var out []*snapshot.Mount
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if all.Shape(m).What == "" {
			continue
		}
		if owner, known := all.Owner(m); known && owner == nil {
			out = append(out, m)
		}
	}
	return out
}

const most = 5 // mounts that are told

func finding(h *snapshot.Host, s *holding.Space, unit string, tmp *snapshot.Mount, kept []*snapshot.Mount) check.Finding {
	source := fmt.Sprintf("mount namespace %d of pid %d", s.Inode, s.Process.PID)
	f := check.Finding{
		ID:       fmt.Sprintf("%s/%s.%d", name, unit, s.Inode),
		Severity: check.Warning,
		Subject:  check.Subject{Kind: "unit", Name: unit, PID: s.Process.PID, MountNamespace: s.Inode},
		Title:    fmt.Sprintf("%s has a mount namespace of its own that keeps %s of containers", unit, check.Count(len(kept), "mount")),
		Harm:     "What is behind them stays in use until the unit is restarted: devices, disk space, and docker rm on old kernels",
		Holders:  []check.Holder{holding.Name(h, holding.Pinned(h, s.MountNamespace))},
		Advice:   settings.FreeUnit(unit),
		Since:    h.Started(s.Process),
	}
	var why []string
	if u := h.Settings.Unit(unit); u != nil {
		why, f.Evidence = holding.Told(u)
		if u.Reload {
			f.Advice[0] = "systemctl daemon-reload, which reads its files as they are now, then systemctl restart " + unit + ": that frees them"
		}
	}
	if tmp != nil {
		f.Evidence = append(f.Evidence, check.Evidence{Source: source, Text: holding.Line(tmp)})
		if len(why) == 0 {
			why = append(why, "PrivateTmp")
		}
	}
	after := "Before or after the unit started, the mount came into its namespace"
	if tmp != nil && h.Mounts.Way == "statmount" && kept[0].ID < tmp.ID {
		after = "The unit started after the mount"
	}
	f.Cause = after + ", and its unmount did not arrive there"
	if len(why) > 0 {
		f.Cause += "; " + strings.Join(why, ", ") + " made that namespace"
	}
	for _, m := range kept[:min(len(kept), most)] {
		f.Evidence = append(f.Evidence, check.Evidence{Source: source, Text: holding.Line(m)})
	}
	return f
}
