// Package lab makes the faults that sexton finds: for real, on demand, in
// throw-away namespaces, one file a fault.
//
// # How a fault is held, and how it ends
//
// Every fault lives in a PID namespace of its own, so that the death of the
// namespace's first process (here "init") is the end of all of it; the kernel
// sees to that. Init ends by itself at the time that up was given. A process
// that must be outside of the namespace (a feeder) ends when init does.
//
// Up writes its intent into a state file before it starts anything. A process
// then waits on a pipe until its pid and start time are in that file: if up
// dies first, the pipe closes and the process ends. So at every moment each
// living process is either in the file or about to end.
//
// Control groups are in the state file before they are made. Down thaws them, since
// what is frozen does not end, and removes them last, when they are empty.
//
// Down signals only through a pidfd whose process has the recorded start time
// and still looks like the lab's; a pid that was used again is left alone.
//
// The processes are named sexton-lab:WHAT, but for those that play a part of a
// runtime, and SEXTON_LAB in their environment
// says which fault they belong to.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Fault is one thing that can be broken on purpose.
type Fault struct {
	Name    string   // also the name of its state file
	Summary string   // one line
	Want    []string // what sexton must find while it is up: "check: what"
	Risk    string   // the --max-risk with which heal ends it: safe, disruptive; "" if it does nothing
	Remains []string // what sexton still finds after that, and why: "check: why"
	Harm    string   // what the rest of the host feels while it is up

	ready func(Options) error         // says what the machine lacks; changes nothing
	build func(*site) error           // starts and proves the fault
	look  func(record) (sight, error) // what the kernel shows of it now, by files that never block
}

// A sight is what the kernel shows of a fault at one moment.
type sight struct {
	text     string
	all, any bool // every sign that up makes is there; at least one is
}

// Faults returns all faults, in the order in which they are listed.
func Faults() []Fault {
	return slices.Concat([]Fault{zombies, stuckReader, fuseDead, frozen, oomContainer, oomInit}, mountFaults, []Fault{thinPool, thinPoolWait}, runtimeFaults)
}

// Options say how a fault is brought up and where its state is kept.
type Options struct {
	For      time.Duration // the fault ends by itself after it; 0: DefaultFor; at most MaxFor
	StateDir string        // "": DefaultStateDir; made if missing, must belong to the caller alone
}

// The defaults and the bound of [Options].
const (
	DefaultFor      = 10 * time.Minute
	MaxFor          = 24 * time.Hour
	DefaultStateDir = "/run/sexton/lab"
)

// A State says how a fault stands.
type State string

// The states.
const (
	StateUp      State = "up"      // its processes live and the kernel shows the fault
	StateDown    State = "down"    // nothing of it is there, no state file either
	StateEnded   State = "ended"   // nothing of it lives; the state file is left, and down removes it
	StateHealed  State = "healed"  // its processes live, the kernel shows no sign of the fault
	StateBroken  State = "broken"  // half made, or down could not end it; Why says more
	StateUnknown State = "unknown" // it cannot be told; Why says why
)

// A Status is how one fault stands.
type Status struct {
	Name      string    `json:"name"`
	State     State     `json:"state"`
	Why       string    `json:"why,omitempty"`   // what is wrong with it, or gone from it
	Found     string    `json:"found,omitempty"` // what the kernel shows of it
	Want      []string  `json:"want"`
	Risk      string    `json:"risk,omitempty"`    // as [Fault] has it
	Remains   []string  `json:"remains,omitempty"` // as [Fault] has it
	PID       int       `json:"pid,omitempty"`     // the namespace's first process, host numbering
	Processes []Process `json:"processes,omitempty"`
	Until     time.Time `json:"until,omitzero"` // when it ends by itself
}

// A Process is one process of a fault. Pid and start together cannot be reused.
type Process struct {
	Role  string `json:"role"`  // init, feeder, half-dead, server, reader, keeper
	PID   int    `json:"pid"`   // in the caller's PID namespace
	Start uint64 `json:"start"` // clock ticks after boot
	Comm  string `json:"comm"`
}

