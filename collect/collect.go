// Package collect looks at a host, live or recorded, and writes a snapshot. It
// is the only reader of a host.
//
// It must not hang on a sick one: in its own process it reads only files that
// stay safe while a process's mmap_lock is held or a file system is dead (stat,
// status, cgroup, wchan, syscall, children, mountinfo, fdinfo, links). What may
// block (a command line, a runtime's API) is read by a child process that can
// be abandoned.
package collect

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"sexton.dev/collect/door"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/procfs"
	"sexton.dev/snapshot"
)

// Options choose what a look reads.
type Options struct {
	Parts    []snapshot.Part // what the selected checks need
	Argv     bool            // command lines of all processes, not only of runtimes
	Proc     string          // directory of the live /proc, for the child that reads command lines
	Root     string          // root directory of the live host, for the sockets below it
	Child    Child           // runs what may block
	AskAgain bool            // ask runtimes that were silent before
	Since    time.Duration   // how far back events count: what the kernel's log lacks of it is told
	Narrow   *Narrow         // what is asked about; nil: all
	Within   bool            // a PID namespace below the machine's first counts as a host: who is outside is no lack
	// Layers names directories of overlays, from the mounts of the look, by which
	// detached ones are known; nil: none are looked for.
	Layers func(*snapshot.Host) []Layer
}

// A looker holds what one look has learned so far.
type looker struct {
	door.Door
	Options
	needs   map[snapshot.Part]bool
	h       *snapshot.Host
	machine string // as uname -m prints it
	cgroups hierarchies
	places  placeCache
	known   memo
	spaces  []mounts.Namespace // of a narrow question, as the census had them
	devices []mounts.Device    // as spaces: of all mounts, also of those that were left out
	about   *Asked             // what the question turned out to be about, nil: all

	listening func() (listenersReply, error) // asks once for listening sockets: the ladder is made twice
}

// Looks takes one look at a host through first, and a second one through the
// door that second returns after the interval; a nil second means one look
// only, and before is nil then. Runtimes are asked once, between the looks.
//
// It always returns a snapshot; what exists and could not be read is in its Unread.
func Looks(ctx context.Context, first door.Door, second func() door.Door, o Options) (before, now *snapshot.Host) {
	l := begin(ctx, first, o)
	replies := func() []reply { return nil }
	if !l.lean() {
		replies = l.askRuntimes(ctx)
	}
	if second == nil {
		return nil, l.finish(ctx, replies(), l.askShims(ctx)(), true)
	}
	before = l.finish(ctx, nil, nil, false)
	shims := l.askShims(ctx)
	d := second()
	if ctx.Err() != nil { // interrupted, or out of time: the first look is what there is
		return nil, before // without mount tables
	}
	l = begin(ctx, d, o)
	return before, l.finish(ctx, replies(), shims(), true)
}

func begin(ctx context.Context, d door.Door, o Options) *looker {
	l := &looker{Door: d, Options: o, needs: map[snapshot.Part]bool{}, h: &snapshot.Host{Taken: d.Taken()}}
	l.listening = sync.OnceValues(func() (listenersReply, error) { return l.readListeners(ctx) })
	for _, part := range o.Parts {
		l.needs[part] = true
	}
	if l.wants(snapshot.Budgets, snapshot.Frozen, snapshot.Inits, snapshot.Names, snapshot.MemoryUse, snapshot.Fifos) {
		l.needs[snapshot.Places] = true // without it they cannot be read
	}
	if l.wants(snapshot.Rungs) {
		l.needs[snapshot.Names], l.needs[snapshot.Places], l.needs[snapshot.Commands] = true, true, true // who answers, and who serves which container
	}
	if l.wants(snapshot.Fifos) {
		l.needs[snapshot.Commands] = true // of the runc that waits
	}
	if l.wants(snapshot.Configured, snapshot.Storage) {
		l.needs[snapshot.Places], l.needs[snapshot.Commands] = true, true // whose settings, and those on dockerd's command line
	}
	l.host()
	if l.wants(snapshot.Places) {
		l.findHierarchies()
	}
	if !l.lean() {
		l.processes(ctx)
	}
	return l
}

