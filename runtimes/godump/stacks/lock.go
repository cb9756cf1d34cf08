package stacks

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/runtimes/godump"
)

// A Lock is a mutex that goroutines wait for.
type Lock struct {
	Lock    string   `json:"lock"` // its address as the dump has it, or that of the object that has it; "" if neither is there
	Waiters int      `json:"waiters"`
	Minutes int      `json:"minutes"` // of the longest wait
	Takers  []string `json:"takers"`  // the functions that wait
	Holders []Holder `json:"holders"` // the likely holder and, behind it, whom that waits for
	Cycle   bool     `json:"cycle"`   // the last of the holders waits for a lock that is there already: a deadlock
	Dump    int      `json:"dump"`
	in      *group   // of the longest wait
}

// A Holder is a goroutine that likely holds a lock, and what it waits for itself.
type Holder struct {
	ID       uint64 `json:"id"`
	Function string `json:"function"`
	Minutes  int    `json:"minutes"`
	Reason   string `json:"reason"` // why it is thought to hold the lock
	Rivals   int    `json:"rivals"` // others of which the same may be thought
	Why      Why    `json:"why"`    // it waits for that
	WaitsFor string `json:"waitsFor"`
	asked    call
}

type lockKey struct {
	dump int
	key  uint64
}

// A lock is one while goroutines are added.
type lock struct {
	shown   string
	waiters int
	minutes int
	id      uint64   // who waits longest
	in      *group   // of that
	takers  []string // at most eight
	owners  []string
	bases   []uint64 // addresses near below it that its waiters have: the object that it is in
}

// inside is how far behind the beginning of its object a mutex may be.
const inside = 0x400

// lockOwner finds the function that takes a lock, if that is what the stack waits
// for. WaitGroups and condition variables wait for events, not for a holder.
func lockOwner(g *godump.Goroutine) (string, bool) {
	mutex := strings.HasPrefix(g.State, "sync.Mutex") || strings.HasPrefix(g.State, "sync.RWMutex")
	for i := range g.Frames {
		f := g.Frames[i].Func
		if pkg, _ := split(f); pkg != "sync" && pkg != "internal/sync" && pkg != "runtime" {
			if mutex {
				return f, true
			}
			return "", false
		}
		if strings.Contains(f, "WaitGroup)") || strings.Contains(f, "Cond)") || strings.Contains(f, "Once)") {
			return "", false
		}
		mutex = mutex || strings.Contains(f, "Mutex")
	}
	return "", mutex
}

// lockAddress finds a mutex by what its methods and the semaphore in it were
// given. key is the same for all ways to wait for one lock, shown is what the dump
// has. Where only leftovers of registers are there, it is the object of the taker.
//
// Source: sync/mutex.go and sync/rwmutex.go: sema is 4 bytes into a Mutex, writerSem
// 8 and readerSem 12 into an RWMutex, which begins with a Mutex.
func lockAddress(g *godump.Goroutine) (key uint64, shown string) {
	var semaphore uint64
	reads, writes := false, false
	for i := range g.Frames {
		f := &g.Frames[i]
		pkg, name := split(f.Func)
		sure := len(f.Args) > 0 && f.Args[0].Sure && f.Args[0].Value > 1<<12
		if pkg != "sync" && pkg != "internal/sync" && pkg != "runtime" {
			if semaphore == 0 && sure {
				return f.Args[0].Value, hex(f.Args[0].Value)
			}
			break
		}
		switch {
		case strings.Contains(name, "Mutex).") && sure:
			return f.Args[0].Value, hex(f.Args[0].Value)
		case strings.Contains(strings.ToLower(name), "semacquire") && sure:
			semaphore = f.Args[0].Value
		}
		reads = reads || strings.Contains(name, "RLock")
		writes = writes || strings.Contains(name, "RWMutex).Lock")
	}
	if semaphore == 0 {
		return 0, ""
	}
	offset := uint64(4)
	if reads {
		offset = 12
	} else if writes {
		offset = 8
	}
	return semaphore - offset, hex(semaphore)
}

func hex(v uint64) string { return fmt.Sprintf("0x%x", v) }

