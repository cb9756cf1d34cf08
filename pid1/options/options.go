// Package options says what a command line asks of the init, in the init's own
// dialect or in that of a program that it stands in for.
//
// It is pure: words in, [Options] or a text and an exit code out.
package options

import "time"

// A Dialect is whose flags, variables, exit codes and words are used.
type Dialect string

// The dialects. A link with the name of one, or --dialect, chooses it;
// docker-init is tini's and podman-init catatonit's.
const (
	Own       Dialect = "sexton-init"
	Tini      Dialect = "tini"
	DumbInit  Dialect = "dumb-init"
	Catatonit Dialect = "catatonit"
	MyInit    Dialect = "my_init"
)

// A Terminal is how the main child gets the terminal.
type Terminal uint8

// Foreground gives it a process group of its own in the front of the terminal,
// if there is one; Session a session of its own with the terminal in its
// control; Shared leaves it in the init's group.
const (
	Foreground Terminal = iota
	Session
	Shared
)

// Signals is the number of signals plus one: an index by number.
const Signals = 65

// Options is one command line, understood.
type Options struct {
	Dialect Dialect
	Name    string   // the name it was called by, for its words
	Command []string // the main child and its arguments; empty only with Pause or Runit

	Verbosity   int  // more than 0: says what it does
	EachEvent   bool // says a line for each signal and child: needs the Go loop
	ReapWarning bool // tini -w: a line for each orphan that was reaped
	Subreaper   bool // adopts orphans when it is not PID 1
	Pause       bool // no main child: leave with 0 at TERM or INT
	Probe       bool // run-probe: leave when the command and all that it left are gone

	Terminal    Terminal
	Group       bool           // signals go to the main child's process group
	ParentDeath uint8          // signal for the init itself when its parent ends; 0: none
	Forward     [Signals]uint8 // what the main child gets for each signal; 0: nothing
	Stop        [Signals]bool  // signals that begin a stop
	Suspend     [Signals]bool  // signals after which the init stops itself, too
	SwallowOnce [Signals]bool  // dropped the first time, for those that a new session brings
	ListenPID   bool           // LISTEN_PID follows if it names the init

	Drain       bool          // at the end, what the main child left gets TERM, time and KILL
	TermGroup   bool          // at the end, the main child's group gets TERM, and no time
	DrainDelay  time.Duration // between the stop signal and its forwarding
	Grace       time.Duration // between forwarding and KILL of all that is left
	KillAfter   time.Duration // between TERM and KILL of what the main child left; 0: what remains of Grace, a second at least
	KillOrphans bool          // what is re-parented to the init is ended

	WarnZombies  time.Duration // how often zombies of living parents are warned of; 0: never
	Status       string        // file with the counts, absolute; "": none
	Remap        [256]uint8    // the exit code for each of the main child's
	NotFound     uint8         // exit codes when the command cannot run: not found,
	NotExecuted  uint8         // not executable,
	Unstarted    uint8         // and anything else
	Hooks        string        // directory with start, pre-stop and post-stop, absolute; "": none
	HookTimeout  time.Duration // for each hook
	EnvDir       string        // directory of variables, absolute; "": none
	Workdir      string        // of the main child; "": where the init began
	User         *User         // of the main child; nil: the init's
	Runit        bool          // runsvdir is started before the main child and stopped after it
	StartupFiles bool          // my_init.d and rc.local run
	Quiet        bool          // my_init: only warnings and errors
}

// A User is who the main child runs as, in numbers: there may be no passwd file.
type User struct{ UID, GID int }

// A Refusal is a command line that starts nothing: a text for stdout or stderr,
// and the exit code. --help and --version are refusals with code 0.
type Refusal struct {
	Text   string
	Stderr bool
	Code   int
}
