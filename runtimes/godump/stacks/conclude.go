package stacks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/runtimes/godump"
)

// rank orders the reasons to wait by how near to the cause they are.
var rank = map[Why]int{Kernel: 60, Called: 50, Locked: 40, Signed: 30, Child: 20, Send: 20, Write: 20}

// Report says what all goroutines together say. fallback is the layer of dumps
// that do not tell it themselves, or "".
func (f *Folder) Report(text godump.Text, fallback string) Report {
	for i := range f.dumps {
		if f.dumps[i].Layer = f.dumps[i].layer(); f.dumps[i].Layer == "" {
			f.dumps[i].Layer = fallback
		}
	}
	r := Report{Goroutines: f.headed, Layer: fallback, Calls: f.calls(), Locks: f.listLocks(), Signatures: f.matches(), Groups: []Group{}, Dumps: []Dump{}, Lost: losses(text, f.over)}
	for _, s := range text.Shims {
		if s.Dump < len(f.dumps) && f.dumps[s.Dump].Layer == "shim" {
			f.dumps[s.Dump].Namespace, f.dumps[s.Dump].Container, f.dumps[s.Dump].PID = s.Namespace, s.Container, s.PID
		}
	}
	for i := range f.dumps {
		f.dumps[i].Still, f.dumps[i].before = f.still(i)
		r.Dumps = append(r.Dumps, f.dumps[i].Dump)
	}
	for _, n := range f.order {
		n.Why = n.blocked()
		r.Groups = append(r.Groups, n.Group)
	}
	slices.SortStableFunc(r.Groups, func(a, b Group) int {
		return cmp.Or(b.weight()-a.weight(), b.Minutes-a.Minutes, b.Goroutines-a.Goroutines)
	})
	if len(f.dumps) > 0 {
		r.Layer = f.dumps[len(f.dumps)-1].Layer
	}
	f.conclude(&r, text)
	return r
}

// weight is the rank; what waits for less than a minute may go on in the next
// moment, so it comes after all that waits longer.
func (g *Group) weight() int {
	if w := rank[g.Why]; g.Minutes != 0 || w == 0 {
		return w
	}
	return rank[g.Why] - 50 + 1
}

// conclude looks at each dump on its own and takes the deepest layer that is blocked.
func (f *Folder) conclude(r *Report, text godump.Text) {
	var told []string
	deepest := -1
	for i := range f.dumps {
		function, sentences := f.judge(r, i)
		if n := f.dumps[i].before; n > 0 && f.dumps[i].Still == 0 {
			told = append(told, "Of "+plural(n, "goroutine that was", "goroutines that were")+" blocked in the earlier dump none is where it was: that is work, if slow.")
		}
		if len(sentences) == 0 {
			continue
		}
		told = append(told, sentences...)
		if n := f.dumps[i].Still; n > 0 {
			told = append(told, plural(n, "goroutine is", "goroutines are")+" where an earlier dump has them: that is no slow work.")
		}
		if d := depth(f.dumps[i].Layer); d >= deepest {
			deepest = d
			r.Layer, r.BlockedFunction = f.dumps[i].Layer, function
			r.WaitersOnSameLock, r.Lock = 0, ""
			if l := r.lockOf(i); l != nil {
				r.WaitersOnSameLock, r.Lock = l.Waiters, l.Lock
			}
		}
	}
	switch {
	case text.Fatal != "":
		told = append([]string{"Go ended the program: " + text.Fatal + "."}, told...)
	case len(told) == 0:
		told = append(told, "Nothing is blocked here: no goroutine waits for a lock, another daemon, a child, a disk or a full pipe.")
		if len(r.Lost) > 0 {
			told = append(told, "But the text is not the whole dump.")
		}
	}
	for _, m := range r.Signatures {
		told = append(told, fmt.Sprintf("Known: %s (%s).", m.Says, m.Source))
	}
	r.Sentences, r.Conclusion = told, strings.Join(told, " ")
}

