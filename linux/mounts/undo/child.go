package undo

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An Order is one act: the one field of the first four that is set.
type Order struct {
	Unmount     *Mount
	MakePrivate *Mount
	Remove      *Directory
	Restore     *Saved
	Detach      bool // of Unmount
}

// A reply is what the child says: first perhaps Saved, for which it waits until
// a byte comes, and then how it ended.
type reply struct {
	Saved *Saved
	Err   *Error // nil: done
}

const (
	childCommand = "__undo"
	reapWithin   = 500 * time.Millisecond // after SIGKILL; a child in D is left to init
	namespaceFD  = 3                      // of the child
)

// IsChild reports whether the program was started by [Apart].
func IsChild(args []string) bool { return len(args) == 1 && args[0] == childCommand }

// ChildMain is the hidden command that [Apart] runs, and returns its exit status.
func ChildMain(in io.Reader, out io.Writer) int {
	os.WriteFile("/proc/self/comm", []byte("sexton"), 0) // executed as /proc/self/exe it is "exe"
	unix.CloseOnExec(namespaceFD)
	var o Order
	if err := gob.NewDecoder(io.LimitReader(in, 1<<24)).Decode(&o); err != nil {
		return 1
	}
	say := gob.NewEncoder(out)
	err := o.do(namespaceFD, func(s Saved) error {
		if err := say.Encode(reply{Saved: &s}); err != nil {
			return err
		}
		var ack [1]byte
		_, err := io.ReadFull(in, ack[:])
		return err
	})
	r := reply{}
	if err != nil {
		r.Err = failed("act", err).(*Error)
	}
	if say.Encode(r) != nil {
		return 1
	}
	return 0
}

func (o Order) do(namespace int, before func(Saved) error) error {
	switch {
	case o.Unmount != nil:
		return Unmount(namespace, *o.Unmount, o.Detach)
	case o.MakePrivate != nil:
		return MakePrivate(namespace, *o.MakePrivate)
	case o.Remove != nil:
		return RemoveMountpoint(namespace, *o.Remove, before)
	case o.Restore != nil:
		return Restore(namespace, *o.Restore)
	}
	return errors.New("an order for nothing")
}

// Apart carries out an order in a process of its own, this program executed again
// with the one argument for which [IsChild] is true, and gives it up when ctx ends:
// then nobody knows yet whether it was done, and the error wraps that of ctx. before
// is that of [RemoveMountpoint].
func Apart(ctx context.Context, namespace int, o Order, before func(Saved) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	fd, err := unix.FcntlInt(uintptr(namespace), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return failed("hand on the namespace", err)
	}
	ns := os.NewFile(uintptr(fd), "mnt")
	defer ns.Close()
	cmd := exec.Command("/proc/self/exe", childCommand)
	cmd.Args[0], cmd.Env, cmd.ExtraFiles = "sexton", []string{"GOMAXPROCS=1"}, []*os.File{ns}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return failed("start a child process", err)
	}
	runtime.LockOSThread() // Pdeathsig comes when the thread ends that started the child
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return failed("start a child process", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- talk(in, out, o, before) }()
	var result error
	select {
	case result = <-ended:
	case <-ctx.Done():
		result = fmt.Errorf("no answer in time, so it is not known whether it was done; look again: %w", context.Cause(ctx))
	}
	return errors.Join(result, reap(cmd, result == errSilent, &complaint))
}

// errSilent is for a child that ended without an answer; its complaint says why.
var errSilent = errors.New("the child process ended without an answer")

func talk(in io.Writer, out io.Reader, o Order, before func(Saved) error) error {
	if gob.NewEncoder(in).Encode(o) != nil {
		return errSilent
	}
	for hear := gob.NewDecoder(out); ; {
		var r reply
		switch err := hear.Decode(&r); {
		case err != nil:
			return errSilent
		case r.Saved != nil:
			if err := before(*r.Saved); err != nil {
				return err
			}
			if _, err := in.Write([]byte{1}); err != nil {
				return errSilent
			}
		case r.Err != nil:
			return r.Err
		default:
			return nil
		}
	}
}

// reap ends the child, which has said all or was given up.
func reap(cmd *exec.Cmd, failed bool, complaint *bytes.Buffer) error {
	if !failed {
		cmd.Process.Kill()
	}
	end, cancel := context.WithTimeout(context.Background(), reapWithin)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if failed {
			line, _, _ := strings.Cut(complaint.String(), "\n")
			return fmt.Errorf("child process: %v: %s", err, line)
		}
	case <-end.Done(): // in D: it cannot be killed now, and nobody waits for it
	}
	return nil
}
