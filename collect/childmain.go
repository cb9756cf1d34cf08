package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"sexton.dev/collect/door"
	"sexton.dev/runtimes"
	"sexton.dev/runtimes/ask"
)

// childLife ends a child whose parent vanished without killing it.
const childLife = 10 * time.Second

// IsChild reports whether the program was started as a [Child].
func IsChild(args []string) bool { return len(args) > 0 && args[0] == childCommand }

// ChildMain is the hidden command that a [Child] runs, and returns its exit status:
//
//	__child cmdline PROC PID...    one JSON line a process, as soon as it is read
//	__child runtime SOCKET PROC PID...   the answer of a runtime, SOCKET being JSON, that these processes give
//	__child shims QUESTION         what each of some shims answers, one JSON line each
//	__child inspect QUESTION       how a question for one container went
//	__child has-unix-diag ROOT     whether this kernel has unix_diag built in
//	__child references QUESTION    one JSON line a reference to a mount
//	__child settings QUESTION      what files say, one JSON line each
//	__child locks QUESTION         one JSON line a mount: is it locked, asked in its namespace
//	__child unmount-rule PROC      true if this kernel unmounts as before Linux 6.17, found by trying
//	__child docker-layers DIR      one line a container: its id and its layer's
//	__child fifos PROC QUESTION    the exec.fifo of containers, and who their init is
//	__child units QUESTION         what systemd has loaded of services
//	__child devmapper PROC ROOT    one JSON line a device of device-mapper, again when more is known
//	__child pools QUESTION         what files say of thin pools
func ChildMain(args []string, stdout, stderr io.Writer) int {
	time.AfterFunc(childLife, func() { os.Exit(1) })
	os.WriteFile("/proc/self/comm", []byte("sexton"), 0) // for people who see it in ps; executed as /proc/self/exe it is "exe"
	err := errors.New("unknown child command")
	switch {
	case len(args) > 2 && args[1] == "cmdline":
		err = readCommands(stdout, args[2], args[3:])
	case len(args) > 3 && args[1] == "runtime":
		err = askOne(stdout, args[2], args[3], args[4:])
	case len(args) == 3 && args[1] == "shims":
		err = childShims(stdout, args[2])
	case len(args) == 3 && args[1] == "inspect":
		err = childInspect(stdout, args[2])
	case len(args) == 3 && args[1] == "has-unix-diag":
		err = childBuiltIn(stdout, args[2])
	case len(args) == 3 && args[1] == "references":
		err = childReferences(stdout, args[2])
	case len(args) == 3 && args[1] == "settings":
		err = childSettings(stdout, args[2])
	case len(args) == 3 && args[1] == "locks":
		err = childLocks(stdout, args[2])
	case len(args) == 3 && args[1] == "unmount-rule":
		err = childRule(stdout, args[2])
	case len(args) == 3 && args[1] == "docker-layers":
		err = childLayers(stdout, args[2])
	case len(args) == 4 && args[1] == "fifos":
		err = childFifos(stdout, args[2], args[3])
	case len(args) == 3 && args[1] == "units":
		err = childUnits(stdout, args[2])
	case len(args) == 4 && args[1] == "devmapper":
		err = childMapper(stdout, args[2], args[3])
	case len(args) == 3 && args[1] == "pools":
		err = childUsers(stdout, args[2])
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// A command is one line of the child's reply.
type command struct {
	PID     int    `json:"pid"`
	Line    []byte `json:"line"` // base64 in JSON: any bytes
	Errno   int    `json:"errno,omitempty"`
	Blocked bool   `json:"blocked,omitempty"` // the read did not return in time
}

// readCommands reads one command line after the other. One that blocks is left to a
// goroutine of its own, which ends with this process.
func readCommands(out io.Writer, proc string, pids []string) error {
	e := json.NewEncoder(out)
	for _, pid := range pids {
		n, err := strconv.Atoi(pid)
		if err != nil {
			return fmt.Errorf("pid %q: %w", pid, err)
		}
		read := make(chan command, 1)
		go func() { read <- readCommand(proc, n) }()
		if err := e.Encode(inTime(read, command{PID: n, Blocked: true})); err != nil {
			return err
		}
	}
	return nil
}

// inTime is what was read, or what to say where the read blocks.
func inTime[T any](read <-chan T, blocked T) T {
	late := make(chan struct{})
	p := newPatience(commandStall, func() { close(late) })
	defer p.stop()
	select {
	case r := <-read:
		return r
	case <-late:
	}
	select {
	case r := <-read:
		return r
	default:
		return blocked
	}
}

func readCommand(proc string, pid int) command {
	c := command{PID: pid}
	var err error
	if c.Line, err = readSome(proc+"/"+strconv.Itoa(pid)+"/cmdline", maxCommand); err != nil {
		c.Errno = int(syscall.EIO)
		if no, ok := errors.AsType[syscall.Errno](err); ok {
			c.Errno = int(no)
		}
	}
	return c
}

func readSome(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

func askOne(out io.Writer, text, proc string, pids []string) error {
	var s runtimes.Socket
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	ran := watch(ctx, proc, pids)
	a, err := ask.Ask(ctx, s)
	r := reply{Answer: a, Ran: ran()}
	if err != nil {
		r.Err, r.Silent = err.Error(), errors.Is(err, runtimes.ErrSilent) || errors.Is(err, door.ErrDeadline)
		r.Other = errors.Is(err, runtimes.ErrOtherAPI)
		if n := len(a.Said); n > 0 && !errors.Is(err, runtimes.ErrPartial) {
			a.Said[n-1].Failed = !a.Said[n-1].Silent // r.Answer shares it
		}
	}
	return json.NewEncoder(out).Encode(r)
}