// lockOf finds the lock of a dump that most wait for.
func (r *Report) lockOf(dump int) *Lock {
	for i := range r.Locks {
		if r.Locks[i].Dump == dump && r.Locks[i].Waiters > 0 {
			return &r.Locks[i]
		}
	}
	return nil
}

// judge finds the most telling function of one dump and says why; nothing if nothing is blocked.
func (f *Folder) judge(r *Report, dump int) (function string, told []string) {
	i := slices.IndexFunc(r.Groups, func(g Group) bool { return g.Dump == dump && g.Why != Idle })
	if i < 0 {
		return "", nil
	}
	best := &r.Groups[i]
	if l := r.lockOf(dump); l != nil {
		told = append(told, f.sayLock(l))
		if n := len(l.Holders); n > 0 && (max(l.Minutes, l.Holders[n-1].Minutes) > 0 || best.Minutes == 0) {
			last := l.Holders[n-1]
			return last.Function, append(told, advice(f.dumps, last.asked)...)
		}
		if best.Why == Locked {
			return l.in.Function, append(told, f.longest(r, best)...)
		}
	}
	told = append(told, f.sayGroup(best))
	told = append(told, advice(f.dumps, f.find(best).call)...)
	return best.Function, append(told, f.longest(r, best)...)
}

// longest tells of what waits longer than the most telling group.
func (f *Folder) longest(r *Report, than *Group) []string {
	longest := than
	for i := range r.Groups {
		if g := &r.Groups[i]; g.Dump == than.Dump && g.Why != Idle && g.Minutes > longest.Minutes {
			longest = g
		}
	}
	if longest == than {
		return nil
	}
	return []string{f.sayGroup(longest)}
}

func (f *Folder) sayGroup(g *Group) string {
	in := "its stack is not in the text"
	if g.Function != "" {
		in = "in " + short(g.Function)
	}
	return fmt.Sprintf("%s waits %s for %s, %s%s.", title(f.dumps[g.Dump].name()), age(g.Minutes), f.find(g).waitsFor(), in, goroutines(g))
}

func (f *Folder) sayLock(l *Lock) string {
	var b strings.Builder
	in := short(l.in.Function)
	if n := len(l.Takers) - 1; n > 0 {
		in += " and " + plural(n, "other function", "other functions")
	}
	fmt.Fprintf(&b, "%s: %s for the lock %s, the longest %s, in %s.", title(f.dumps[l.Dump].name()), plural(l.Waiters, "goroutine waits", "goroutines wait"), l.Lock, age(l.Minutes), in)
	if len(l.Holders) == 0 {
		b.WriteString(" Who holds it cannot be seen in the dump.")
	}
	for i, h := range l.Holders {
		what := "It"
		if i > 0 {
			what = "That"
		}
		fmt.Fprintf(&b, " %s is likely held by goroutine %d, in %s, which waits %s for %s.", what, h.ID, short(h.Function), age(h.Minutes), h.WaitsFor)
		if h.Rivals > 0 {
			fmt.Fprintf(&b, " As much speaks for %s.", plural(h.Rivals, "other", "others"))
		}
	}
	if l.Cycle {
		b.WriteString(" That closes a circle: a deadlock.")
	}
	return b.String()
}

// advice says where to look next, unless the layer that was asked has a dump here too.
func advice(dumps []dump, c call) []string {
	if slices.ContainsFunc(dumps, func(d dump) bool { return d.Layer == c.to }) {
		return nil
	}
	switch c.to {
	case "containerd":
		if service, _, _ := strings.Cut(c.operation, "."); !contains(service, "tasks", "task", "aPI") {
			return []string{"That is a call for which containerd needs no shim: containerd itself is stuck, look whether it is stopped, then at its dump (sexton stacks PID)."}
		}
		return []string{"Either containerd or a shim below it is stuck: a dump of containerd says which (sexton stacks PID)."}
	case "shim":
		text := "The shim of that container is stuck: look whether it is stopped and at its children; its dump (sexton stacks PID) goes to containerd's log."
		if c.normal {
			text = "If it is Wait that was asked, that is normal as long as the container runs. If not: t" + text[1:]
		}
		return []string{text}
	case "runc":
		return []string{"A runc that the shim started does not end: it is a child of the shim, and the container is its last argument."}
	case "the container runtime (CRI)":
		return []string{"The runtime or what is below it is stuck: a dump of containerd says which (sexton stacks PID)."}
	}
	return nil
}

