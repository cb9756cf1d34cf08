package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// zombiesInit is the first process of the namespace. It leaves its children
// dead and then executes sleep in its own place: exec sets SIGCHLD, which Go
// catches, back to its default action, and sleep ends the namespace in time.
//
// All is forked on the main thread, since the other threads end at exec and
// the kernel would then hand their children on, which looks like adoption.
func zombiesInit(s stage) error {
	if err := s.first(1, "zombies-init wants the path of sleep"); err != nil {
		return err
	}
	for range ownChildren {
		if err := self("zombies", "zombies-child", s.until).Start(); err != nil {
			return err
		}
	}
	if err := self("zombies", "zombies-half", s.until).Start(); err != nil {
		return err
	}
	if err := s.reach("children"); err != nil {
		return err
	}
	seconds := max(1, int(math.Ceil(time.Until(s.until).Seconds())))
	// busybox chooses what to be by argv[0].
	err := syscall.Exec(s.args[0], []string{"sleep", strconv.Itoa(seconds)}, os.Environ())
	return fmt.Errorf("execute %s: %w", s.args[0], err)
}

// zombiesHalf ends its main thread alone. The process stays a zombie with
// threads, which nobody can reap, until another thread ends it all.
func zombiesHalf(stage) error {
	running := make(chan bool)
	go func() {
		runtime.LockOSThread() // a thread that is surely there
		running <- true
		select {}
	}()
	<-running
	syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0) // of this thread, not exit_group
	return errors.New("the main thread did not end")
}

// zombiesFeeder runs a short process in the namespace every 2 s, as `docker
// exec` of a health probe does: from outside, in a session of its own, with an
// orphan left behind. It ends when init does, in time, or by SIGTERM, and never
// while a child of its own is not waited for.
func zombiesFeeder(s stage) error {
	signal.Ignore(syscall.SIGHUP)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	if err := s.hello(); err != nil {
		return err
	}
	init, err := enterPIDNamespace(s.args)
	if err != nil {
		return err
	}
	defer init.close()
	s.late.Reset(time.Until(s.until) + settle)
	for range firstOrphans {
		if err := s.feed(ctx); err != nil {
			return err
		}
	}
	if err := s.tell(report{Step: "fed"}); err != nil {
		return err
	}
	s.alone()
	over := make(chan struct{})
	go func() { init.ended(time.Until(s.until)); close(over) }()
	next := time.NewTicker(2 * time.Second)
	for arrived := firstOrphans; ; {
		select {
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		// One that fails is one arrival less: the pids may be used up, or init ends just now.
		if arrived++; arrived <= mostArrivals {
			s.feed(ctx) // nobody listens any more
		}
	}
}

// enterPIDNamespace lets the children of this thread be born in the PID
// namespace of the process that args (pid, start time) name.
func enterPIDNamespace(args []string) (handle, error) {
	h, err := openInit(args)
	if err != nil {
		return handle{}, err
	}
	ns, err := os.Open(procPath(h.PID, "ns/pid"))
	if err != nil {
		h.close()
		return handle{}, err
	}
	defer ns.Close()
	if h.ended(0) { // then the number may have named another process meanwhile
		err = errGone
	} else {
		err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWPID)
	}
	if err != nil {
		h.close()
		return handle{}, fmt.Errorf("enter the PID namespace of %v: %w", h.Process, err)
	}
	return h, nil
}

// openInit opens init, whose pid and start time are what an outsider is told.
func openInit(args []string) (handle, error) {
	if len(args) != 2 {
		return handle{}, errors.New("it wants init's pid and start time")
	}
	pid, err1 := strconv.Atoi(args[0])
	start, err2 := strconv.ParseUint(args[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return handle{}, err
	}
	p := Process{Role: roleInit, PID: pid, Start: start}
	h, err := p.open()
	if err != nil {
		err = fmt.Errorf("%v: %w", p, err)
	}
	return h, err
}

// feed runs one exec session, which takes some 10 ms, and waits for it: a
// namespace cannot end while a child of an outsider in it is not waited for.
// The end of ctx kills the session.
func (s stage) feed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := self("zombies", "zombies-exec", s.until)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	return cmd.Wait()
}

// zombiesExec starts a process and ends without it.
func zombiesExec(s stage) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := self("zombies", "zombies-orphan", s.until)
	cmd.ExtraFiles = []*os.File{r}
	err = cmd.Start()
	runtime.KeepAlive(w) // closes with this process
	return err
}

// zombiesOrphan waits until the process that started it is gone, and ends. Its
// pipe, descriptor 3, has no writer then.
func zombiesOrphan(stage) error {
	_, err := io.Copy(io.Discard, os.NewFile(3, "pipe"))
	return err
}
