// Package check defines what a check, a finding and a remedy are, and runs a set of checks.
package check

import (
	"cmp"
	"slices"
	"time"

	"sexton.dev/snapshot"
)

// A Check is a pure function from what was seen to what is wrong.
type Check struct {
	Name  string // words; also the flag, the metric label and the page's anchor
	Doc   Page
	Needs []snapshot.Part
	Uses  []snapshot.Part // what makes it say more; without them it judges all the same
	Run   func(Pass) []Finding
}

// Reads lists the parts of a look that a check has a use for.
func (c *Check) Reads() []snapshot.Part { return slices.Concat(c.Needs, c.Uses) }

// A Pass is what a check may look at. It holds no clock: now is Now.Taken.
type Pass struct {
	Now    *snapshot.Host
	Before *snapshot.Host // nil on the first look
	Limits Limits
}

// Limits are the thresholds of the checks.
type Limits struct {
	BudgetWarning  float64       // share of a pids limit in use
	BudgetCritical float64       // share at which it counts as spent
	Soon           time.Duration // a limit reached within it is critical
	Recent         time.Duration // an event of the kernel's log older than it is info
}

// Defaults are the limits that sexton uses.
var Defaults = Limits{BudgetWarning: 0.8, BudgetCritical: 0.95, Soon: time.Hour, Recent: time.Hour}

// A Severity orders findings.
type Severity string

// Info is a risk without present harm, Warning is harm now, Critical is work
// that is blocked or will be within the hour.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Rank orders severities; an unknown one ranks as 0.
func (s Severity) Rank() int { return 1 + slices.Index([]Severity{Info, Warning, Critical}, s) }

// A Finding is one thing that is wrong, with the culprit named.
type Finding struct {
	ID       string     `json:"id"` // check/identity; the same while the fault lasts
	Check    string     `json:"check"`
	Severity Severity   `json:"severity"`
	Subject  Subject    `json:"subject"`
	Title    string     `json:"title"`
	Cause    string     `json:"cause"`
	Harm     string     `json:"harm"`
	Evidence []Evidence `json:"evidence"`
	Holders  []Holder   `json:"holders"`
	Remedies []Remedy   `json:"remedies"`
	Advice   []string   `json:"advice,omitempty"` // what keeps it from coming back; a person's to do
	Ladder   []Rung     `json:"ladder,omitempty"` // of a runtime that hangs: the layers, the highest first
	Since    time.Time  `json:"since,omitzero"`
}

// A Subject is what a finding is about.
type Subject struct {
	Kind           string `json:"kind"` // container, process, mount, device, runtime, unit, host
	Name           string `json:"name"`
	Container      string `json:"container,omitempty"`
	Pod            string `json:"pod,omitempty"`
	PID            int    `json:"pid,omitempty"`
	Path           string `json:"path,omitempty"`
	Device         string `json:"device,omitempty"`
	MountNamespace uint64 `json:"mountNamespace,omitempty"`
	File           string `json:"file,omitempty"` // of a setting that was judged without a host
	Line           int    `json:"line,omitempty"` // in File, from 1
}

// A Rung is one layer that a request for a container passes, and what it last said.
type Rung struct {
	Layer  string `json:"layer"` // client, dockerd, containerd, crio, cri-dockerd, podman, shim, conmon, runc, init, program, kernel
	Name   string `json:"name,omitempty"`
	PID    int    `json:"pid,omitempty"`
	Said   string `json:"said"`
	Silent bool   `json:"silent,omitempty"` // the first that does not answer
	Wait   string `json:"wait,omitempty"`   // what it waits in
}

// Evidence is one line that was read, and where.
type Evidence struct {
	Source string `json:"source"`
	Text   string `json:"text"`
}

// A Holder is a process that stands behind a finding: the one to look at next.
type Holder struct {
	Kind             string `json:"kind"`
	PID              int    `json:"pid,omitempty"`
	TID              int    `json:"tid,omitempty"`
	FD               int    `json:"fd,omitempty"`
	Comm             string `json:"comm,omitempty"`
	Path             string `json:"path,omitempty"`
	Unit             string `json:"unit,omitempty"`
	Container        string `json:"container,omitempty"`
	Pod              string `json:"pod,omitempty"`
	MountNamespace   uint64 `json:"mountNamespace,omitempty"`
	MountNamespaceID uint64 `json:"mountNamespaceID,omitempty"`
	MountID          uint64 `json:"mountID,omitempty"`
}

