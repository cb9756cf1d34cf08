package lab

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ActorCommand is the hidden command by which a program that uses this package
// runs itself as a process of a fault: `sexton __lab ROLE ...` ends in
// [Actor]. A test binary does the same in TestMain.
const ActorCommand = "__lab"

// acting says that this process is one of a fault's.
var acting = len(os.Args) > 1 && os.Args[1] == ActorCommand

// An actor keeps its main goroutine on the main thread: its name, its state and
// its children are then those of the process, as stat shows them.
func init() {
	if acting {
		runtime.LockOSThread()
	}
}

// A role is what one process of a fault does.
type role struct {
	name  string // after the prefix, at most 4 bytes: a comm has 15
	play  func(stage) error
	talks bool // has the two pipes of launch
}

var roles = map[string]role{
	"zombies-init":    {"init", zombiesInit, true},
	"zombies-child":   {"dead", func(stage) error { return nil }, false},
	"zombies-half":    {"half", zombiesHalf, false},
	"zombies-feeder":  {"feed", zombiesFeeder, true},
	"zombies-exec":    {"exec", zombiesExec, false},
	"zombies-orphan":  {"orph", zombiesOrphan, false},
	"stuck-init":      {"init", stuckInit, true},
	"stuck-server":    {"fuse", stuckServer, true},
	"stuck-reader":    {"read", stuckMapper, true},
	"doomed-reader":   {"read", doomedReader, true},
	"oom-init":        {"init", oomContainerInit, true},
	"oom-eater":       {"eat", oomEater, true},
	"frozen-init":     {"init", frozenInit, true},
	"fifo-init":       {"init", fifoInit, true},
	"fifo-reader":     {"runc", fifoReader, true},
	"app":             {"app", app, true},
	"mount-init":      {"init", mountInit, true},
	"mount-unit":      {"unit", mountUnit, true},
	"thin-keeper":     {"keep", thinKeeper, true},
	"runtime-init":    {"init", runtimeInit, true},
	"read-and-report": {"look", readAndReport, true},
}

// Actor plays one process of a fault and returns its exit code. args are those
// after [ActorCommand]. It must be called from main's goroutine.
func Actor(args []string) int {
	if len(args) < 2 {
		return 2
	}
	r, known := roles[args[0]]
	until, err := strconv.ParseInt(args[1], 10, 64)
	if !known || err != nil {
		return 2
	}
	s := stage{until: time.UnixMilli(until), args: args[2:]}
	if r.talks {
		s.orders, s.reports = os.NewFile(3, "orders"), os.NewFile(4, "reports")
		unix.CloseOnExec(3) // or a child would keep our pipes open
		unix.CloseOnExec(4)
	}
	signal.Reset() // main has SIGTERM and SIGINT end a context that means nothing here
	s.late = time.AfterFunc(time.Until(s.until), func() { os.Exit(0) })
	if err = takeName(prefix + r.name); err == nil {
		err = r.play(s)
	}
	if err == nil {
		return 0
	}
	if r.talks {
		s.fail(err)
	}
	return 1
}

// takeName names the process and the threads that Go has started so far; later
// ones get the name of the thread that starts them. proc_pid_comm(5).
func takeName(name string) error {
	files, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := os.WriteFile(file, []byte(name), 0); err != nil {
			return err
		}
	}
	return nil
}

// A stage is what a process of a fault is given.
type stage struct {
	until   time.Time
	late    *time.Timer // ends the process, whatever it waits for: nothing outlives its time
	args    []string
	orders  *os.File // descriptor 3; nil for a role that does not talk
	reports *os.File // descriptor 4
}

// errLeft means that the program that started us ended, or gave up, before we
// were told to go on.
var errLeft = errors.New("up has gone")

// hello says that the process is there and waits for the first order.
func (s stage) hello() error {
	if err := s.tell(report{Step: "hello"}); err != nil {
		return err
	}
	return s.wait()
}

// first is hello of the first process of a namespace. It refuses to play where it would
// not end with one, and without its n args; what these are is in wants.
func (s stage) first(n int, wants string) error {
	if err := s.hello(); err != nil {
		return err
	}
	if os.Getpid() != 1 {
		return errors.New("not the first process of a PID namespace of its own")
	}
	if len(s.args) != n {
		return errors.New(wants)
	}
	return nil
}

// reach reports a step and waits for the next order.
func (s stage) reach(step string) error {
	if err := s.tell(report{Step: step}); err != nil {
		return err
	}
	return s.wait()
}

func (s stage) tell(r report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = s.reports.Write(append(text, '\n'))
	return err
}

func (s stage) fail(err error) {
	r := report{Error: err.Error()}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		r.Hint = h.Hint()
	}
	s.tell(r) // fails if nobody listens any more
}

func (s stage) wait() error {
	_, err := io.ReadFull(s.orders, make([]byte, 1))
	if err == io.EOF {
		return errLeft
	}
	return err
}

// alone ends the conversation: from here on nobody's end is ours.
func (s stage) alone() {
	s.orders.Close()
	s.reports.Close()
}

// readAndReport reads the file that it is told of and reports that it could. On
// a file that blocks it stays in the kernel until it is killed.
func readAndReport(s stage) error {
	if err := s.hello(); err != nil {
		return err
	}
	if _, err := os.ReadFile(s.args[0]); err != nil {
		return err
	}
	return s.tell(report{Step: "read"})
}
