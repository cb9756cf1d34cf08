// Package stacks says what a process was doing when its goroutines were dumped:
// who waits for whom, which lock, call, child or disk is at the end of it.
//
// Go records neither who holds a mutex nor which container a goroutine works
// for. What is said of holders is therefore likely, never certain, and no id is
// guessed from arguments, which are pointers.
package stacks

import (
	"hash/maphash"

	"sexton.dev/runtimes/godump"
)

// Bounds of what is kept of a dump of any size. What is over them is counted.
const (
	mostGroups   = 10_000
	mostNames    = 32 << 20 // bytes of functions' names in all groups
	mostLocks    = 20_000
	mostDumps    = 64
	mostMembers  = 20_000 // goroutines of which more than the count is kept
	mostPointers = 48     // of one of these
)

// A Why is what a goroutine waits for.
type Why string

// From the one that blocks others to the one that is no trouble.
const (
	Kernel Why = "kernel" // a system call that should end soon: fsync, umount, udev
	Called Why = "call"   // another daemon's answer, or a runc that it started
	Locked Why = "lock"
	Signed Why = "signature" // another wait that is known to be trouble
	Child  Why = "child"     // a process that it started
	Send   Why = "send"      // somebody to receive from a channel
	Write  Why = "write"     // somebody to read from a pipe or socket
	Idle   Why = "idle"      // work, or nothing that is known to be trouble
)

// A Report is what a text with dumps says.
type Report struct {
	Goroutines        int      `json:"goroutines"`        // complete headers
	Layer             string   `json:"layer"`             // dockerd, containerd, shim, runc, kubelet; "" if nothing says so
	BlockedFunction   string   `json:"blockedFunction"`   // the most telling one; "" if nothing is blocked
	WaitersOnSameLock int      `json:"waitersOnSameLock"` // the most for one lock
	Lock              string   `json:"lock"`              // its address, as the dump has it
	Conclusion        string   `json:"conclusion"`
	Sentences         []string `json:"-"` // of the conclusion
	Dumps             []Dump   `json:"dumps"`
	Calls             []Call   `json:"calls"`
	Locks             []Lock   `json:"locks"`
	Signatures        []Match  `json:"signatures"`
	Groups            []Group  `json:"groups"`
	Lost              []string `json:"lost"` // what the text lacks, in sentences
}

// A Dump is one of the dumps in a text.
type Dump struct {
	Layer      string `json:"layer"`
	Goroutines int    `json:"goroutines"`
	Namespace  string `json:"namespace,omitempty"` // of a shim whose log line tells them
	Container  string `json:"container,omitempty"`
	PID        int    `json:"pid,omitempty"`
	Still      int    `json:"still,omitempty"` // goroutines that are blocked where they were in an earlier dump of the same process
}

// A Group are goroutines with the same stack and state.
type Group struct {
	Goroutines int      `json:"goroutines"`
	State      string   `json:"state"`
	Minutes    int      `json:"minutes"` // of the one that waits longest; -1: the text does not say
	Why        Why      `json:"why"`
	Function   string   `json:"function"` // the most telling of Functions
	Functions  []string `json:"functions"`
	Creator    string   `json:"createdBy,omitempty"`
	IDs        []uint64 `json:"ids"` // of at most eight
	Dump       int      `json:"dump"`
}

// A group is one while goroutines are added.
type group struct {
	Group
	call    call
	owner   string // of a lock: the function that takes it
	age     int    // minutes that a goroutine must wait to be counted as blocked
	members []member
}

// A member is what is kept of one goroutine to find who holds a lock.
type member struct {
	id       uint64
	minutes  int
	lock     uint64 // that it waits for
	pointers []uint64
}

// A Folder takes goroutines and keeps groups of them.
type Folder struct {
	groups  map[key]*group
	order   []*group
	locks   map[lockKey]*lock
	dumps   []dump
	seed    maphash.Seed
	names   int // bytes
	members int
	over    int // goroutines in no group, since there are too many
	headed  int
}

type key struct {
	dump  int
	stack uint64
}

// New gives a Folder that is empty.
func New() *Folder {
	return &Folder{groups: map[key]*group{}, locks: map[lockKey]*lock{}, seed: maphash.MakeSeed()}
}

// Add takes one goroutine.
func (f *Folder) Add(g *godump.Goroutine) {
	at := min(g.Dump, mostDumps-1)
	for len(f.dumps) <= at {
		f.dumps = append(f.dumps, dump{votes: map[string]int{}})
	}
	if g.Headed {
		f.headed++
		f.dumps[at].Goroutines++
	}
	k := key{at, f.hash(g)}
	in := f.groups[k]
	if in == nil {
		if in = f.newGroup(g, at); in == nil {
			f.over++
			return
		}
		f.groups[k] = in
		f.order = append(f.order, in)
	}
	in.Goroutines++
	in.Minutes = max(in.Minutes, g.Minutes)
	if len(in.IDs) < 8 && g.Headed {
		in.IDs = append(in.IDs, g.ID)
	}
	m := member{id: g.ID, minutes: g.Minutes}
	if in.Why == Locked {
		m.lock = f.waiter(g, at, in)
	}
	f.keep(in, m, g)
}

// hash is that of state and functions. Its seed is random, so that no text can be
// made in which different stacks are one.
func (f *Folder) hash(g *godump.Goroutine) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	h.WriteString(g.State)
	if g.Headed {
		h.WriteByte(1)
	}
	for i := range g.Frames {
		h.WriteString(g.Frames[i].Func)
		h.WriteByte(0)
	}
	h.WriteString(g.Creator)
	return h.Sum64()
}

func (f *Folder) newGroup(g *godump.Goroutine, at int) *group {
	size := len(g.Creator) + len(g.State)
	for i := range g.Frames {
		size += len(g.Frames[i].Func)
	}
	if len(f.order) >= mostGroups || f.names+size > mostNames {
		return nil
	}
	f.names += size
	n := &group{Group: Group{State: g.State, Minutes: g.Minutes, Creator: g.Creator, Dump: at}}
	for i := range g.Frames {
		n.Functions = append(n.Functions, g.Frames[i].Func)
	}
	n.classify(g)
	n.Function = telling(n.Functions)
	f.dumps[at].vote(g)
	return n
}

// keep remembers the pointers of some members: of each group the first, of those
// that are blocked the first 64.
func (f *Folder) keep(in *group, m member, g *godump.Goroutine) {
	most := 64
	if in.Why == Idle {
		most = 4
	}
	if len(in.members) >= most || len(in.members) > 0 && f.members >= mostMembers {
		return
	}
	for i := range g.Frames {
		for _, a := range g.Frames[i].Args {
			if a.Sure && a.Value > 1<<16 && len(m.pointers) < mostPointers {
				m.pointers = append(m.pointers, a.Value)
			}
		}
	}
	f.members++
	in.members = append(in.members, m)
}
