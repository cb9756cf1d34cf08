package pid1

// A plan is what the first Go child tells the init: whom to wait for and what to
// do by itself. The assembly reads it by the offsets that the compiler gives.
type plan struct {
	main   int64 // process id of the main child; 0: none, or it ended
	target int64 // where signals go: main, -main for its process group, 0 nowhere
	flags  int64 // of flagDrain and its kind
	tick   int64 // seconds from one tick to the next; 0: never
	death  int64 // signal to the init when its parent ends; 0: none
	answer
	actions [64]uint8  // of signal 1 to 64: what is sent for it; with askGo, Go is asked
	remap   [256]uint8 // the init's exit code for each of the main child's
}

// An answer is what any Go child may tell.
type answer struct {
	leave int64            // leaving + exit code: leave with it, now; 0: go on
	memo  [memoWords]int64 // what a tick wants the next one to know
}

// state is the plan and what only the init writes. It goes to each Go child
// through a socket. What the assembly often needs is near the beginning.
type state struct {
	magic  int64  // of this version of state: a newer binary may stand in our place
	status int64  // wait status of the main child; -1 while it lives
	reaped int64  // children that ended, Go children not counted
	woken  int64  // why Go runs: a signal, or whyStart and its kind
	next   uint64 // signals that came for it while it ran; bit 0 is signal 1
	tries  int64  // Go children in a row that were killed
	//lint:ignore U1000 the assembly writes and reads it
	errno int64 // negated error of the last execve of itself
	given
	plan
}

// given is what the init was when it began. The assembly copies it as a whole.
type given struct {
	mask    uint64    // signals that were blocked; bit 0 is signal 1
	ignored uint64    // signals that were ignored
	nofile  [2]uint64 // soft and hard RLIMIT_NOFILE: the runtime raises its own
	adopts  int64     // 1: a subreaper already, which exec keeps: prctl(2)
}

const (
	magic     = 0x33_6e_6f_74_78_65_73 // "sexton3", the version of state
	memoWords = 8
	leaving   = 0x100

	// Flags: the assembly tests them as one byte.
	flagDrain     = 1   // Go ends what the main child left
	flagFinish    = 2   // Go has something to do at the end
	flagOwn       = 4   // process 1 of a PID namespace
	flagNoReaper  = 8   // orphans are the business of a process above
	flagPlain     = 16  // a line for each event is wanted: be the Go loop
	flagAgain     = 32  // hooks come first; then Go is asked to start
	flagWaitAll   = 64  // leave when all children are gone
	flagTermGroup = 128 // the main child's group gets TERM when it ended

	askGo = 0x80

	// Why Go is asked, besides by a signal.
	whyStart  = -2  // read the options, make the main child
	whyBegin  = -1  // the same, after the hooks
	whyHooks  = 100 // run the start hooks
	whyTicked = 101
	whyLeft   = 102 // the main child is gone, others are left, or something is to be done

	// ourSignal tells a Go child that another stop signal came, and the assembly
	// of a tick: to tell whose it is, it has more than the number. Emulators lack
	// the highest.
	ourSignal = 60
	maxTries  = 3
)
