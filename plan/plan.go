// Package plan turns findings into steps: which act ends them, on what, at which
// risk, what must still hold before it and what must hold then. It is pure: the
// same look gives the same plan.
package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"time"

	"sexton.dev/check"
	"sexton.dev/exactjson"
	"sexton.dev/snapshot"
)

// A Plan is what would be done, in order.
type Plan struct {
	ID     string `json:"id"`     // of its steps: the same plan has the same id
	Host   string `json:"host"`   // its name, for people
	BootID string `json:"bootID"` // a plan is for one boot
	Steps  []Step `json:"steps"`
}

// A Step is one act on one target.
type Step struct {
	ID      string        `json:"id"` // of action, target and risk
	Finding string        `json:"finding"`
	Action  string        `json:"action"`
	Risk    string        `json:"risk"` // safe, disruptive, destructive
	Does    string        `json:"does"` // the act, in words
	Command string        `json:"command,omitempty"`
	Target  check.Target  `json:"target"`
	Parent  *check.Target `json:"parent,omitempty"`  // make-private-then-unmount: what the target is mounted on; end-runtime-child: its shim or daemon
	Holds   []string      `json:"holds"`             // what must still hold, looked at again before the act
	Then    []string      `json:"then"`              // what must hold after it
	Affects []string      `json:"affects,omitempty"` // what else changes by it
	Dumps   []Dump        `json:"dumps,omitempty"`   // whose goroutines are kept before it
	Refused string        `json:"refused,omitempty"` // why it must not be done, found when it was planned

	NotBefore time.Time `json:"notBefore,omitzero"` // until then its target must stay as it is, for the reason in Until
	Until     string    `json:"until,omitempty"`

	Round  int    `json:"round"` // steps of a later round are for what the earlier ones left
	Status Status `json:"status"`
	Why    string `json:"why,omitempty"` // of the status
}

// A Status says how a step ended.
type Status string

// What a step is before it ran, and how it can end.
const (
	Planned    Status = "planned"
	Done       Status = "done"       // looked at again: what it names is gone
	Refused    Status = "refused"    // not begun, for a reason that is told
	Failed     Status = "failed"     // the host said no
	NotNeeded  Status = "not-needed" // gone before its turn came
	Unverified Status = "unverified" // done or under way, and not seen to help
)

// Risks are the words for it, the lowest first.
var Risks = []string{"safe", "disruptive", "destructive"}

// Above reports whether risk a is higher than b.
func Above(a, b string) bool { return slices.Index(Risks, a) > slices.Index(Risks, b) }

func higher(a, b string) string {
	if Above(a, b) {
		return a
	}
	return b
}

// Make plans the remedies of findings: the first remedies of all of them, then,
// for what these leave, the second ones, and so on.
func Make(h *snapshot.Host, findings []check.Finding) Plan {
	p := Plan{Host: h.Name, BootID: h.BootID}
	seen := map[string]bool{}
	for round, more := 0, true; more; round++ {
		more = false
		for _, f := range findings {
			if round >= len(f.Remedies) {
				continue
			}
			more = true
			for _, s := range steps(h, f, f.Remedies[round]) {
				s.Round, s.Status = round, Planned
				if s.ID = identity(s); !seen[s.ID] {
					seen[s.ID] = true
					p.Steps = append(p.Steps, s)
				}
			}
		}
	}
	slices.SortStableFunc(p.Steps, func(a, b Step) int { return actions[a.Action].order - actions[b.Action].order })
	p.ID = planID(p)
	return p
}

// identity names a step by what makes it equal to another one. Which children
// of a parent are dead changes by the minute, and what goes with a mount by what
// others unmount, so they do not count.
func identity(s Step) string {
	s.Target.Children = nil
	if s.Target.Kind == "mount" {
		s.Target.Mounts = nil
	}
	return digest(struct {
		Action, Risk string
		Target       check.Target
		Parent       *check.Target `json:",omitempty"`
	}{s.Action, s.Risk, s.Target, s.Parent})
}

func planID(p Plan) string {
	ids := []string{p.BootID}
	for _, s := range p.Steps {
		ids = append(ids, s.ID)
	}
	return digest(ids)
}