// waitsFor says in words what a group waits for.
func (n *group) waitsFor() string {
	switch n.blocked() {
	case Called:
		if n.call.operation == "" {
			return name(n.call.to) + " to answer"
		}
		if n.call.to == "runc" {
			return n.call.operation + " to end"
		}
		return name(n.call.to) + " to answer " + n.call.operation
	case Locked:
		return "a lock"
	case Kernel:
		return "the kernel (" + systemCall(n.Functions) + ")"
	case Child:
		return "a process that it started"
	case Send:
		return "somebody to take from a channel"
	case Write:
		return "somebody to read what it writes"
	}
	if call := systemCall(n.Functions); call != "" {
		return "the kernel (" + call + ")"
	}
	if n.State == "syscall" {
		return "a system call"
	}
	return "an event (" + n.State + ")"
}

func (f *Folder) find(g *Group) *group {
	for _, n := range f.order {
		if n.Dump == g.Dump && n.State == g.State && n.Creator == g.Creator && slices.Equal(n.Functions, g.Functions) {
			return n
		}
	}
	return &group{Group: *g}
}

// losses says what the text lacks.
func losses(l godump.Text, over int) []string {
	out := []string{}
	add := func(n int, one, many string) {
		if n > 0 {
			out = append(out, plural(n, one, many))
		}
	}
	add(l.Headless, "stack has no complete header", "stacks have no complete header")
	add(l.Frames, "call is cut off", "calls are cut off")
	add(l.Torn, "call is apart from its source line: lines are missing, or those of two writers are mixed", "calls are apart from their source lines: lines are missing, or those of two writers are mixed")
	if l.Cut {
		out = append(out, "the text ends inside of a stack")
	}
	add(l.Gaps, "place where somebody left something out", "places where somebody left something out")
	add(l.Unended, "dump has no mark of its end", "dumps have no mark of their end")
	add(l.LongLines, "line is too long and was cut", "lines are too long and were cut")
	add(over, "goroutine is in no group: there are too many stacks", "goroutines are in no group: there are too many stacks")
	return out
}

// name is a layer's with the article that it needs.
func name(layer string) string {
	switch layer {
	case "":
		return "the process"
	case "shim":
		return "the shim"
	}
	return layer
}

// name is that of the layer, with the container where the log tells it.
func (d *dump) name() string {
	if d.Container == "" {
		return name(d.Layer)
	}
	id := d.Container
	if len(id) == 64 {
		id = id[:12]
	}
	return fmt.Sprintf("the shim of %s (pid %d)", id, d.PID)
}

// title begins a sentence. The names of programs are written as they are.
func title(s string) string {
	if rest, ok := strings.CutPrefix(s, "the "); ok {
		return "The " + rest
	}
	return s
}

func age(minutes int) string {
	switch {
	case minutes < 0:
		return "for an unknown time"
	case minutes == 0:
		return "less than a minute"
	case minutes >= 2*24*60:
		return fmt.Sprintf("%d minutes (%d days)", minutes, minutes/60/24)
	case minutes >= 2*60:
		return fmt.Sprintf("%d minutes (%d hours)", minutes, minutes/60)
	}
	return plural(minutes, "minute", "minutes")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func goroutines(g *Group) string {
	switch {
	case len(g.IDs) == 0:
		return ""
	case g.Goroutines > 1:
		return fmt.Sprintf(" (%d goroutines)", g.Goroutines)
	}
	return fmt.Sprintf(" (goroutine %d)", g.IDs[0])
}
