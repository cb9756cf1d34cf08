package verdict

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sexton.dev/propagation"
)

// An answer is a verdict on one copy.
type answer struct {
	verdict, why string
	guess        bool // the mounts' own tags suggest it; what decides is not listed
}

// copy judges one copy c, in to, of the mount m that is unmounted in from.
func (j *judge) copy(from, to Side, m, c propagation.Mount, effect propagation.Effect) answer {
	fate := fateOf(effect, c.ID)
	parent, above := j.above(m.ID)
	below, known := j.above(c.ID)
	switch {
	case fate != nil && fate.Goes: // what the table has of the way is enough
		return j.unlessCovered(from, to, m, c, j.goes(*fate, to))
	case fate != nil && fate.Why == propagation.Submount: // reached, too
		return j.kept(from, to, m, fate, effect)
	case m.Point == "/":
		return answer{Stays, fmt.Sprintf("in %s it is the root, which sexton never unmounts", from.Name), false}
	case !above && known && tags(below) == "private": // whatever the victim's parent is
		return answer{Stays, fmt.Sprintf("its parent in %s, %s, is private: no unmount reaches what is on it", to.Name, name(below)), false}
	case !(known && tags(below) == "private") && j.alongWith(from, m, c, effect):
		return answer{Unknown, fmt.Sprintf("--detach takes all that is mounted on it in %s, and the excerpt does not show whether %s in %s is a copy of that", from.Name, name(c), to.Name), false}
	case above && parent.Peer == 0:
		return answer{Stays, fmt.Sprintf("its parent in %s, %s, is %s: an unmount on it is told to nobody", from.Name, name(parent), withGroups(parent)), false}
	case !above || !known:
		return j.withoutParents(from, to, m, c)
	}
	if !j.q.Complete {
		if v, why := j.leads(parent, below, to); v != Goes {
			return answer{v, why, false}
		}
	}
	switch {
	case effect.Errno != 0:
		return answer{Stays, j.refused(effect), false}
	case fate == nil:
		return answer{Stays, fmt.Sprintf("%s in %s is no copy of it: it shows another part of the file system", name(c), to.Name), false}
	}
	return answer{Stays, j.stays(*fate, parent, to), false}
}

// unlessCovered doubts that a copy goes where a line shows a mount below it, or on or
// below the mount that is unmounted, and nothing says what that is on.
func (j *judge) unlessCovered(from, to Side, m, c propagation.Mount, why string) answer {
	if at, is := to.looseBelow(c); is {
		return answer{Unknown, fmt.Sprintf("%s is mounted below it in %s, and the excerpt does not show on what: if on it, it stays", at, to.Name), false}
	}
	if at, is := from.looseOn(m); is && !j.q.Lazy {
		return answer{Unknown, fmt.Sprintf("the excerpt does not show what %s in %s is mounted on: if on it, the unmount fails (EBUSY)", at, from.Name), false}
	}
	if !to.Whole || !from.Whole && !j.q.Lazy {
		why += ", if no mount on it is left out"
	}
	return answer{Goes, why + j.covered(from, m), false}
}

// covered says what has to be unmounted first, as far as all mounts of a namespace are known.
func (j *judge) covered(from Side, m propagation.Mount) string {
	at, ok := j.t.Resolve(from.Namespace, m.Point)
	if !ok || !from.Whole || at.Mount == m.ID {
		return ""
	}
	top, _ := j.t.Mount(at.Mount)
	return fmt.Sprintf("; in %s another mount, on %s, covers it and has to go first", from.Name, name(top))
}

// kept judges a copy that has a submount which seems to stay. With --detach what is
// mounted on the victim goes as well, with its copies: that submount may be one, or
// what keeps it in turn.
func (j *judge) kept(from, to Side, m propagation.Mount, fate *propagation.Fate, effect propagation.Effect) answer {
	first, _ := j.t.Mount(fate.By)
	for ; fate != nil && fate.Why == propagation.Submount; fate = fateOf(effect, fate.By) {
		by, _ := j.t.Mount(fate.By)
		if j.alongWith(from, m, by, effect) {
			return answer{Unknown, fmt.Sprintf("in %s, %s is mounted on it, and the excerpt does not show whether that goes as well", to.Name, name(by)), false}
		}
	}
	return answer{Stays, submount(to, first), false}
}

func fateOf(effect propagation.Effect, id uint64) *propagation.Fate {
	for i := range effect.Fates {
		if effect.Fates[i].Mount == id {
			return &effect.Fates[i]
		}
	}
	return nil
}

// alongWith says that a mount that seems to stay may be a copy of one that --detach
// takes along with the victim: a line of that, or of a group on the way, may be missing.
func (j *judge) alongWith(from Side, m, c propagation.Mount, effect propagation.Effect) bool {
	if !j.q.Lazy || j.q.Complete || effect.Errno != 0 || c.Point == "/" {
		return false
	}
	if _, is := from.looseOn(m); is {
		return true
	}
	on, known := j.above(c.ID)
	for _, f := range effect.Fates {
		u, _ := j.t.Mount(f.Mount)
		if f.Why == propagation.Below && u.Device == c.Device && u.Root == c.Root {
			w, is := j.above(u.ID)
			if !is || !known {
				return true
			}
			if _, v := j.chainTo(w.Peer, on); w.Peer != 0 && v == Unknown {
				return true
			}
		}
	}
	return false
}