// waiter adds a goroutine to those that wait for its lock.
func (f *Folder) waiter(g *godump.Goroutine, at int, in *group) uint64 {
	addr, shown := lockAddress(g)
	if addr == 0 {
		return 0
	}
	l := f.locks[lockKey{at, addr}]
	if l == nil {
		if len(f.locks) >= mostLocks {
			return addr
		}
		l = &lock{shown: shown, minutes: godump.Unknown - 1}
		f.locks[lockKey{at, addr}] = l
	}
	if g.Headed {
		l.waiters++
	}
	if g.Minutes > l.minutes {
		l.minutes, l.in, l.id = g.Minutes, in, g.ID
	}
	if len(l.takers) < 8 && !slices.Contains(l.takers, in.Function) {
		l.takers = append(l.takers, in.Function)
	}
	if len(l.owners) < 8 && !slices.Contains(l.owners, in.owner) {
		l.owners = append(l.owners, in.owner)
	}
	for i := range g.Frames {
		for _, a := range g.Frames[i].Args {
			if a.Value < addr && addr-a.Value < inside && len(l.bases) < 8 && !slices.Contains(l.bases, a.Value) {
				l.bases = append(l.bases, a.Value)
			}
		}
	}
	return addr
}

// A suspect is a goroutine that may hold a lock.
type suspect struct {
	in     *group
	member member
	score  int
	reason string
	by     string // the function that holds it
}

// suspects finds who likely holds a lock: those for which most speaks.
func (f *Folder) suspects(k lockKey) []suspect {
	l := f.locks[k]
	var best []suspect
	for _, n := range f.order {
		if n.Dump != k.dump {
			continue
		}
		base, by, reason := l.speaksFor(n)
		for _, m := range n.members {
			if m.lock == k.key {
				continue
			}
			s := suspect{n, m, base, reason, by}
			if slices.ContainsFunc(m.pointers, func(p uint64) bool { return p == k.key || slices.Contains(l.bases, p) }) {
				s.score += 4
				s.reason = strings.TrimPrefix(s.reason+", and works on the same object", ", and ")
			}
			if m.minutes >= l.minutes {
				s.score++
			}
			if s.score < 4 || len(best) > 0 && s.score < best[0].score {
				continue
			}
			if len(best) > 0 && s.score > best[0].score {
				best = best[:0]
			}
			if len(best) < 100 {
				best = append(best, s)
			}
		}
	}
	return best
}

// speaksFor weighs what the functions of a stack say.
func (l *lock) speaksFor(n *group) (score int, by, reason string) {
	switch why := n.blocked(); {
	case contains(string(why), string(Called), string(Kernel), string(Child), string(Locked), string(Signed)), n.Why == Kernel: // a call of a moment, too
		score = 1
	case why == Idle:
		score = -3
	}
	for _, owner := range l.owners {
		for _, h := range known().Holders {
			if !has(owner, h.Lock) {
				continue
			}
			if i := slices.IndexFunc(n.Functions, func(f string) bool { return has(f, h.By) }); i >= 0 {
				return score + 3, n.Functions[i], "it is known to hold such a lock while it waits"
			}
		}
	}
	for _, owner := range l.owners {
		if n.Why != Idle && owner != "" && slices.Contains(n.Functions, owner) {
			return score + 2, owner, "it is past the place where the others wait"
		}
	}
	return score, n.Function, ""
}

// listLocks tells of each lock who waits and who likely holds it, most waiters first.
func (f *Folder) listLocks() []Lock {
	keys := make([]lockKey, 0, len(f.locks))
	for k := range f.locks {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b lockKey) int {
		x, y := f.locks[a], f.locks[b]
		if x.waiters != y.waiters {
			return y.waiters - x.waiters
		}
		if x.minutes != y.minutes {
			return y.minutes - x.minutes
		}
		if a.dump != b.dump {
			return a.dump - b.dump
		}
		if a.key < b.key {
			return -1
		}
		return 1
	})
	out := []Lock{}
	for _, k := range keys[:min(len(keys), 20)] {
		l := f.locks[k]
		one := Lock{Lock: l.shown, Waiters: l.waiters, Minutes: l.minutes, Takers: l.takers, Dump: k.dump, in: l.in}
		one.Holders, one.Cycle = f.chain(k)
		out = append(out, one)
	}
	return out
}

// chain follows a lock to its holder, and if that waits for another lock, to the
// holder of that.
func (f *Folder) chain(k lockKey) (out []Holder, cycle bool) {
	seen := map[lockKey]bool{}
	for range 8 {
		seen[k] = true
		all := f.suspects(k)
		if len(all) == 0 {
			return out, false
		}
		s := all[0]
		h := Holder{ID: s.member.id, Function: s.by, Minutes: s.member.minutes, Reason: s.reason, Rivals: len(all) - 1, Why: s.in.blocked(), WaitsFor: s.in.waitsFor(), asked: s.in.call}
		next := lockKey{k.dump, s.member.lock}
		l := f.locks[next]
		if l == nil {
			return append(out, h), false
		}
		h.WaitsFor = "the lock " + l.shown
		out = append(out, h)
		if seen[next] {
			return out, true
		}
		k = next
	}
	return out, false
}
