package collect

import (
	"context"
	"maps"
	"slices"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/census"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/snapshot"
)

// A Narrow says what a question about few mounts can do without. The mounts are
// read once; of processes only those are read that keep what is asked about; and
// runtimes are asked for names only if one of those is in a container.
type Narrow struct {
	// Devices are superblocks, "8:16". Mounts of others are left out, but for
	// what is mounted on these, and see [census.Question].
	Devices []string

	// Means says, by the block devices of a look, which mounts are asked about.
	// nil and no Devices, or Named: all mounts are there.
	Means func(*snapshot.Mounts) Meaning

	// Asked says what is asked about, of a look that has its mounts and blocks
	// and, if Named, its containers. nil: all that is on Devices.
	Asked func(*snapshot.Host) Asked

	// Named says that Asked needs the names that runtimes give, so that they are
	// asked first, and all processes are read.
	Named bool
}

// A Meaning chooses mounts before it is known which there are. Asked and Near may
// depend on a mount's strings and device, and on nothing else.
type Meaning struct {
	Asked func(*snapshot.Mount) bool // with all that are on the same superblocks
	Near  func(*snapshot.Mount) bool // which else are to be there
	Below []string                   // paths: overlays with a layer below one are there too
}

// Asked is what a question turned out to be about.
type Asked struct {
	Namespaces []uint64 // inodes
	Devices    []string
	Mounts     []uint64 // ids
}

// lean reports whether only the processes that keep something are read.
func (l *looker) lean() bool { return l.Narrow != nil && !l.Narrow.Named }

// request is what the census is asked for.
func (l *looker) request(stand *snapshot.Mounts) census.Request {
	req := census.Request{Proc: l.Proc, Whole: true}
	if l.Narrow == nil {
		return req
	}
	req.Passes = 1
	if l.Narrow.Named || len(l.Narrow.Devices) == 0 && l.Narrow.Means == nil {
		return req
	}
	req.Whole = false
	devices := devicesOf(l.Narrow.Devices)
	req.About = &census.Question{Device: func(d mounts.Device) bool { return slices.Contains(devices, d) }}
	if l.Narrow.Means != nil {
		means := l.Narrow.Means(stand)
		req.About.Below = means.Below
		req.About.Asked = func(m *mounts.Mount) bool { to := mountOf(m, m.Device().String()); return means.Asked(&to) }
		req.About.Near = func(m *mounts.Mount) bool {
			to := mountOf(m, m.Device().String())
			return means.Near(&to) || overServer(&to) // see reachable
		}
	}
	return req
}

// asked is what the question is about, nil if it is about all.
func (l *looker) asked() *Asked {
	switch {
	case l.Narrow == nil:
		return nil
	case l.Narrow.Asked != nil:
		asked := l.Narrow.Asked(l.h)
		return &asked
	case len(l.Narrow.Devices) == 0:
		return nil
	}
	asked := Asked{Devices: l.Narrow.Devices}
	for i := range l.h.Mounts.Namespaces {
		ns := &l.h.Mounts.Namespaces[i]
		of := len(asked.Mounts)
		for k := range ns.Mounts {
			if m := &ns.Mounts[k]; slices.Contains(asked.Devices, m.Device) {
				asked.Mounts = append(asked.Mounts, m.ID)
			}
		}
		if len(asked.Mounts) > of {
			asked.Namespaces = append(asked.Namespaces, ns.Inode)
		}
	}
	return &asked
}

// about reports whether a namespace is asked about.
func (a *Asked) about(inode uint64) bool { return a == nil || slices.Contains(a.Namespaces, inode) }

// narrowPins finds what keeps the namespaces that are asked about. What keeps
// others is there as far as it costs nothing more.
func (l *looker) narrowPins(ctx context.Context, table *snapshot.Mounts, asked *Asked) {
	req := holders.PinRequest{Proc: l.Proc, Spaces: l.spaces, InFlight: !l.h.Nested}
	req.Only = !l.wants(snapshot.References) // else layers are sought by processes of any namespace, see Options.Layers
	if asked != nil {
		req.Asked = append([]uint64{}, asked.Namespaces...)
	}
	pins, unknown, err := holders.Pins(ctx, req)
	if err != nil {
		l.missing(snapshot.MountTables, "what keeps mount namespaces", cause(err))
		return
	}
	for _, u := range unknown {
		l.lackOf(snapshot.MountTables, u.What, u.Why)
	}
	for i := range table.Namespaces {
		table.Namespaces[i].Pins = convertPins(pins[table.Namespaces[i].Inode])
	}
}

// keepers reads the processes that keep something, after what they keep, and
// returns the answers of the runtimes if one of them is in a container.
func (l *looker) keepers(ctx context.Context) []reply {
	if l.h.Mounts == nil {
		return nil
	}
	l.places = placeCache{}
	for _, pid := range keeping(l.h.Mounts, l.about) {
		l.process(pid, nil)
	}
	l.h.Sort()
	inContainer := func(p snapshot.Process) bool { return p.Container != "" }
	if !l.wants(snapshot.Names) || !slices.ContainsFunc(l.h.Processes, inContainer) {
		return nil
	}
	l.processes(ctx) // among them the runtimes, which may be stopped
	return l.askRuntimes(ctx)()
}

// keeping lists the processes to name: the first of each kind that keeps a
// namespace, for that is the one that is told, and who has references.
func keeping(all *snapshot.Mounts, asked *Asked) []int {
	pids := map[int]bool{}
	left := make(map[uint64]*snapshot.MountNamespace, len(all.Namespaces)) // that were not looked at: one may be bound in many places
	for i := range all.Namespaces {
		left[all.Namespaces[i].Inode] = &all.Namespaces[i]
	}
	var add func(inode uint64)
	add = func(inode uint64) {
		ns := left[inode]
		if ns == nil {
			return
		}
		delete(left, inode)
		first := map[string]int{}
		for _, p := range ns.Pins {
			if was, ok := first[p.Kind]; !ok || p.PID < was {
				first[p.Kind] = p.PID
			}
			if p.Kind == string(holders.Bind) {
				add(p.Namespace)
			}
		}
		for _, pid := range first {
			pids[pid] = true
		}
	}
	for i := range all.Namespaces {
		if asked.about(all.Namespaces[i].Inode) {
			add(all.Namespaces[i].Inode)
		}
	}
	for _, r := range all.References {
		pids[r.PID] = true
	}
	delete(pids, 0)
	return slices.Sorted(maps.Keys(pids))
}
