package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"sexton.dev/linux/procfs"
)

// mountSource is the source, as mountinfo shows it, of every mount of a fault.
const mountSource = "sexton-lab"

const stuckName = "stuck-reader"

var stuckReader = Fault{
	Name:    stuckName,
	Summary: "a process in D over a FUSE file whose server is stopped, with its mmap_lock held for write",
	Want: []string{
		"hung-task: names sexton-lab:read, blocked in the kernel with its mmap_lock held",
		"hung-task: in the same finding, that it waits for fuse.sexton-lab at /mnt, and that sexton-lab:fuse, which serves it, is stopped",
		"the scan does not hang, where ps and pgrep do",
	},
	Risk:  "disruptive",
	Harm:  "cmdline, environ and maps of one process cannot be read: ps, pgrep, pidof, lsof, fuser and top -c of everybody hang until it is down; after 120 s the kernel logs a hung task",
	ready: stuckReady,
	build: func(s *site) error { return fuseBuild(s, stuckLook) },
	look:  stuckLook,
}

func stuckReady(o Options) error {
	text, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	// Asked before /dev/fuse is opened: that alone would load the module.
	if !bytes.Contains(text, []byte("\tfuse\n")) {
		return hint(errors.New("this kernel has no FUSE, or its module is not loaded"), "modprobe fuse")
	}
	info, err := os.Lstat("/dev/fuse")
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return hint(fmt.Errorf("/dev/fuse is not there: %w", err), "modprobe fuse; in a container run it with --device /dev/fuse")
	}
	return hungTaskPanics(o.For)
}

// hungTaskPanics refuses where the kernel would stop the host over our process.
//
// Source: Linux 6.12 Documentation/admin-guide/sysctl/kernel.rst, hung_task_*.
func hungTaskPanics(duration time.Duration) error {
	panics, err1 := kernelNumber("hung_task_panic")
	timeout, err2 := kernelNumber("hung_task_timeout_secs")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return panicRisk(panics, timeout, duration)
}

// panicRisk judges the two settings; a timeout of 0 s means never.
func panicRisk(panics, timeout int, duration time.Duration) error {
	most := time.Duration(timeout) * time.Second / 2
	if panics == 0 || timeout == 0 || duration <= most {
		return nil
	}
	return hint(fmt.Errorf("kernel.hung_task_panic is set: a process in D for %d s stops this host", timeout), fmt.Sprintf("--for %v", most))
}

// kernelNumber reads a setting of the kernel's own.
func kernelNumber(name string) (int, error) { return kernelSetting("kernel/" + name) }

// kernelSetting reads a setting; one that this kernel does not have is 0.
func kernelSetting(name string) (int, error) {
	text, err := os.ReadFile("/proc/sys/" + name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return procfs.ParseNumber(text)
}

// fuseBuild makes a fault of a FUSE server and a process that waits for it.
func fuseBuild(s *site, look func(record) (sight, error)) error {
	init, err := s.startInit("stuck-init", syscall.CLONE_NEWNS, s.rec.Name, s.dir.path)
	if err != nil {
		return err
	}
	if err := init.next(s.ctx, "stuck"); err != nil {
		return err
	}
	if err := s.noteChildren("server", "fuse", "reader", "read"); err != nil {
		return err
	}
	if err := s.shows(look); err != nil {
		return err
	}
	if s.rec.Name == stuckName {
		if err := provesBlocked(s.ctx, s.rec.role("reader").PID); err != nil {
			return err
		}
	}
	if err := s.proved(); err != nil {
		return err
	}
	return init.order() // until then init ends if we do
}

// fuseStates returns the states of the reader and the server, 0 for one that is gone,
// and says them.
func fuseStates(r record) (reader, server byte, text string, err error) {
	state := func(role string) (byte, error) {
		p := r.role(role)
		s, err := readStat(p.PID)
		if err == nil && (s.Start != p.Start || dead(s)) {
			err = errGone
		}
		if errors.Is(err, errGone) {
			return 0, nil
		}
		return s.State, err
	}
	reader, err1 := state("reader")
	server, err2 := state("server")
	word := func(c byte) string {
		if c == 0 {
			return "gone"
		}
		return "in state " + string(c)
	}
	text = fmt.Sprintf("%sread (pid %d) is %s, %sfuse (pid %d) is %s",
		prefix, r.role("reader").PID, word(reader), prefix, r.role("server").PID, word(server))
	return reader, server, text, errors.Join(err1, err2)
}

// stuckLook proves by stat that the reader cannot run and the server does not.
func stuckLook(r record) (sight, error) {
	reader, server, text, err := fuseStates(r)
	return sight{text: text, all: reader == 'D' && server == 'T', any: reader == 'D' || server == 'T'}, err
}

// provesBlocked reads the command line of pid in a child, which must come to
// rest in D inside of that read, and ends the child: SIGKILL gets through there.
func provesBlocked(ctx context.Context, pid int) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	runtime.LockOSThread() // Pdeathsig means the thread that starts the child
	defer runtime.UnlockOSThread()
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p, err := launch(ctx, stuckName, "read-and-report", time.Now().Add(time.Minute), attr, procPath(pid, "cmdline"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.kill()) }()
	if err := p.order(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- p.heard(ctx, "read") }() // ends with ctx or with the pipe that kill closes
	for looks := 0; looks < 3; {
		select {
		case err := <-done:
			if err == nil {
				err = fmt.Errorf("the command line of the reader (pid %d) can be read: its mmap_lock is not held", pid)
			}
			return err
		case <-time.After(20 * time.Millisecond):
		}
		s, err := readStat(p.cmd.Process.Pid)
		if err != nil {
			return err
		}
		if looks++; s.State != 'D' {
			looks = 0
		}
	}
	return nil
}
