package propagation

// A blast is an unmount on its way: what goes for sure, and the copies that may.
type blast struct {
	t        *Table
	own      []int        // what the call names
	isOwn    map[int]bool // the same
	copies   []int        // of the victim itself: the call takes their locks off
	unlocked map[int]bool // the same
	reached  []int        // the copies of all own, in a fixed order
	of       map[int]int  // for each of those, one of own
}

// An obstacle keeps a copy: why, and the mount that does.
type obstacle struct {
	why Reason
	by  int
}

func (t *Table) blast(own, copies []int) *blast {
	b := &blast{t: t, own: own, isOwn: set(own), copies: copies, unlocked: set(copies), of: map[int]int{}}
	// One look at the receivers of each group, however many of own are below its members.
	wanted := map[uint64]map[string]int{} // by group and key
	first := map[uint64][]int{}           // by group: of those with one key, the first
	var order []uint64
	for _, i := range own {
		peer := t.mounts[t.up[i]].Peer
		if peer == 0 {
			continue
		}
		if wanted[peer] == nil {
			wanted[peer] = map[string]int{}
			order = append(order, peer)
		}
		if _, twice := wanted[peer][t.key[i]]; !twice {
			wanted[peer][t.key[i]] = i
			first[peer] = append(first[peer], i)
		}
	}
	for _, peer := range order {
		for _, r := range t.reach(peer) {
			b.look(r, first[peer], wanted[peer])
		}
	}
	return b
}

// look finds the copies below one receiver: by its children or by what is wanted, whichever are fewer.
func (b *blast) look(receiver int, first []int, wanted map[string]int) {
	found := func(c, of int) {
		if _, twice := b.of[c]; twice || b.isOwn[c] {
			return
		}
		b.reached = append(b.reached, c)
		b.of[c] = of
	}
	if kids := b.t.kids.of(receiver); len(kids) < len(first) {
		for _, c := range kids {
			of, ok := wanted[b.t.key[c]]
			if at, is := b.t.mountedOn(receiver, b.t.key[c]); ok && is && at == c {
				found(c, of)
			}
		}
		return
	}
	for _, i := range first {
		if c, ok := b.t.mountedOn(receiver, b.t.key[i]); ok {
			found(c, i)
		}
	}
}

func (b *blast) isCopy(i int) bool {
	_, ok := b.of[i]
	return ok
}

func (b *blast) locked(i int) bool { return b.t.mounts[i].Locked && !b.unlocked[i] }

// newer finds the copies that stay on Linux 6.17 and later.
//
// First those that have a submount with anything in it that stays; an overmount does not keep what
// it covers, but being there it keeps what is further out. Then those that are locked to a parent that stays.
//
// Source: Linux 6.18 Documentation/filesystems/propagate_umount.txt.
func (b *blast) newer() map[int]obstacle {
	stays := map[int]obstacle{}
	marked := map[int]bool{} // something below it stays
	for _, s := range b.reached {
		for _, k := range b.t.kids.of(s) {
			if !b.isCopy(k) && !b.isOwn[k] {
				b.mark(k, stays, marked)
			}
		}
	}
	var queue []int
	hold := func(i int) {
		if _, already := stays[i]; already || !b.locked(i) {
			return
		}
		stays[i] = obstacle{Locked, b.t.up[i]}
		queue = append(queue, i)
	}
	for _, s := range b.reached {
		if _, left := stays[b.t.up[s]]; left || !b.isCopy(b.t.up[s]) && !b.isOwn[b.t.up[s]] {
			hold(s)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, k := range b.t.kids.of(queue[0]) {
			if b.isCopy(k) {
				hold(k)
			}
		}
	}
	return stays
}

// mark goes up from a mount that stays and tells each copy that it lies in.
func (b *blast) mark(survivor int, stays map[int]obstacle, marked map[int]bool) {
	for i, by := survivor, survivor; ; {
		p := b.t.up[i]
		if p == none || !b.isCopy(p) {
			return
		}
		if _, already := stays[p]; !already && !b.t.over(i) {
			stays[p] = obstacle{Submount, by}
		}
		if marked[p] {
			return
		}
		marked[p] = true
		if _, left := stays[p]; left {
			by = p
		}
		i = p
	}
}

// older finds the copies that stay before Linux 6.17.
//
// A submount is looked at alone, not what it holds, and an overmount keeps nothing at all. What is
// locked goes only with an unlocked copy under it, and not from its root.
//
// Source: Linux 6.1 fs/pnode.c, propagate_umount, __propagate_umount and umount_one.
func (b *blast) older() map[int]obstacle {
	stays := map[int]obstacle{}
	for _, s := range b.reached {
		for _, k := range b.t.kids.of(s) {
			if !b.isCopy(k) && !b.isOwn[k] {
				b.keepUp(k, stays)
			}
		}
	}
	var queue []int
	free := map[int]bool{}
	for _, s := range b.reached {
		if _, left := stays[s]; !left && !b.locked(s) {
			free[s] = true
			queue = append(queue, s)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, k := range b.t.kids.of(queue[0]) {
			if _, left := stays[k]; b.isCopy(k) && !left && !free[k] && !b.t.over(k) {
				free[k] = true
				queue = append(queue, k)
			}
		}
	}
	for _, s := range b.reached {
		if _, left := stays[s]; !left && !free[s] {
			stays[s] = obstacle{Locked, b.t.up[s]}
		}
	}
	return stays
}

// keepUp keeps the copies that a mount that stays is a submount of.
func (b *blast) keepUp(i int, stays map[int]obstacle) {
	for p := b.t.up[i]; p != none && b.isCopy(p) && !b.t.over(i); i, p = p, b.t.up[p] {
		if _, already := stays[p]; already {
			return
		}
		stays[p] = obstacle{Submount, i}
	}
}

func set(of []int) map[int]bool {
	out := make(map[int]bool, len(of))
	for _, i := range of {
		out[i] = true
	}
	return out
}
