package mountmultiplication

import (
	_ "embed"
	"fmt"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "mount-multiplication"

const (
	fewest = 4   // copies on one place
	many   = 64  // copies that are too many, a power of two or not
	nearly = 0.8 // of fs.mount-max
)

// Check reports each namespace in which a mount multiplies, or that is nearly full.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.MountTables},
	Run:   run,
}

// A spot is one place with one thing on it.
type spot struct{ device, root, point string }

func run(p check.Pass) []check.Finding {
	if p.Now.Mounts == nil {
		return nil
	}
	var found []check.Finding
	count := map[spot]int{}
	for i := range p.Now.Mounts.Namespaces {
		ns := &p.Now.Mounts.Namespaces[i]
		clear(count)
		var worst spot
		for k := range ns.Mounts {
			m := &ns.Mounts[k]
			s := spot{m.Device, m.Root, m.Point}
			if count[s]++; m.Point != "" && (count[s] > count[worst] || count[s] == count[worst] && s.point < worst.point) {
				worst = s
			}
		}
		n := count[worst]
		full := float64(len(ns.Mounts)) >= nearly*float64(p.Now.Mounts.Most) && p.Now.Mounts.Most > 0
		if full || n >= many || n >= fewest && n&(n-1) == 0 {
			found = append(found, finding(p.Now, ns, worst, n, full))
		}
	}
	return found
}

func finding(h *snapshot.Host, ns *snapshot.MountNamespace, worst spot, n int, full bool) check.Finding {
	holder := holding.Name(h, holding.Pinned(h, ns))
	f := check.Finding{
		ID:       fmt.Sprintf("%s/%d", name, ns.Inode),
		Severity: check.Warning,
		Subject:  check.Subject{Kind: "mount", Name: worst.point, Path: worst.point, Device: worst.device, MountNamespace: ns.Inode},
		Title:    fmt.Sprintf("%s is mounted %s times in the namespace of %s", worst.point, check.Number(n), holding.Who(h, holder)),
		Cause:    "Something mounts it again at each start without looking whether it is there",
		Harm:     fmt.Sprintf("Each mount and unmount, and each start of a container, takes longer; the namespace has %s mounts", check.Number(len(ns.Mounts))),
		Holders:  []check.Holder{holder},
		Evidence: []check.Evidence{{Source: fmt.Sprintf("mnt:[%d]", ns.Inode), Text: fmt.Sprintf("%d mounts of %s %s on %s, of %d in all", n, worst.device, worst.root, worst.point, len(ns.Mounts))}},
		Advice:   []string{"make the program look before it binds, and bind private: a shared bind onto itself is repeated in each of its copies"},
	}
	if n >= fewest && n&(n-1) == 0 {
		f.Cause = fmt.Sprintf("%d is a power of two: a shared mount that is bound onto itself doubles each time, as by a container with Bidirectional propagation at each start", n)
	}
	if most := h.Mounts.Most; most > 0 {
		f.Harm += fmt.Sprintf(", and %s are allowed (fs.mount-max): then each mount fails with ENOSPC", check.Number(most))
		f.Evidence = append(f.Evidence, check.Evidence{Source: "/proc/sys/fs/mount-max", Text: fmt.Sprint(most)})
	}
	if full {
		f.Severity = check.Critical
		if n < fewest {
			f.Title = fmt.Sprintf("the namespace of %s has %s mounts, of %s that fs.mount-max allows", holding.Who(h, holder), check.Number(len(ns.Mounts)), check.Number(h.Mounts.Most))
			f.Cause = "Many different mounts; no single place stands out"
		}
	}
	return f
}
