package census

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/bpf"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
)

// fewMounts are so many that to load a BPF program costs more than it saves.
const fewMounts = 1024

func (r *Request) few() int {
	if r.fewMounts != 0 {
		return r.fewMounts
	}
	return fewMounts
}

// also is what the kernelReader has to tell in this pass, too.
func (r *fastReader) also() (also bpf.Also) {
	if r.req.About == nil {
		also |= bpf.Peers
	}
	if r.withTexts() || r.req.About != nil && r.req.About.Asked != nil {
		also |= bpf.Sources
	}
	return also
}

// beginKernel begins a pass of the kernelReader.
func (r *fastReader) beginKernel() {
	r.kernel.forget()
	r.kernel.Tell(r.also())
}

// begin begins a pass.
func (r *fastReader) begin(ctx context.Context) error {
	r.met, r.early = 0, map[uint64]found{}
	if r.kernel != nil {
		r.beginKernel()
	}
	return r.sources.begin(ctx, r.asksTexts())
}

// readEarly reads a namespace, whose file is open, in the kernel, if many mounts have been met.
// Where that fails it is read by its id when it has its turn, as all are without BPF.
func (r *fastReader) readEarly(fd int, ns mounts.Namespace) error {
	r.met += ns.Hidden
	if r.req.Locked || r.met < r.req.few() || ns.Inode == r.inode { // see fromOutside
		return nil
	}
	if len(r.early) == 0 {
		if ready, err := r.ready(); !ready || err != nil {
			return err
		}
	}
	if f, ok := r.findTold(fd, ns); ok {
		r.early[ns.ID] = f
		r.byKernel = true
	}
	r.slice.Yield()
	return nil
}

// findTold is find by the kernelReader. It is not ok where that fails, or mounts came, went or moved.
func (r *fastReader) findTold(fd int, ns mounts.Namespace) (f found, ok bool) {
	k := r.kernel
	f.Namespace = ns
	err := k.read(fd)
	switch {
	case err != nil:
		return f, false
	case r.req.About == nil:
		err = r.listTold(&f.Namespace)
	default:
		f.entries, err = r.entriesTold(&f.Namespace)
	}
	if err == nil && len(k.learned) == 0 {
		_, _, err = r.caller.Stat(ns.ID, k.mounts[0].ID, statmount.Basic, &r.mount) // for the kernel's lock alone
	}
	if err != nil || !k.stood(fd, ns.ID) {
		k.unlearn()
		return f, false
	}
	return f, true
}

// ready loads the program and reads our own namespace, which comes first: see forEach.
func (r *fastReader) ready() (bool, error) {
	if r.kernel == nil && r.noBPF == nil {
		if r.kernel, r.noBPF = newKernelReader(); r.kernel != nil {
			r.beginKernel()
		}
	}
	if r.kernel == nil {
		return false, nil
	}
	info, err := nsfs.Get(r.own)
	if err != nil {
		return false, err
	}
	own, err := r.identify(r.own, info)
	if err != nil {
		return false, err
	}
	return true, r.fromOutside(func() (err error) {
		r.early[own.ID], err = r.find(own)
		return err
	})
}

// learn asks statmount for the texts of a class, by one of its mounts.
func (r *fastReader) learn(ns uint64, m *bpf.Mount, class int32) (t *told, err error) {
	t = &r.kernel.told[class]
	if t.from != nil {
		return t, nil
	}
	r.kernel.learned = append(r.kernel.learned, class)
	magic, err := r.place(ns, m.ID, &t.Mount)
	if err == nil {
		t.from, err = r.superOf(ns, magic, &t.Mount)
	}
	if err != nil {
		return t, err
	}
	t.judge(r.req.About)
	return t, nil
}

// entriesTold is entries of what the kernelReader has read.
func (r *fastReader) entriesTold(ns *mounts.Namespace) ([]entry, error) {
	k, q, all := r.kernel, r.req.About, r.read[:0]
	for i := range k.mounts {
		m, class := &k.mounts[i], k.classes[i]
		if class == notListed {
			continue
		}
		e := entry{id: m.ID, old: m.OldID, parent: m.OldParent, device: m.Device(), overlay: m.Magic == mounts.OverlayMagic}
		if q.Asked != nil || m.Magic == mounts.NamespaceMagic {
			t, err := r.learn(ns.ID, m, class)
			if errors.Is(err, unix.ENOENT) {
				continue
			} else if err != nil {
				return nil, err
			}
			_, e.binds = mounts.BoundNamespace(&t.Mount)
			e.asked, e.near = t.asked, t.near
		}
		if q.Asked == nil {
			e.asked = q.Device(e.device)
		}
		all = append(all, e)
	}
	r.read = all
	ns.Hidden = max(0, ns.Hidden-len(all))
	return r.rest(all), nil
}

// listTold is list of what the kernelReader has read.
func (r *fastReader) listTold(ns *mounts.Namespace) error {
	k, all := r.kernel, r.all[:0]
	for i := range k.mounts {
		m, class := &k.mounts[i], k.classes[i]
		if class == notListed {
			continue
		}
		out, err := r.describe(ns.ID, m, class)
		switch {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			return err
		default:
			all = append(all, out)
		}
	}
	r.all = all
	ns.Hidden = max(0, ns.Hidden-len(all))
	r.keep(ns)
	return nil
}

// describe is a mount as statmount would tell it.
func (r *fastReader) describe(ns uint64, m *bpf.Mount, class int32) (out mounts.Mount, err error) {
	if r.withTexts() || m.Magic == mounts.NamespaceMagic {
		t, err := r.learn(ns, m, class)
		if err != nil {
			return out, err
		}
		out.Root, out.MountPoint, out.Type = t.Root, t.MountPoint, t.Type
		if r.withTexts() {
			out.Source, out.Super = t.Source, t.Super
		}
	}
	on := m.Device()
	out.ID, out.Parent, out.UniqueID, out.UniqueParent = int(m.OldID), int(m.OldParent), m.ID, m.Parent
	out.Major, out.Minor, out.Shared, out.Master = on.Major, on.Minor, int(m.Shared), int(m.Master)
	out.Unbindable = r.kernel.Unbindable(m)
	return out, nil
}
