package propagation

import "slices"

// An Effect is what one call does to all namespaces.
type Effect struct {
	Errno     int         // of Linux; 0: it succeeds. Refused, it changes nothing
	Refused   Fate        // the mount that the refusal is about, and why; zero if Errno is 0
	Fates     []Fate      // what goes, what goes along, and what one may believe to go but stays
	Changed   []Change    // mounts that stay and are no longer what they were, by id
	Made      []Mount     // new mounts, parents first; ids and groups above all listed are invented
	Namespace []Namespace // new namespaces
	Died      []uint64    // peer groups that lose their last member
}

// The errors that the kernel answers with.
const (
	eperm  = 1
	ebusy  = 16
	einval = 22
	eloop  = 40
)

// A Fate says what becomes of a mount, and why.
type Fate struct {
	Mount     uint64
	Namespace uint64
	Goes      bool
	Why       Reason
	By        uint64 // the mount that decides, see [Reason]; 0 if none does
	Of        uint64 // the mount that this one is a copy of, or looks like
}

// A Change is a mount before and after. What lies below a mount that slides has another point too.
type Change struct {
	Before, After Mount
}

// Gone are the ids of the mounts that go.
func (e Effect) Gone() []uint64 {
	var ids []uint64
	for _, f := range e.Fates {
		if f.Goes {
			ids = append(ids, f.Mount)
		}
	}
	return ids
}

// Apply is the list of mounts after the call, to ask what the next call would do.
func (e Effect) Apply(mounts []Mount) []Mount {
	if e.Errno != 0 {
		return slices.Clone(mounts)
	}
	gone, after := map[uint64]bool{}, map[uint64]Mount{}
	for _, id := range e.Gone() {
		gone[id] = true
	}
	for _, c := range e.Changed {
		after[c.Before.ID] = c.After
	}
	var out []Mount
	for _, m := range mounts {
		if gone[m.ID] {
			continue
		}
		if changed, ok := after[m.ID]; ok {
			m = changed
		}
		out = append(out, m)
	}
	return append(out, e.Made...)
}

// refuse is the effect of a call that fails because of a mount.
func refuse(errno int, about Mount, why Reason, by uint64) Effect {
	return Effect{Errno: errno, Refused: Fate{Mount: about.ID, Namespace: about.Namespace, Why: why, By: by}}
}