// finish reads the rest. The mount tables, which cost most and do not come and go
// as processes do, are read in the last look alone.
func (l *looker) finish(ctx context.Context, replies []reply, shims []shimAnswer, last bool) *snapshot.Host {
	if l.lean() {
		l.mountTables(ctx)
		replies = l.keepers(ctx)
	}
	l.containers(replies)
	l.details()
	l.findInits()
	l.waits(ctx)
	l.commands(ctx)
	l.fifos(ctx)
	l.budgets()
	l.frozen()
	l.memory()
	if last {
		l.kernelLog(ctx)
	}
	l.layers()
	l.outputs()
	l.shimsAnswered(shims)
	if last && !l.lean() {
		l.inspects(ctx)
		l.mountTables(ctx)
		l.settings(ctx)
		l.pools(ctx)
	}
	l.h.Sort()
	return l.h
}

func (l *looker) wants(parts ...snapshot.Part) bool {
	for _, p := range parts {
		if l.needs[p] {
			return true
		}
	}
	return false
}

// unread notes what exists and could not be read. What vanished meanwhile is no lack.
func (l *looker) unread(part snapshot.Part, path string, err error) {
	if err != nil && !door.Gone(err) {
		l.h.Unread = append(l.h.Unread, snapshot.Unread{Part: part, Path: path, Err: cause(err)})
	}
}

// missing notes that a whole part of the host could not be read.
func (l *looker) missing(part snapshot.Part, path, why string) {
	l.h.Unread = append(l.h.Unread, snapshot.Unread{Part: part, Path: path, Err: why, Whole: true})
}

// text returns a small file without its newline, "" if it cannot be read.
func (l *looker) text(path string) string {
	b, err := l.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}

// host reads what is said of the host as a whole.
func (l *looker) host() {
	l.h.Name = l.text("/proc/sys/kernel/hostname")
	l.h.Kernel = l.text("/proc/sys/kernel/osrelease")
	l.h.BootID = l.text("/proc/sys/kernel/random/boot_id")
	if b, err := l.ReadFile("/proc/uptime"); err == nil {
		if l.h.Uptime, err = procfs.ParseUptime(b); err != nil {
			l.unread(snapshot.Processes, "/proc/uptime", err)
		}
	}
	if l.h.Root = l.privileged(); !l.h.Root {
		l.missing(snapshot.Processes, "/proc of other users", "needs root: system calls, kernel stacks and namespaces are hidden")
	}
	if l.h.Nested = l.nested(); l.h.Nested && !l.Within {
		l.missing(snapshot.Processes, "processes and mount namespaces outside of this PID namespace",
			"this /proc does not show them: needs the host's, as with docker run --pid=host or hostPID: true; or --nested, if nothing outside matters")
	}
	if !l.wants(snapshot.Budgets) {
		return
	}
	l.h.Limits = snapshot.Limits{
		PIDMax:     l.number("/proc/sys/kernel/pid_max"),
		ThreadsMax: l.number("/proc/sys/kernel/threads-max"),
	}
	b, err := l.ReadFile("/proc/loadavg")
	if err == nil {
		l.h.Limits.Tasks, err = procfs.ParseLoadavg(b)
	}
	l.unread(snapshot.Budgets, "/proc/loadavg", err)
}

// nested reports whether /proc is that of a PID namespace below the machine's first.
// PID 1 tells it, of a /proc that was mounted elsewhere too; what nobody tells is not so.
func (l *looker) nested() bool {
	for _, of := range []string{"1", "self"} {
		if link, err := l.ReadLink("/proc/" + of + "/ns/pid"); err == nil {
			return link != fmt.Sprintf("pid:[%d]", mounts.FirstPIDNamespace)
		}
	}
	return false
}

// privileged reports whether the reader may look into every process: it has
// CAP_SYS_PTRACE, and that in the host's own user namespace.
func (l *looker) privileged() bool {
	const ptrace = 19
	text, err := l.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	s, err := procfs.ParseStatus(text)
	l.unread(snapshot.Processes, "/proc/self/status", err)
	ids := strings.Fields(l.text("/proc/self/uid_map"))
	whole := len(ids) == 0 || len(ids) == 3 && ids[0] == "0" && ids[1] == "0" && ids[2] == "4294967295"
	return s.CapEff&(1<<ptrace) != 0 && whole
}

func (l *looker) number(path string) int {
	b, err := l.ReadFile(path)
	n := 0
	if err == nil {
		n, err = procfs.ParseNumber(b)
	}
	l.unread(snapshot.Budgets, path, err)
	return n
}