func digest(v any) string {
	text, err := exactjson.Marshal(v)
	if err != nil {
		panic("plan: " + err.Error()) // plain data
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// An action is what plan knows of one: how a remedy becomes steps, whether what a
// step named is gone, which reads tell that, and how one is planned anew from mounts
// and processes alone.
type action struct {
	steps func(h *snapshot.Host, f check.Finding, r check.Remedy) []Step
	gone  func(h *snapshot.Host, s Step) (gone bool, left string)
	rests []snapshot.Part
	renew func(h *snapshot.Host, s Step) []Step
	order int // those that need what others free come after them
}

var (
	ofProcesses = []snapshot.Part{snapshot.Processes}
	ofMounts    = []snapshot.Part{snapshot.MountTables}
)

var actions = map[string]action{
	"nudge-parent":         {nudge, reaped, ofProcesses, nil, 0},
	"resume-process":       {resume, resumed, ofProcesses, nil, 0},
	"thaw":                 {thaw, thawed, []snapshot.Part{snapshot.Places, snapshot.Frozen}, nil, 0},
	"reap-by-ptrace":       {reap, reaped, ofProcesses, nil, 0},
	"unmount-in-namespace": {unmount, unmounted, ofMounts, renewUnmount, 0},
	makePrivateThenUnmount: {unmount, unmounted, ofMounts, renewUnmount, 0},
	"remove-mountpoint":    {removeMountpoint, detached, ofMounts, renewRemoval, 0},
	"abort-fuse":           {abort, aborted, []snapshot.Part{snapshot.Threads}, nil, 0},
	"unblock-exec-fifo":    {unblock, unblocked, []snapshot.Part{snapshot.Processes, snapshot.Fifos}, nil, 0},
	"end-runtime-child":    {endChild, childEnded, ofProcesses, nil, 0},
	"restart-holder":       {restart, restarted, ofProcesses, nil, 0},
	"deferred-remove":      {removeMapped, unmapped, nil, nil, 1}, // each device by itself
	"retry-remove":         {remove, removed, nil, nil, 1},        // the runtime's own answer
	"delete-thin":          {deleteThin, deleted, nil, nil, 2},
}

func steps(h *snapshot.Host, f check.Finding, r check.Remedy) []Step {
	a, ok := actions[r.Action]
	if !ok {
		return nil
	}
	out := a.steps(h, f, r)
	for i := range out {
		out[i].Finding, out[i].Action, out[i].Risk = f.ID, cmp.Or(out[i].Action, r.Action), higher(out[i].Risk, r.Risk)
	}
	return out
}

// Gone reports whether what a step names is gone in a look, and if not, what is left.
// What was not read is not gone: then left says what that is.
func Gone(h *snapshot.Host, s Step) (gone bool, left string) {
	a, ok := actions[s.Action]
	if !ok {
		return false, "this sexton has no action named " + s.Action
	}
	gone, left = a.gone(h, s)
	if !gone {
		return false, left
	}
	if why := unread(h, s, a.rests); why != "" {
		return false, "whether it is gone cannot be told: " + why
	}
	return true, ""
}

// unread is what a look lacks of the parts by which a step's target would be seen, ""
// if nothing: of a namespace that was read, and of other cgroups than its own, the
// lack of others takes nothing away.
func unread(h *snapshot.Host, s Step, parts []snapshot.Part) string {
	for _, u := range h.Unread {
		switch {
		case !slices.Contains(parts, u.Part):
		case u.Whole:
			return u.Path + ": " + u.Err
		case u.Part == snapshot.Processes: // of another one
		case u.Part == snapshot.MountTables && h.Mounts != nil && listed(h.Mounts, s.Target):
		case u.Part == snapshot.Frozen && path.Dir(u.Path) != path.Dir(s.Target.Path):
		default:
			return u.Path + ": " + u.Err
		}
	}
	return ""
}

// listed reports whether the namespace of a mount was read.
func listed(all *snapshot.Mounts, t check.Target) bool {
	return t.Kind == "mount" && slices.ContainsFunc(all.Namespaces, func(ns snapshot.MountNamespace) bool {
		return ns.Inode == t.MountNamespace && ns.ID == t.MountNamespaceID
	})
}