// A Remedy names an action; it holds no code. Those of a finding are in the
// order in which they would be tried, until it is gone.
type Remedy struct {
	Action  string   `json:"action"`
	Risk    string   `json:"risk"` // safe, disruptive, destructive
	Why     string   `json:"why"`
	Targets []Target `json:"targets,omitempty"` // what it acts on, where the finding's subject is not it
}

// A Target is what an action acts on, by identities that are not used again
// while the host is up. Its kind says which fields are set.
type Target struct {
	Kind string `json:"kind"` // process, children, cgroup, mount, mountpoint, container, unit, fuse, fifo, init, mapped, thin

	PID      int           `json:"pid,omitempty"`   // process; children: of their parent; fuse: who waits for it, where no mount is known
	Start    uint64        `json:"start,omitempty"` // of PID, in clock ticks after boot
	Comm     string        `json:"comm,omitempty"`
	TID      int           `json:"tid,omitempty"`      // fuse: its thread that waits
	Switches uint64        `json:"switches,omitempty"` // context switches so far, of one that must not have run since
	Children []snapshot.ID `json:"children,omitempty"`

	Cgroup string `json:"cgroup,omitempty"` // path below the hierarchy's root
	Inode  uint64 `json:"inode,omitempty"`  // of the cgroup's directory; fifo: of the fifo

	Mount            uint64 `json:"mount,omitempty"` // unique id; before Linux 6.8 the one of mountinfo
	MountNamespace   uint64 `json:"mountNamespace,omitempty"`
	MountNamespaceID uint64 `json:"mountNamespaceID,omitempty"` // Linux 6.11
	Path             string `json:"path,omitempty"`             // below the root of the namespace
	Device           string `json:"device,omitempty"`           // mount: of its superblock; fuse: of the connection
	Root             string `json:"root,omitempty"`             // mount: the part of the file system
	Super            string `json:"super,omitempty"`            // mount: options of its superblock, which tell it from a later one before Linux 6.8

	Mounts []uint64 `json:"mounts,omitempty"` // all that go, in all namespaces; none: mount: that could not be told yet

	Runtime   string `json:"runtime,omitempty"` // container: docker, containerd, cri, podman
	Socket    string `json:"socket,omitempty"`  // where that runtime answers
	Container string `json:"container,omitempty"`
	Unit      string `json:"unit,omitempty"`

	Name        string `json:"name,omitempty"`        // mapped: device-mapper's; thin: of the pool. Device is its number
	UUID        string `json:"uuid,omitempty"`        // of the same, "" where it was given none
	Thin        uint64 `json:"thin,omitempty"`        // thin: id in the pool; mapped: the same of what is mapped
	Transaction uint64 `json:"transaction,omitempty"` // thin: the pool's, which whoever uses it counts up with each change
}

// ProcessTarget is a process by its identity.
func ProcessTarget(p *snapshot.Process) Target {
	return Target{Kind: "process", PID: p.PID, Start: p.Start, Comm: p.Comm}
}

// Unknown is what exists and could not be read.
type Unknown struct {
	Check string `json:"check"`
	What  string `json:"what"`
	Why   string `json:"why"`
	Whole bool   `json:"-"` // the whole check could not be judged
}

// A Result is what a set of checks said of one pass.
type Result struct {
	Findings []Finding
	Unknown  []Unknown
}

// CannotTell reports whether a whole check could not be judged.
func (r Result) CannotTell() bool {
	return slices.ContainsFunc(r.Unknown, func(u Unknown) bool { return u.Whole })
}

// Worst returns the highest severity, "" if there is no finding.
func (r Result) Worst() Severity {
	var worst Severity
	for _, f := range r.Findings {
		if f.Severity.Rank() > worst.Rank() {
			worst = f.Severity
		}
	}
	return worst
}

// Run runs the checks over one pass. Findings come worst first, then by check
// and id. A check that lacks a whole part still runs: what it finds in the rest
// is true, and the lack is in Unknown.
func Run(checks []*Check, p Pass) Result {
	var r Result
	for _, c := range checks {
		needs := func(part snapshot.Part) bool { return slices.Contains(c.Needs, part) }
		if p.Before == nil && needs(snapshot.Earlier) {
			r.Unknown = append(r.Unknown, Unknown{c.Name, "a second look", "only one was taken; use --interval 2s", true})
		}
		for _, u := range p.Now.Unread {
			if needs(u.Part) {
				r.Unknown = append(r.Unknown, Unknown{c.Name, u.Path, u.Err, u.Whole})
			}
		}
		for _, f := range c.Run(p) {
			f.Check = c.Name
			r.Findings = append(r.Findings, f)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), cmp.Compare(a.Check, b.Check), cmp.Compare(a.ID, b.ID))
	})
	return r
}
