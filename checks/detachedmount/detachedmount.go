package detachedmount

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "detached-mount"

// Check reports each superblock that is mounted nowhere and that open files keep alive.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.MountTables, snapshot.References},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	all := p.Now.Mounts
	if all == nil {
		return nil
	}
	m := holding.MapOf(p.Now)
	kept := map[string][]*snapshot.Reference{}
	var order []string
	for i := range all.References {
		r := &all.References[i]
		if m.Mounted(r.Device) || r.Mount == 0 || p.Now.Mount(r.Mount) != nil {
			continue // btrfs gives files another device than their mount has
		}
		if p.Now.MountNamespaceOf(r.PID) == nil {
			continue // where it lives was not read: it may be mounted there
		}
		if kept[r.Device] == nil {
			order = append(order, r.Device)
		}
		kept[r.Device] = append(kept[r.Device], r)
	}
	slices.Sort(order)
	var found []check.Finding
	for _, device := range order {
		found = append(found, finding(p.Now, device, kept[device]))
	}
	return found
}

func finding(h *snapshot.Host, device string, refs []*snapshot.Reference) check.Finding {
	what := "a file system"
	for _, b := range h.Mounts.Blocks {
		if b.Device == device {
			what = "the file system of /dev/" + b.Name
		}
	}
	f := check.Finding{
		ID:       fmt.Sprintf("%s/%d-%s", name, refs[0].Mount, device),
		Severity: check.Warning,
		Subject:  check.Subject{Kind: "mount", Name: device, Device: device},
		Cause:    "It was unmounted with -l, its mount point was removed while it was in use, or it was made by open_tree and never attached",
		Harm:     "The space of what is deleted on it is not freed, and no mount table shows why",
	}
	for _, r := range refs {
		holder := holding.Name(h, holding.OfReference(r))
		if slices.ContainsFunc(f.Holders, func(o check.Holder) bool { return o.PID == r.PID && o.Kind == holder.Kind }) {
			continue
		}
		f.Holders = append(f.Holders, holder)
		f.Evidence = append(f.Evidence, check.Evidence{Source: source(r), Text: fmt.Sprintf("%q, inode %d on %s, mount %d, which is in no namespace", r.Link, r.Inode, device, r.Mount)})
	}
	f.Title = fmt.Sprintf("%s (%s) is in nobody's mount table and kept alive by %s", what, device, holding.WhoAll(h, f.Holders))
	if !strings.HasPrefix(device, "0:") {
		f.Harm = "The device is in use: it cannot be detached, formatted or removed, and no mount table shows why"
	}
	f.Remedies = []check.Remedy{{Action: "restart-holder", Risk: "disruptive", Why: "nobody can unmount a detached tree; it ends with the last file that is open on it"}}
	f.Advice = []string{"umount without -l says EBUSY instead of hiding who still uses it"}
	return f
}

// source is where the reference was read.
func source(r *snapshot.Reference) string {
	at := fmt.Sprintf("/proc/%d/", r.PID)
	if r.TID != 0 {
		at += fmt.Sprintf("task/%d/", r.TID)
	}
	switch r.Kind {
	case "fd":
		return at + fmt.Sprintf("fd/%d", r.FD)
	case "mmap":
		return at + "map_files"
	}
	return at + r.Kind
}
