// Package self starts this very program again, as a child that can be given up:
// for what may block, and for what is done with fewer rights.
package self

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Command is this program with a hidden command, and with nothing of the
// environment. When its parent ends it gets the signal end. [Start] starts it.
func Command(end syscall.Signal, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "sexton" // for people who see it in ps
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: end}
	return cmd
}

// Start starts a [Command] and returns the end of the pipe into which the child
// writes, which the caller closes. Who started a child has to [Leave] it, by the same
// goroutine: until then that is locked to its thread, for the signal of a parent's end
// comes already when the thread ends that started the child, though the process lives on.
//
// Source: prctl(2), PR_SET_PDEATHSIG.
func Start(cmd *exec.Cmd) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a child process: %w", err)
	}
	defer w.Close()
	cmd.Stdout = w
	runtime.LockOSThread()
	if err := cmd.Start(); err != nil {
		runtime.UnlockOSThread()
		r.Close()
		return nil, fmt.Errorf("start a child process: %w", err)
	}
	return r, nil
}

// ErrKilled is of a child that did not end by itself.
var ErrKilled = errors.New("it did not end by itself")

// reapWithin is for how long Leave waits for a child to end, and for one that it has killed.
const reapWithin = 500 * time.Millisecond

// Leave waits for the end of a child that has said all, or was told to end, for a
// moment or until ctx ends, and kills it then: [ErrKilled]. One in state D cannot be
// killed now: it is left behind, and nobody waits for it.
func Leave(ctx context.Context, cmd *exec.Cmd) error {
	defer runtime.UnlockOSThread() // see [Start]
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	soon, cancel := context.WithTimeout(ctx, reapWithin)
	defer cancel()
	select {
	case err := <-ended:
		return err
	case <-soon.Done():
		cmd.Process.Kill()
	}
	late, cancel := context.WithTimeout(context.Background(), reapWithin)
	defer cancel()
	select {
	case <-ended:
	case <-late.Done():
	}
	return ErrKilled
}
