package godump

import (
	"bytes"
	"path"
	"regexp"
	"strconv"
)

const (
	longestName = 1 << 10 // bytes of a function's name or of a path
	mostFrames  = 256     // of one stack; Go prints 100 and elides the rest
	mostWriters = 64      // whose lines are told apart at a time
)

// A reader puts lines together to stacks, for each writer of a log on its own.
type reader struct {
	in    lines
	visit func(*Goroutine)
	names names
	open  map[string]*stack // by writer; "" without a prefix
	order []string          // of the writers, as they came
	last  *stack            // of the line before
	dumps int               // that have begun
	files bool              // source lines are in the text: not everybody keeps them
	stray bool              // the text ends in the middle of a stack's line, as far as one can see
	text  Text

	pending []byte // a line that the next one may go on with, if waiting
	waiting bool
	buf     []byte // of pending
	inside  bool   // the line begins behind an escape
	same    bool   // it is of the writer of the line before, whatever stands before it
	spaced  bool   // an empty line follows each line, so none ends a stack
}

// A stack is the one that a writer is at.
type stack struct {
	Goroutine
	args    []Arg // of all frames
	going   bool  // a header or a frame was there
	sourced bool  // the last call has its source line
	due     bool  // a source line comes next, of a call or of "created by"
	begun   bool  // a mark told where the dump begins
	mention bool  // what was there for a header is none, and no loss if nothing follows it
	runtime bool  // the calls are those of a thread of Go's own, which is no goroutine
	writer  string
	dump    int // of the next stack; -1 if a new dump begins with it
}

// of finds the stack that a line belongs to, by what stands before its content.
// Lines that a log escaped into one have its prefix once, before the mark of the
// beginning; those of one message that it wrote as they are have it before the header.
func (d *reader) of(prefix []byte) *stack {
	who := writerOf(prefix)
	if who == nil && d.last != nil {
		if plain := d.open[""]; d.last.begun || d.same || d.last.going && (plain == nil || !plain.going) {
			return d.last
		}
	}
	if s := d.open[string(who)]; s != nil {
		d.last = s
		return s
	}
	if len(d.open) >= mostWriters {
		who = nil
		if s := d.open[""]; s != nil {
			d.last = s
			return s
		}
	}
	name := string(who)
	s := &stack{dump: -1, writer: name}
	program, _, _ := bytes.Cut(who, []byte("["))
	s.Program = string(program)
	d.open[name] = s
	d.order = append(d.order, name)
	d.last = s
	return s
}

func (d *reader) line(line []byte) {
	if bytes.Contains(line, octalNewline) {
		d.octal(line)
		return
	}
	line = bytes.TrimRight(uncolor(unescape(message(line))), " \t\r")
	d.stray = false
	if rest, ok := d.grepped(line); ok {
		d.same = true
		line = rest
		defer func() { d.same = false }()
	}
	if bytes.Contains(line, []byte("goroutine profile: total ")) {
		d.text.Counted = true
	}
	if h, ok := parseHeading(line); ok {
		d.heading(d.of(line[:h.at]), h)
		if h.complete && len(bytes.TrimSpace(line[h.end:])) > 0 {
			d.flat(line[:h.at], line[h.end:])
		}
		return
	}
	if name, at, ok := parseCreator(line); ok {
		if s := d.of(line[:at]); s.going {
			d.tear(s)
			s.Creator, s.sourced, s.due = d.names.keep(name), true, true
		}
		return
	}
	if name, args, at, cut, ok := parseCall(line); ok {
		d.call(d.of(line[:at]), name, args, cut)
		return
	}
	if file, number, at, ok := parseFile(line); ok {
		s := d.of(line[:at])
		if s.going && !s.due {
			d.text.Torn++
		}
		s.due, d.files = false, true
		if n := len(s.Frames); n > 0 && !s.sourced {
			s.Frames[n-1].File, s.Frames[n-1].Line, s.sourced = d.names.keep(file), number, true
		}
		return
	}
	d.mark(line)
}

// tear counts a line that comes where the source of the one before is due: another
// writer came between, or somebody cut lines out.
func (d *reader) tear(s *stack) {
	if s.due && d.files {
		d.text.Torn++
	}
	s.due = false
}

// finish ends what is open at the end of the text.
func (d *reader) finish() {
	for _, name := range d.order {
		s := d.open[name]
		if s.going && (s.due && d.files || d.stray && s == d.last) {
			d.text.Cut = true
		}
		s.due = false
		d.end(s)
		if s.begun {
			d.text.Unended++
		}
	}
}

func (d *reader) heading(s *stack, h heading) {
	d.end(s)
	s.runtime, s.mention = false, h.mention
	s.going, s.Headed, s.ID, s.Minutes, s.Locked = true, h.complete, h.id, h.minutes, h.locked
	if s.State = d.names.keep(h.state); !h.complete {
		s.State, s.ID, s.Minutes = "", 0, Unknown
	}
}

func (d *reader) call(s *stack, name, args []byte, cut bool) {
	if s.runtime {
		return
	}
	if !s.going {
		s.going, s.Minutes = true, Unknown
	}
	if cut {
		d.text.Frames++
	}
	d.tear(s)
	s.sourced, s.due = false, !cut
	if len(s.Frames) >= mostFrames {
		d.text.Frames++
		s.Elided, s.sourced = true, true
		return
	}
	from := len(s.args)
	s.args = parseArgs(s.args, args)
	s.Frames = append(s.Frames, Frame{Func: d.names.keep(name), Args: s.args[from:len(s.args):len(s.args)]})
}

