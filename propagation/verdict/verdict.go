// Package verdict says, for each pair of mount namespaces, whether an unmount in
// the one reaches the other's copy, and why, in words. It judges whole tables
// and excerpts that people paste; what an excerpt does not decide is unknown.
package verdict

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/propagation"
)

// A Side is one mount namespace in the question.
type Side struct {
	Name      string
	Namespace uint64   // in the table
	Targets   []uint64 // the mounts that are the target there; the one that its path leads to is the last
	Whole     bool     // the table has all mounts of this namespace

	// Loose are the mounts of which the text does not show what they are on, since
	// that line is missing or they are of /proc/mounts: their mount points, by id.
	Loose map[uint64]string
}

// A Question is what is asked of a table.
type Question struct {
	Target   string   // as people name it
	Sides    []Side   // every namespace that is asked about
	From     []string // names of the sides to unmount from; nil: all
	Lazy     bool     // MNT_DETACH
	Complete bool     // the table has every mount of every namespace of the host
	Older    bool     // the kernel is before Linux 6.17

	// Unsure are the mounts of which nobody knows whether they are locked: what
	// the table says is a guess. Asked are those that the kernel was asked about.
	Unsure, Asked map[uint64]bool

	// Untagged are the mounts of which the text does not say how they propagate, as
	// /proc/mounts does not and a line that was cut.
	Untagged map[uint64]bool

	// Users are those that use a mount, in words, by its id: a plain unmount of it,
	// or of what it is a copy of, is refused.
	Users map[uint64]string
}

// An Answer is what the commands print.
type Answer struct {
	Target     string      `json:"target"`
	Namespaces []Namespace `json:"namespaces"`
	Parents    []string    `json:"parents"` // mount points above the target, nearest first, in the first namespace that has it
	Chain      []Link      `json:"chain"`   // the same for all namespaces, from the target up
	Verdicts   []Pair      `json:"verdicts"`
	Refused    []Refusal   `json:"refused,omitempty"` // the unmounts that fail: nothing goes
	Differ     bool        `json:"differ,omitempty"`  // kernels before 6.17 and later ones do not agree; Kernel says which was asked
	Kernel     string      `json:"kernel,omitempty"`
}

// A Namespace says how the target stands in one namespace.
type Namespace struct {
	Name        string `json:"name"`
	Propagation string `json:"propagation"` // private, shared, slave, shared+slave, absent, unknown
	Shared      uint64 `json:"shared"`
	Master      uint64 `json:"master"`
	Locked      string `json:"locked,omitempty"` // yes, no: the kernel was asked; likely, unlikely: as owners and ids suggest; "": nothing suggests it
}

// A Link is one mount of a parent chain.
type Link struct {
	Namespace   string `json:"namespace"`
	Path        string `json:"path"`
	Root        string `json:"root"`
	Propagation string `json:"propagation"`
	Shared      uint64 `json:"shared"`
	Master      uint64 `json:"master"`
}

// A Pair is the verdict on an unmount in From for the copy in To.
type Pair struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Verdict string `json:"verdict"` // goes, stays, unknown
	Why     string `json:"why"`
	Likely  bool   `json:"likely,omitempty"` // it rests on a lock that is not known, or on the tags of the mounts alone
}

// A Refusal is an unmount that the kernel refuses.
type Refusal struct {
	From  string `json:"from"`
	Errno string `json:"errno"`
	Why   string `json:"why"`
}

// The verdicts.
const (
	Goes    = "goes"
	Stays   = "stays"
	Unknown = "unknown"
)

// Judge answers a question.
func Judge(t *propagation.Table, q Question) Answer {
	j := judge{t: t, q: q, held: make(map[uint64]bool, len(q.Users))}
	for id := range q.Users {
		j.held[id] = true
	}
	j.q.Sides = slices.Clone(q.Sides)
	for i := range j.q.Sides {
		j.lead(&j.q.Sides[i])
	}
	q.Sides = j.q.Sides
	a := Answer{Target: q.Target, Namespaces: []Namespace{}, Parents: []string{}, Chain: []Link{}, Verdicts: []Pair{}}
	for _, s := range q.Sides {
		a.Namespaces = append(a.Namespaces, j.standing(s))
		chain := j.chain(s)
		if len(a.Parents) == 0 && len(chain) > 0 {
			for _, l := range chain[1:] {
				a.Parents = append(a.Parents, l.Path)
			}
		}
		a.Chain = append(a.Chain, chain...)
	}
	extremes := j.extremes()
	for _, from := range q.Sides {
		if q.From != nil && !slices.Contains(q.From, from.Name) {
			continue
		}
		effect := j.unmount(from)
		a.Verdicts = append(a.Verdicts, j.pairs(from, effect, extremes)...)
		if e := effect.Errno; q.Complete && e != 0 && len(from.Targets) > 0 {
			a.Refused = append(a.Refused, Refusal{from.Name, errnos[e], j.refused(effect)})
		}
	}
	if j.differ {
		a.Differ, a.Kernel = true, map[bool]string{true: "before 6.17", false: "6.17 and later"}[q.Older]
	}
	return a
}

type judge struct {
	t      *propagation.Table
	q      Question
	held   map[uint64]bool // of the mounts that have users
	differ bool
}

