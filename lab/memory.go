package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/cgroupfs"
)

const (
	memoryLimit = 16 << 20 // bytes of the groups of these faults
	mostEaten   = 4 * memoryLimit
)

var oomContainer = Fault{
	Name:    "oom-container",
	Summary: "a container that reached its memory limit: the kernel killed a child of its program, which runs on",
	Want:    []string{"oom-container: names the container, sexton-lab:eat, which was killed, and the limit of 16 MiB"},
	Remains: []string{"oom-container: a kill is not undone, and the kernel's log goes on telling of it"},
	Harm:    "one out-of-memory report in the kernel's log, and 16 MiB of memory for a moment",
	ready:   memoryReady,
	build:   oomBuild,
	look:    oomLook,
}

func memoryReady(Options) error {
	if _, err := hierarchyOf("memory"); err != nil {
		return err
	}
	if n, err := kernelSetting("vm/panic_on_oom"); err != nil || n == 2 { // 1 spares limits of groups
		return errors.Join(err, hint(errors.New("vm.panic_on_oom is 2: an out-of-memory kill stops this host"), "another machine"))
	}
	return nil
}

// limited makes a container's group with a limit on its memory.
func (s *site) limited(id string) (string, error) {
	h, err := hierarchyOf("memory")
	if err != nil {
		return "", err
	}
	dir, err := s.containerGroup(h, id)
	if err != nil {
		return "", err
	}
	limit := strconv.Itoa(memoryLimit)
	if h.v1 {
		return dir, errors.Join(set(dir, "memory.limit_in_bytes", limit, true), set(dir, "memory.memsw.limit_in_bytes", limit, false))
	}
	for _, above := range s.rec.Groups[:len(s.rec.Groups)-1] {
		if err := set(above, "cgroup.subtree_control", "+memory", true); err != nil {
			return "", err
		}
	}
	return dir, errors.Join(set(dir, "memory.max", limit, true), set(dir, "memory.swap.max", "0", false))
}

// kills is how many processes the kernel killed in a group for want of memory.
func kills(dir string) (uint64, error) {
	for _, file := range []string{"memory.events", "memory.oom_control"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var counts map[string]uint64
		if err == nil {
			counts, err = cgroupfs.ParseKeyed(text)
		}
		return counts["oom_kill"], err
	}
	return 0, nil
}

func oomBuild(s *site) error {
	dir, err := s.limited(containerID(s.rec.Name, "app"))
	if err != nil {
		return err
	}
	init, err := s.startInit("oom-init", 0, dir)
	if err != nil {
		return err
	}
	if err := init.next(s.ctx, "eaten"); err != nil {
		return err
	}
	return s.stands(init, oomLook)
}

// group is the innermost one of a fault, "" if it was not made.
func (r record) group() string {
	if len(r.Groups) == 0 {
		return ""
	}
	return r.Groups[len(r.Groups)-1]
}

func oomLook(r record) (sight, error) {
	n, err := kills(r.group())
	return sight{text: fmt.Sprintf("the kernel has killed %d in %s", n, r.group()), all: n > 0, any: n > 0}, err
}

// oomContainerInit is the first process of a PID namespace: a program in the container's group
// that lives on, and its child that is killed.
func oomContainerInit(s stage) error {
	signal.Ignore(syscall.SIGHUP)
	if err := s.first(1, "oom-init wants a control group"); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(context.Background(), s.until)
	defer cancel()
	app, err := launch(ctx, oomContainer.Name, "app", s.until, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(join(s.args[0], app.cmd.Process.Pid), app.order()); err != nil {
		return err
	}
	eater, err := launch(ctx, oomContainer.Name, "oom-eater", s.until, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(join(s.args[0], eater.cmd.Process.Pid), eater.order()); err != nil {
		return err
	}
	if err := wasKilled(ctx, eater); err != nil {
		return err
	}
	if err := s.reach("eaten"); err != nil {
		return err
	}
	s.alone()
	return reapUntil(s)
}

// join puts a process into a control group. Its number is that of the writer's PID namespace.
func join(dir string, pid int) error {
	return set(dir, "cgroup.procs", strconv.Itoa(pid), true)
}

// wasKilled waits until a child is dead by SIGKILL.
func wasKilled(ctx context.Context, p *play) error {
	if err := p.heard(ctx, "eaten"); err == nil || strings.Contains(err.Error(), "oom-eater: ") {
		return errors.Join(fmt.Errorf("it took %d MiB and was not killed", mostEaten>>20), err)
	}
	err := p.cmd.Wait()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("it was not killed: %w", err)
}

// reapUntil waits for dead children until the time is over.
func reapUntil(s stage) error {
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			time.Sleep(time.Until(s.until))
			return nil
		}
	}
}

// app is a program that does nothing.
func app(s stage) error {
	if err := s.hello(); err != nil {
		return err
	}
	s.alone()
	time.Sleep(time.Until(s.until))
	return nil
}

// oomEater takes memory until it is killed. args, if any, is the name that it takes first.
func oomEater(s stage) error {
	if err := s.hello(); err != nil {
		return err
	}
	if err := set("/proc/self", "oom_score_adj", "1000", true); err != nil { // whoever else is in the group
		return err
	}
	if len(s.args) > 0 {
		if err := takeName(s.args[0]); err != nil {
			return err
		}
	}
	const piece = 1 << 20
	for range mostEaten / piece {
		page, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return err
		}
		for i := 0; i < piece; i += os.Getpagesize() {
			page[i] = 1
		}
	}
	return s.tell(report{Step: "eaten"})
}
