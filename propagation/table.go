package propagation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Table holds the mounts of all namespaces, indexed. Asking changes nothing in it, so it may be
// asked from many goroutines.
type Table struct {
	mounts  []Mount
	up      []int            // index of the parent, or none
	key     []string         // the entry of the parent's superblock that it sits on; "" if it cannot be told
	numbers map[string]int32 // of those entries: the same few hundred are in all namespaces
	number  []int32          // as numbers[key]; none as key
	kids    lists
	byKey   lists // as kids, by number, but for those without one
	byID    map[uint64]int
	groups  map[uint64]*group
	devices map[uint64][]int
	owner   map[uint64]uint64 // of a namespace
	roots   map[uint64][]int  // of a namespace; one, unless the table is torn
	last    uint64            // the highest of all ids, of mounts and of groups
}

const none = -1

// Relock is the same table with other locks: by mount, whether it is locked. What is not in it stays as it was.
func (t *Table) Relock(locked map[uint64]bool) *Table {
	out := *t
	out.mounts = slices.Clone(t.mounts)
	for id, is := range locked {
		if i, listed := t.byID[id]; listed {
			out.mounts[i].Locked = is
		}
	}
	return &out
}

// mountedOn is the mount at an entry of another one.
func (t *Table) mountedOn(on int, key string) (i int, is bool) {
	n, known := t.numbers[key]
	if !known {
		return none, false
	}
	kids := t.byKey.of(on)
	at, is := slices.BinarySearchFunc(kids, n, func(i int, n int32) int { return cmp.Compare(t.number[i], n) })
	if !is {
		return none, false
	}
	return kids[at], true
}

// A group is a peer group: who is in it, and who receives from it.
type group struct {
	members, slaves []int
}

// A Problem is something in a table that no kernel would say: a torn or an incomplete read. What
// depends on that mount cannot be trusted.
type Problem struct {
	Mount uint64
	Text  string
}

// New indexes the mounts of all namespaces, in the time that it takes to sort those on each. It
// takes any table: what is contradictory is left out as far as needed (of two mounts with one id
// the second, a parent in another namespace, the link that closes a circle) and listed. The list
// of mounts may become a part of the table: it must not change any more.
func New(mounts []Mount, namespaces []Namespace) (*Table, []Problem) {
	b := builder{t: &Table{
		byID:    make(map[uint64]int, len(mounts)),
		numbers: map[string]int32{},
		groups:  map[uint64]*group{},
		devices: map[uint64][]int{},
		owner:   make(map[uint64]uint64, len(namespaces)),
		roots:   map[uint64][]int{},
	}}
	b.owners(namespaces)
	b.fill(mounts)
	b.link()
	b.cutCircles()
	b.place()
	b.group()
	return b.t, b.problems
}

// A builder makes a table, step by step, and remembers what was wrong.
type builder struct {
	t        *Table
	problems []Problem
}

func (b *builder) problem(id uint64, format string, args ...any) {
	b.problems = append(b.problems, Problem{id, fmt.Sprintf(format, args...)})
}

func (b *builder) owners(namespaces []Namespace) {
	for _, n := range namespaces {
		if was, twice := b.t.owner[n.ID]; twice && was != n.Owner {
			b.problem(0, "namespace %d has two owners: %d and %d", n.ID, was, n.Owner)
			continue
		}
		b.t.owner[n.ID] = n.Owner
	}
}

// fill takes the mounts, each id once. It copies the list, which is large, only if it must differ.
func (b *builder) fill(mounts []Mount) {
	t := b.t
	t.mounts = mounts
	copied := false
	differ := func(before int) {
		if !copied {
			t.mounts, copied = append(make([]Mount, 0, len(mounts)), mounts[:before]...), true
		}
	}
	strange := map[uint64]bool{}
	for i, m := range mounts {
		if _, twice := t.byID[m.ID]; twice || m.ID == 0 {
			b.problem(m.ID, "listed twice, or without an id")
			differ(i)
			continue
		}
		if _, known := t.owner[m.Namespace]; !known && !strange[m.Namespace] {
			strange[m.Namespace] = true
			b.problem(m.ID, "its namespace %d is not listed: the owner is not known", m.Namespace)
		}
		if root, is := strings.CutSuffix(m.Root, "//deleted"); is {
			differ(i)
			m.Root = root
		}
		t.byID[m.ID] = len(t.byID)
		if copied {
			t.mounts = append(t.mounts, m)
		}
		t.last = max(t.last, m.ID, m.Peer, m.Master)
	}
}

// link finds the parents.
func (b *builder) link() {
	t := b.t
	t.up = make([]int, len(t.mounts))
	for i := range t.mounts {
		m := &t.mounts[i]
		p, listed := t.byID[m.Parent]
		switch {
		case !listed || p == i:
			p = none
		case t.mounts[p].Namespace != m.Namespace:
			b.problem(m.ID, "its parent %d is in another namespace", m.Parent)
			p = none
		}
		t.up[i] = p
	}
}