// pairs judges an unmount in one namespace for all others.
func (j *judge) pairs(from Side, effect propagation.Effect, extremes []*judge) []Pair {
	var effects []propagation.Effect
	for _, e := range extremes {
		effects = append(effects, e.unmount(from))
	}
	var out []Pair
	for _, to := range j.q.Sides {
		if to.Name == from.Name {
			continue
		}
		a := j.pair(from, to, effect)
		p := Pair{From: from.Name, To: to.Name, Verdict: a.verdict, Why: a.why, Likely: a.guess}
		for i, e := range extremes {
			if e.pair(from, to, effects[i]).verdict != a.verdict && !p.Likely {
				p.Likely = true
				p.Why += likely
			}
		}
		out = append(out, p)
	}
	return out
}

// extremes judge as if none of the locks that are not known were there, and all
// of them. A lock only ever keeps, so nothing is beyond those two.
func (j *judge) extremes() []*judge {
	if len(j.q.Unsure) == 0 {
		return nil
	}
	var out []*judge
	for _, is := range []bool{false, true} {
		locks := make(map[uint64]bool, len(j.q.Unsure))
		for id := range j.q.Unsure {
			locks[id] = is
		}
		out = append(out, &judge{t: j.t.Relock(locks), q: j.q, held: j.held})
	}
	return out
}

// lead makes the last of a side's targets the one that the path leads to: of several
// on it, the others are covered, by what is on them or on a parent.
func (j *judge) lead(s *Side) {
	if !s.Whole || !strings.HasPrefix(j.q.Target, "/") {
		return
	}
	at, ok := j.t.Resolve(s.Namespace, j.q.Target)
	m, _ := j.t.Mount(at.Mount)
	if i := slices.Index(s.Targets, at.Mount); ok && i >= 0 && m.Root == at.Path {
		s.Targets = append(slices.Delete(slices.Clone(s.Targets), i, i+1), at.Mount)
	}
}

// target is the mount that an unmount by path takes.
func (s Side) target() uint64 {
	if len(s.Targets) == 0 {
		return 0
	}
	return s.Targets[len(s.Targets)-1]
}

func (j *judge) standing(s Side) Namespace {
	n := Namespace{Name: s.Name, Propagation: "unknown"}
	m, ok := j.t.Mount(s.target())
	switch {
	case !ok && s.Whole:
		n.Propagation = "absent"
	case ok && !j.q.Untagged[m.ID]:
		n.Propagation, n.Shared, n.Master = tags(m), m.Peer, m.Master
		n.Locked = j.lock(m)
	}
	return n
}

// lock says in a word what is known of a mount's lock.
func (j *judge) lock(m propagation.Mount) string {
	word := map[bool]string{true: "yes", false: "no"}
	if j.q.Unsure[m.ID] {
		word = map[bool]string{true: "likely", false: "unlikely"}
	} else if !j.q.Asked[m.ID] {
		return ""
	}
	return word[m.Locked]
}

// tags is the kind of a mount, as proc_pid_mountinfo(5) has it.
func tags(m propagation.Mount) string {
	switch {
	case m.Peer != 0 && m.Master != 0:
		return "shared+slave"
	case m.Peer != 0:
		return "shared"
	case m.Master != 0:
		return "slave"
	}
	return "private"
}

// chain is the target and what is above it, as far as the table goes.
func (j *judge) chain(s Side) []Link {
	var out []Link
	for at := s.target(); ; {
		m, ok := j.t.Mount(at)
		if !ok {
			return out
		}
		l := Link{s.Name, m.Point, m.Root, tags(m), m.Peer, m.Master}
		if j.q.Untagged[at] {
			l.Propagation = "unknown"
		}
		out = append(out, l)
		place, ok := j.t.On(at)
		if !ok || place.Mount == at || len(out) > 1000 {
			return out
		}
		at = place.Mount
	}
}

// unmount is the effect of an unmount in a namespace, by the kernel asked about.
func (j *judge) unmount(s Side) propagation.Effect {
	v := j.t.Unmount(propagation.Call{Mount: s.target(), Namespace: s.Namespace, Lazy: j.q.Lazy, Held: j.held})
	j.differ = j.differ || v.Differ
	if j.q.Older {
		return v.Old
	}
	return v.New
}

// pair judges one ordered pair, by the whole rule where the table has what that
// needs, else by the tags of the mounts themselves.
func (j *judge) pair(from, to Side, effect propagation.Effect) answer {
	m, ok := j.t.Mount(from.target())
	if !ok {
		return answer{Unknown, fmt.Sprintf("in %s it is not mounted%s: there is nothing to unmount", from.Name, asFar(from)), false}
	}
	if len(to.Targets) == 0 {
		return answer{Unknown, fmt.Sprintf("in %s it is not mounted%s", to.Name, asFar(to)), false}
	}
	var all answer
	for _, id := range to.Targets {
		c, _ := j.t.Mount(id)
		if a := j.copy(from, to, m, c, effect); all.verdict == "" || a.weight() > all.weight() {
			all = a
		}
	}
	return all
}

// weight orders the answers on several copies: it goes if all do, and stays if one does.
func (a answer) weight() int {
	switch {
	case a.verdict == Stays && !a.guess:
		return 4
	case a.verdict == Stays:
		return 3
	case a.verdict == Unknown:
		return 2
	case a.guess:
		return 1
	}
	return 0
}

func asFar(s Side) string {
	if s.Whole {
		return ""
	}
	return ", as far as the excerpt goes"
}
