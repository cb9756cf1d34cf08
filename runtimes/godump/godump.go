// Package godump reads goroutine dumps as people have them: the text of
// runtime.Stack, of a SIGQUIT or of pprof's debug=2, from Go 1.4 on, plain or in
// whatever a log made of it, whole or cut.
//
// It streams: one goroutine is in memory at a time, so a dump may be of any size.
package godump

import "io"

// Unknown are the minutes of a stack whose header is missing.
const Unknown = -1

// A Goroutine is one stack. It and what it refers to are valid until the visit
// returns; strings may be kept.
type Goroutine struct {
	ID      uint64
	State   string // as Go prints it, without age: "chan receive"
	Minutes int    // how long it has waited; 0 is less than one or not waiting, or [Unknown]
	Locked  bool   // to its thread
	Headed  bool   // its header "goroutine N [state]:" was there; ID and State are set then
	Frames  []Frame
	Creator string // the function of "created by"
	Elided  bool   // frames are missing in the middle, by Go itself or by whoever cut the text
	Dump    int    // which dump of the text it is from, from 0
	Program string // the program of a log's prefix, if there was one
}

// A Frame is one call. The first of a stack is the innermost.
type Frame struct {
	Func string // with its package's path
	Args []Arg
	File string // "" if it is not there
	Line int
}

// An Arg is one word of the arguments, those of strings and structs in a row.
type Arg struct {
	Value uint64
	Sure  bool // it is no leftover of a register, which Go marks with "?"
}

// A Shim is the process that wrote a dump, as containerd's log tells it behind the
// dump's end: the one place where a container is named.
type Shim struct {
	Dump                 int
	Namespace, Container string
	PID                  int
}

// A Text is what is said of a whole text: which shims wrote its dumps, and what it
// lacks to be what Go wrote.
type Text struct {
	Shims     []Shim
	LongLines int    // lines longer than [longest], each cut there
	Bytes     int64  // of those, dropped
	Headless  int    // stacks without a complete header
	Frames    int    // frames that were cut, or over the bound of one stack
	Gaps      int    // places where somebody left something out: "..."
	Torn      int    // places where the source line of a call is missing, or one is without its call: lines of two writers, or lines cut out
	Cut       bool   // the text ends inside of a stack
	Unended   int    // dumps with a mark of their beginning and none of their end
	Fatal     string // why Go ended the program, the first if there are several; "" if it was asked for its dump
	Counted   bool   // there is a profile with counts (debug=1), which says nothing of waiting
}

// Read calls visit for each goroutine, in the order in which they end. After a
// cut it goes on with the next header or frame. The error is that of r.
//
// Source: runtime/traceback.go and runtime/proc.go of Go 1.4 to 1.26.
func Read(r io.Reader, visit func(*Goroutine)) (Text, error) {
	d := reader{in: lines{r: r, buf: make([]byte, 4*longest), newline: -1}, visit: visit, names: names{}, open: map[string]*stack{}}
	for {
		line, ok := d.in.next()
		if !ok {
			break
		}
		d.piece(line, d.in.escaped)
	}
	if d.waiting {
		d.line(d.pending)
	}
	d.finish()
	d.text.LongLines, d.text.Bytes = d.in.long, d.in.dropped
	return d.text, d.in.failed()
}
