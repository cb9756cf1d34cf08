package lab

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// How many dead the fault has. Arrivals end at mostArrivals, so that a host
// where nobody takes it down loses fewer than 500 pids to it.
const (
	ownChildren  = 3
	firstOrphans = 3
	mostArrivals = 490
)

var zombies = Fault{
	Name:    "zombies",
	Summary: "a first process that never waits for its dead children, and more of them every 2 s",
	Want: []string{
		"unreaped-children: names sleep, the first process of its PID namespace, SIGCHLD at its default action",
		"unreaped-children: 3 children of its own and 3 or more orphans of exec sessions, one more every 2 s",
		"half-dead: names sexton-lab:half, whose main thread ended while others live",
	},
	Risk: "disruptive",
	Remains: []string{
		"unreaped-children: the 3 children of its own, whose status it may still ask for, and the orphans that came since",
		"half-dead: it ends with its other threads, and nobody can reap it before",
	},
	Harm:  "one pid more is used every 2 s, at most 500 in all",
	ready: zombiesReady,
	build: zombiesBuild,
	look:  zombiesLook,
}

func zombiesReady(Options) error {
	_, err := sleepPath()
	return err
}

// sleepPath finds the program that takes init's place. It cannot be this
// program: Go's runtime catches SIGCHLD.
func sleepPath() (string, error) {
	path, err := exec.LookPath("sleep")
	if err != nil {
		return "", hint(fmt.Errorf("needs a program that sleeps: %w", err), "install coreutils or busybox")
	}
	return path, nil
}

func zombiesBuild(s *site) error {
	sleep, err := sleepPath()
	if err != nil {
		return err
	}
	init, err := s.startInit("zombies-init", 0, sleep)
	if err != nil {
		return err
	}
	if err := init.next(s.ctx, "children"); err != nil {
		return err
	}
	if err := s.until("the children of init are dead", func() (bool, error) {
		c, err := countZombies(s.rec.role(roleInit).PID)
		return c.own == ownChildren && c.half == 1, err
	}); err != nil {
		return err
	}
	if err := s.noteChildren("half-dead", "half"); err != nil {
		return err
	}
	if err := init.next(s.ctx, ""); err != nil { // it executed sleep, which closed the pipe
		return err
	}
	p := s.rec.role(roleInit)
	feeder, err := s.start(roleFeeder, "zombies-feeder", &syscall.SysProcAttr{Setsid: true}, strconv.Itoa(p.PID), strconv.FormatUint(p.Start, 10))
	if err != nil {
		return err
	}
	if err := feeder.next(s.ctx, "fed"); err != nil {
		return err
	}
	if err := s.shows(zombiesLook); err != nil {
		return err
	}
	return s.proved()
}

// noteChildren records the children of init that have the lab's names.
func (s *site) noteChildren(roleAndName ...string) error {
	for i := 0; i < len(roleAndName); i += 2 {
		p, err := s.child(roleAndName[i+1])
		if err != nil {
			return err
		}
		p.Role = roleAndName[i]
		s.rec.Processes = append(s.rec.Processes, p)
	}
	return s.dir.write(s.rec)
}

// child finds the child of init that has one of the lab's names.
func (s *site) child(name string) (Process, error) {
	all, err := children(s.rec.role(roleInit).PID)
	if err != nil {
		return Process{}, err
	}
	for _, c := range all {
		if c.Comm == prefix+name {
			return Process{PID: c.PID, Start: c.Start, Comm: c.Comm}, nil
		}
	}
	return Process{}, fmt.Errorf("%s%s is not there", prefix, name)
}

// A zombieCount says what the kernel shows below init.
type zombieCount struct {
	own     int // dead, of init's session: forked by it
	orphans int // dead, of another session: left to it
	half    int // main thread dead, others live
}

func countZombies(init int) (zombieCount, error) {
	parent, err := readStat(init)
	if err != nil {
		return zombieCount{}, fmt.Errorf("init (pid %d): %w", init, err)
	}
	all, err := children(init)
	var c zombieCount
	for _, child := range all {
		switch {
		case child.State != 'Z' || !strings.HasPrefix(child.Comm, prefix):
		case child.Threads > 1 && child.Comm == prefix+"half":
			c.half++
		case child.Threads > 1: // on its way: its threads end one by one
		case child.Session == parent.Session:
			c.own++
		default:
			c.orphans++
		}
	}
	return c, err
}

// zombiesLook proves the fault by stat and status of init and its children.
func zombiesLook(r record) (sight, error) {
	init := r.role(roleInit)
	status, err := readStatus(init.PID)
	if err != nil {
		return sight{}, fmt.Errorf("%v: %w", init, err)
	}
	stat, err := readStat(init.PID)
	if err == nil && stat.Start != init.Start {
		err = errGone
	}
	if err != nil {
		return sight{}, fmt.Errorf("%v: %w", init, err)
	}
	if !firstInside(status) {
		return sight{}, fmt.Errorf("%v is no first process of a PID namespace: NSpid %v", init, status.NSpid)
	}
	c, err := countZombies(init.PID)
	if err != nil {
		return sight{}, err
	}
	byDefault := (status.SigIgn|status.SigCgt)&(1<<(syscall.SIGCHLD-1)) == 0
	return sight{
		text: fmt.Sprintf("%s (pid %d) has %d dead children of its own, %d dead orphans and %d half-dead",
			stat.Comm, init.PID, c.own, c.orphans, c.half),
		all: byDefault && !strings.HasPrefix(stat.Comm, prefix) && c.own == ownChildren && c.orphans >= firstOrphans && c.half == 1,
		any: c.own+c.orphans+c.half > 0,
	}, nil
}