// cutCircles makes a root of one mount in each circle of parents.
func (b *builder) cutCircles() {
	t := b.t
	walk := make([]int, len(t.mounts)) // the walk that came by first, from 1
	for start := range t.mounts {
		last := none
		for i := start; i != none && walk[i] != start+1; i = t.up[i] {
			if walk[i] != 0 {
				last = none
				break
			}
			walk[i], last = start+1, i
		}
		if last != none && t.up[last] != none {
			b.problem(t.mounts[last].ID, "it is below itself: a circle of parents")
			t.up[last] = none
		}
	}
}

// place finds the entry that each mount sits on, and what is below each.
func (b *builder) place() {
	t := b.t
	t.key = make([]string, len(t.mounts))
	t.number = make([]int32, len(t.mounts))
	for i := range t.mounts {
		m, p := &t.mounts[i], t.up[i]
		t.number[i] = none
		if p == none {
			t.roots[m.Namespace] = append(t.roots[m.Namespace], i)
			if all := t.roots[m.Namespace]; len(all) > 1 {
				b.problem(m.ID, "its parent %d is not listed, and mount %d is the root of namespace %d already", m.Parent, t.mounts[all[0]].ID, m.Namespace)
			}
			continue
		}
		key, ok := keyOf(t.mounts[p].Root, t.mounts[p].Point, m.Point)
		if !ok {
			b.problem(m.ID, "it is mounted on %q, but its parent %d on %q", m.Point, m.Parent, t.mounts[p].Point)
			continue
		}
		n, known := t.numbers[key]
		if !known {
			n = int32(len(t.numbers))
			t.numbers[key] = n
		}
		t.key[i], t.number[i] = key, n
	}
	t.kids = listsOf(t.up)
	placed := slices.Clone(t.up)
	for i, n := range t.number {
		if n == none {
			placed[i] = none
		}
	}
	t.byKey = listsOf(placed)
	for p := range t.mounts {
		b.sort(t.byKey.of(p))
	}
}

// sort sorts the mounts on one by their entries. Of several on one entry the first counts.
func (b *builder) sort(kids []int) {
	t := b.t
	slices.SortFunc(kids, func(x, y int) int { return cmp.Or(cmp.Compare(t.number[x], t.number[y]), cmp.Compare(x, y)) })
	first := 0
	for k, i := range kids {
		switch {
		case t.number[i] != t.number[kids[first]]:
			first = k
		case k > first:
			b.problem(t.mounts[i].ID, "it is at the very place of mount %d", t.mounts[kids[first]].ID)
		}
	}
}

// lists are lists of indexes, one for each index, one after the other in a single one.
type lists struct {
	all   []int
	start []int // of each; and the end of the last
}

func (l lists) of(k int) []int { return l.all[l.start[k]:l.start[k+1]:l.start[k+1]] }

// listsOf puts each index into the list that by has for it, unless that is none.
func listsOf(by []int) lists {
	start := make([]int, len(by)+1)
	for _, k := range by {
		if k != none {
			start[k]++
		}
	}
	total := 0
	for k, n := range start {
		total += n
		start[k] = total
	}
	all := make([]int, total)
	for i, k := range slices.Backward(by) { // filled from its end, each begins at last where it should
		if k != none {
			start[k]--
			all[start[k]] = i
		}
	}
	return lists{all, start}
}

// group finds peers, slaves and the mounts of each superblock.
func (b *builder) group() {
	t := b.t
	for i := range t.mounts {
		m := &t.mounts[i]
		t.devices[m.Device] = append(t.devices[m.Device], i)
		if m.Peer != 0 {
			g := t.groupOf(m.Peer)
			g.members = append(g.members, i)
			if first := t.mounts[g.members[0]]; first.Master != m.Master {
				b.problem(m.ID, "its group %d receives from %d here, but from %d at mount %d", m.Peer, m.Master, first.Master, first.ID)
			}
		}
		if m.Master != 0 {
			g := t.groupOf(m.Master)
			g.slaves = append(g.slaves, i)
		}
	}
	for id, g := range t.groups {
		if len(g.members) == 0 {
			b.problem(t.mounts[g.slaves[0]].ID, "it receives from group %d, and nobody listed is in that", id)
		}
	}
	slices.SortStableFunc(b.problems, func(a, b Problem) int { return cmp.Compare(a.Mount, b.Mount) })
}

func (t *Table) groupOf(id uint64) *group {
	g := t.groups[id]
	if g == nil {
		g = new(group)
		t.groups[id] = g
	}
	return g
}