// mark reads what is no part of a stack: what begins and ends dumps and stacks.
func (d *reader) mark(line []byte) {
	line = line[lineNumber(line):]
	if d.text.Fatal == "" {
		d.text.Fatal = fatal(line)
	}
	begins := bytes.Contains(line, []byte("=== BEGIN goroutine stack dump")) || bytes.HasSuffix(line, []byte("SIGQUIT: quit"))
	ends := bytes.Contains(line, []byte("=== END goroutine stack dump"))
	blank := len(bytes.TrimLeft(line, " \t\x00")) == 0
	switch {
	case bytes.HasSuffix(line, []byte("runtime stack:")):
		s := d.of(bytes.TrimSuffix(line, []byte("runtime stack:")))
		d.end(s)
		s.runtime = true
	case begins || ends:
		s := d.last
		if s == nil || begins {
			s = d.of(line[:max(0, bytes.Index(line, []byte("time=")))])
		}
		d.end(s)
		if ends {
			d.shim(line, s.dump)
		}
		if begins && s.begun {
			d.text.Unended++
		}
		s.dump, s.begun = -1, begins && !bytes.HasSuffix(line, []byte("quit"))
	case blank:
		if s := d.last; s != nil && s.going {
			d.spaced = d.spaced || s.due
			if !d.spaced && len(s.Frames) > 0 {
				d.end(s)
			}
		}
	case bytes.Contains(line, []byte("frames elided")):
		if d.last != nil {
			d.last.Elided = true
		}
	case isGap(line):
		d.text.Gaps++
		if d.last != nil {
			d.last.due = false
			d.last.Elided = d.last.going
			d.end(d.last)
		}
	case d.in.unended: // the last line
		d.stray, _ = regexp.Match(partial, line)
	}
}

// fatal reads what Go says before the dump of a program that it ends.
//
// Source: runtime/panic.go, os_linux.go; runtime/cgo/gcc_util.c.
func fatal(line []byte) string {
	for _, cue := range []string{"fatal error: ", "panic: ", "runtime: failed to create new OS thread", "runtime/cgo: pthread_create failed"} {
		if k := bytes.Index(line, []byte(cue)); k >= 0 && (k == 0 || line[k-1] <= ' ') {
			return string(line[k:min(len(line), k+200)])
		}
	}
	return ""
}

// partial is what may be the beginning of a function's name or of a path.
const partial = `^\s*[\w./*()-]*[./][\w./*()-]*$`

// shim reads the fields that a shim's log line has behind its message. path is the
// bundle that the shim was started in: of a pod that shares one shim, the sandbox's.
//
// Source: containerd runtime/v2/shim/shim.go, serve and dumpStacks.
func (d *reader) shim(line []byte, dump int) {
	_, fields, ok := bytes.Cut(line, []byte(`" `))
	if !ok || dump < 0 || len(d.text.Shims) >= mostWriters {
		return
	}
	s := Shim{Dump: dump}
	for _, field := range bytes.Fields(fields) {
		name, value, _ := bytes.Cut(field, []byte("="))
		value = bytes.Trim(value, `"`)
		if len(value) > longestName {
			continue
		}
		switch string(name) {
		case "namespace":
			s.Namespace = string(value)
		case "path":
			s.Container = path.Base(string(value))
		case "pid":
			s.PID, _ = strconv.Atoi(string(value)) // 0 is not known
		}
	}
	if s.Namespace != "" && s.Container != "" {
		d.text.Shims = append(d.text.Shims, s)
	}
}

// isGap tells a line by which somebody, or grep, says that text was left out here.
func isGap(line []byte) bool {
	word := string(line[wordStart(line):])
	return word == "..." || word == "[...]" || word == "…" || string(line) == "--"
}

// dumpers are the functions that a process is in while it writes its own dump.
var dumpers = [][]byte{[]byte("dumpStacks"), []byte("DumpStacks"), []byte("dump.Stacks"), []byte("stack.Dump"), []byte("writeGoroutineStacks"), []byte("debug.Stack")}

// end hands a stack over and begins the next one.
func (d *reader) end(s *stack) {
	d.tear(s)
	if s.going && (s.Headed || len(s.Frames) > 0) {
		if s.Headed && s.State == "running" && len(s.Frames) > 0 && s.dumps() && !s.begun {
			s.dump = -1
		}
		if s.dump < 0 {
			s.dump = d.dumps
			d.dumps++
		}
		if !s.Headed {
			d.text.Headless++
		}
		s.Dump = s.dump
		d.visit(&s.Goroutine)
	} else if s.going && !s.mention {
		d.text.Headless++
	}
	s.Goroutine = Goroutine{Frames: s.Frames[:0], Program: s.Program}
	s.args, s.going, s.sourced = s.args[:0], false, false
}

func (s *stack) dumps() bool {
	for i := range min(3, len(s.Frames)) {
		for _, name := range dumpers {
			if bytes.Contains([]byte(s.Frames[i].Func), name) {
				return true
			}
		}
	}
	return false
}

// names keeps each distinct text once. It forgets all when there are too many,
// as a hostile text may have: what was handed out stays valid.
type names map[string]string

func (n names) keep(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	if len(n) >= 1<<14 {
		clear(n)
	}
	s := string(b)
	n[s] = s
	return s
}