// looseBelow is a place below a mount where something is of which nobody knows what it is on.
func (s Side) looseBelow(m propagation.Mount) (at string, is bool) {
	for _, id := range slices.Sorted(maps.Keys(s.Loose)) {
		if point := s.Loose[id]; id != m.ID && strings.HasPrefix(point, strings.TrimSuffix(m.Point, "/")+"/") {
			return point, true
		}
	}
	return "", false
}

// looseOn is the same on a mount: at its own place, too.
func (s Side) looseOn(m propagation.Mount) (at string, is bool) {
	for _, id := range slices.Sorted(maps.Keys(s.Loose)) {
		if point := s.Loose[id]; id != m.ID && point == m.Point {
			return point, true
		}
	}
	return s.looseBelow(m)
}

// above is the mount that another one is on, if its propagation is known.
func (j *judge) above(id uint64) (propagation.Mount, bool) {
	place, ok := j.t.On(id)
	if !ok || j.q.Untagged[place.Mount] {
		return propagation.Mount{}, false
	}
	return j.t.Mount(place.Mount)
}

// leads says whether the events of a parent reach another, if some mounts on the
// way may be missing in the table.
func (j *judge) leads(parent, below propagation.Mount, to Side) (verdict, why string) {
	unlisted, v := j.chainTo(parent.Peer, below)
	switch {
	case v == Stays:
		why = fmt.Sprintf("its parent in %s, %s, is %s: it receives nothing from group %d", to.Name, name(below), withGroups(below), parent.Peer)
	case v == Unknown:
		why = fmt.Sprintf("its parent in %s, %s, receives from group %d, and the excerpt has no member of that: whether it receives from group %d in turn is not known", to.Name, name(below), unlisted, parent.Peer)
	}
	return v, why
}

// chainTo follows the groups that a mount receives from up to a group: Goes if it
// gets there, Unknown if no member of a group on the way is listed.
func (j *judge) chainTo(group uint64, m propagation.Mount) (unlisted uint64, verdict string) {
	if m.Peer == group {
		return 0, Goes
	}
	seen := map[uint64]bool{}
	for master := m.Master; ; {
		switch {
		case master == 0:
			return 0, Stays
		case master == group:
			return 0, Goes
		}
		next, listed := j.t.GroupMaster(master)
		if !listed || seen[master] { // no kernel has circles: those are tables of two hours
			return master, Unknown
		}
		seen[master] = true
		master = next
	}
}

// withoutParents judges where the parents, which decide, are not listed: by what is
// mounted on the two, and else by their tags.
func (j *judge) withoutParents(from, to Side, m, c propagation.Mount) answer {
	if on := j.t.Mounted(m.ID); len(on) > 0 && !j.q.Lazy {
		return answer{Stays, busy(on[0]), false}
	}
	for _, k := range j.t.Mounted(c.ID) {
		if copied := k.Device == m.Device && k.Root == m.Root; k.Point != c.Point && !j.q.Lazy && !copied {
			return answer{Stays, submount(to, k), false}
		}
	}
	if j.q.Untagged[m.ID] {
		return untagged(from)
	}
	if j.q.Untagged[c.ID] {
		return untagged(to)
	}
	a := j.byTags(to, m, c)
	if doubt := j.unlessCovered(from, to, m, c, ""); a.verdict == Goes && doubt.verdict == Unknown {
		return doubt
	}
	return a
}

func untagged(s Side) answer {
	return answer{Unknown, fmt.Sprintf("the text of %s does not show propagation; /proc/PID/mountinfo does", s.Name), false}
}

// byTags judges by the mounts' own tags. What is mounted below a shared mount becomes
// shared, so a private mount was made below a private one, or private later; a copy's
// group was cloned with its parent's.
func (j *judge) byTags(to Side, m, c propagation.Mount) answer {
	const guess = ": likely only, by their own tags; the mounts that they are on decide, and the excerpt has not both (cat /proc/PID/mountinfo has)"
	if c.Point == "/" {
		return answer{Stays, fmt.Sprintf("it is the root of %s: what that is on is in no table, and mostly private", to.Name), true}
	}
	if m.Peer == 0 {
		return answer{Stays, fmt.Sprintf("the mount that is unmounted is %s and has no peers or slaves", withGroups(m)) + guess, true}
	}
	unlisted, v := j.chainTo(m.Peer, c)
	switch {
	case v == Unknown:
		return answer{Unknown, fmt.Sprintf("the copy receives from group %d, and the excerpt has no member of that", unlisted), false}
	case v == Stays:
		return answer{Stays, fmt.Sprintf("the copy is %s: it does not receive from group %d", withGroups(c), m.Peer) + guess, true}
	case !samePlace(m, c):
		return answer{Unknown, fmt.Sprintf("the copy is at another place, %s, and the excerpt does not show what it is on: a bind stays, and what came with its parent goes", name(c)), false}
	case c.Peer == m.Peer:
		return answer{Goes, fmt.Sprintf("the copy is in the same peer group, %d", m.Peer) + guess, true}
	}
	return answer{Goes, fmt.Sprintf("the copy is %s: it receives from group %d", withGroups(c), m.Peer) + guess, true}
}

// samePlace says that two mounts have one path, but for what a container has in front.
func samePlace(m, c propagation.Mount) bool {
	return strings.HasSuffix(m.Point, c.Point) || strings.HasSuffix(c.Point, m.Point)
}