// Up makes a fault and returns when the kernel shows it. It takes 0.1 s
// on an idle machine and gives up after 20 s; what it had started is taken
// down again. ctx ends it early in the same way.
//
// Errors that a user can act on have a method Hint() string. It fails without
// root, if the fault is up already, if the machine lacks something, and if the
// state file of an earlier up cannot be read.
func Up(ctx context.Context, name string, o Options) (Status, error) {
	f, err := find(name)
	if err != nil {
		return Status{}, err
	}
	if o, err = o.checked(); err != nil {
		return Status{}, err
	}
	if err := f.ready(o); err != nil {
		return Status{}, fmt.Errorf("%s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	d, err := openState(ctx, o.StateDir, true)
	if err != nil {
		return Status{}, err
	}
	defer d.close()
	if err := d.free(name); err != nil {
		return Status{}, err
	}
	s := &site{ctx: ctx, dir: d}
	if s.rec, err = newRecord(name, time.Now().Add(o.For)); err != nil {
		return Status{}, err
	}
	if err := d.write(s.rec); err != nil { // the intent, before anything lives
		return Status{}, err
	}
	defer s.letGo()
	if err := f.build(s); err != nil {
		if time.Now().After(s.rec.Until) {
			err = hint(fmt.Errorf("its %v were over before it was up: %w", o.For, err), "a longer --for")
		}
		err = fmt.Errorf("%s: %w", name, err)
		s.letGo()
		if left := d.takeDown(s.rec); left != nil {
			err = errors.Join(err, fmt.Errorf("and taking it down again: %w", left))
		}
		return Status{}, err
	}
	return status(f, s.rec), nil
}

// Down takes the named faults down, all that left a state file if none is
// named, and returns how each stands then. It proves that nothing is left: no
// recorded process, no process in the fault's namespaces, no mount of it in the
// caller's. A fault that was not up is no error. One that fails does not keep
// the others from being cleaned; the errors are joined.
func Down(ctx context.Context, names []string, o Options) ([]Status, error) {
	for _, name := range names {
		if _, err := find(name); err != nil {
			return nil, err
		}
	}
	o, err := o.checked()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // longer than an up that it may wait for
	defer cancel()
	d, err := openState(ctx, o.StateDir, false)
	if err != nil {
		return nil, err
	}
	defer d.close()
	if len(names) == 0 {
		if names, err = d.names(); err != nil {
			return nil, err
		}
	}
	var out []Status
	var errs []error
	for _, name := range names {
		f, _ := find(name) // or one of another sexton
		f.Name = name
		st := f.status(StateDown)
		if err := d.down(ctx, name); err != nil {
			st.State, st.Why = StateBroken, err.Error()
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		out = append(out, st)
	}
	return out, errors.Join(errs...)
}

// List returns how every fault stands. It reads only files that do not block,
// changes nothing, and puts what it cannot read into Why.
func List(o Options) []Status {
	d := stateDir{path: o.dir()}
	var out []Status
	for _, f := range Faults() {
		out = append(out, d.status(f))
	}
	names, _ := d.names() // a directory that cannot be read was told above, once a fault
	for _, name := range names {
		if _, err := find(name); err != nil { // made by another sexton
			out = append(out, d.status(Fault{Name: name}))
		}
	}
	return out
}

func (d stateDir) status(f Fault) Status {
	rec, err := d.read(f.Name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return f.status(StateDown)
	case err != nil:
		st := f.status(StateUnknown)
		st.Why = err.Error()
		return st
	}
	return status(f, rec)
}

// status is what can be said of a fault without a look.
func (f Fault) status(s State) Status {
	return Status{Name: f.Name, State: s, Want: f.Want, Risk: f.Risk, Remains: f.Remains}
}

// status looks at the recorded processes and asks the fault for its signs.
func status(f Fault, rec record) Status {
	lives := rec.alive()
	st := f.status(StateBroken)
	st.PID, st.Processes, st.Until = rec.role(roleInit).PID, lives, rec.Until
	var gone []string
	for _, p := range rec.Processes {
		if !slices.ContainsFunc(lives, func(l Process) bool { return l.PID == p.PID }) {
			gone = append(gone, p.String())
		}
	}
	switch {
	case len(lives) == 0:
		st.State = StateEnded
		return st
	case !rec.Complete:
		st.Why = "up has not finished it"
		return st
	case f.look == nil:
		st.State, st.Why = StateUnknown, "this sexton does not know it"
		return st
	}
	seen, err := f.look(rec)
	if err != nil {
		st.State, st.Why = StateUnknown, err.Error()
		return st
	}
	if len(gone) > 0 {
		st.Why = "not there any more: " + strings.Join(gone, ", ")
	}
	st.Found, st.State = seen.text, StateHealed
	if seen.any {
		st.State = StateUp
	}
	return st
}

func find(name string) (Fault, error) {
	var names []string
	for _, f := range Faults() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Fault{}, hint(fmt.Errorf("no fault is named %q", name), "one of: "+strings.Join(names, ", "))
}

func (o Options) dir() string {
	if o.StateDir == "" {
		return DefaultStateDir
	}
	return o.StateDir
}

// checked fills in the defaults and refuses what cannot work.
func (o Options) checked() (Options, error) {
	var err error
	if o.StateDir, err = filepath.Abs(o.dir()); err != nil {
		return o, err
	}
	if o.For == 0 {
		o.For = DefaultFor
	}
	if o.For < time.Second || o.For > MaxFor {
		return o, hint(fmt.Errorf("a fault cannot be up for %v", o.For), fmt.Sprintf("from 1s to %v", MaxFor))
	}
	if os.Geteuid() != 0 {
		return o, hint(errors.New("needs root: faults are made in namespaces of their own"), "run it with sudo, on a machine that may be broken")
	}
	return o, nil
}

// A hinted error carries what the user can try.
type hinted struct {
	error
	text string
}

// Hint says what to try; the caller prints it after "try: ".
func (h *hinted) Hint() string  { return h.text }
func (h *hinted) Unwrap() error { return h.error }

func hint(err error, text string) error { return &hinted{err, text} }
