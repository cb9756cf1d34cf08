package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

var frozen = Fault{
	Name:    "frozen",
	Summary: "a container whose cgroup was frozen behind its runtime's back",
	Want:    []string{"hung-task: the container is frozen, with sexton-lab:app in it, and no runtime calls it paused"},
	Risk:    "disruptive",
	Harm:    "none: a process of its own stands still",
	ready:   func(Options) error { _, err := hierarchyOf("freezer"); return err },
	build:   frozenBuild,
	look:    frozenLook,
}

func frozenBuild(s *site) error {
	h, err := hierarchyOf("freezer")
	if err != nil {
		return err
	}
	dir, err := s.containerGroup(h, containerID(s.rec.Name, "app"))
	if err != nil {
		return err
	}
	init, err := s.startInit("frozen-init", 0, dir)
	if err != nil {
		return err
	}
	if err := init.next(s.ctx, "frozen"); err != nil {
		return err
	}
	if err := s.noteChildren("app", "app"); err != nil {
		return err
	}
	return s.stands(init, frozenLook)
}

func frozenLook(r record) (sight, error) {
	text, err := os.ReadFile(filepath.Join(r.group(), "freezer.state"))
	is := strings.HasPrefix(string(text), "FROZEN")
	if errors.Is(err, os.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(r.group(), "cgroup.events"))
		is = strings.Contains(string(text), "frozen 1\n")
	}
	word := "runs"
	if is {
		word = "is frozen"
	}
	return sight{text: fmt.Sprintf("%s %s", r.group(), word), all: is, any: is}, err
}

// frozenInit is the first process of a PID namespace. It thaws before it ends: the end
// of the namespace would wait for what is frozen in it.
func frozenInit(s stage) error {
	signal.Ignore(syscall.SIGHUP)
	if err := s.first(1, "frozen-init wants a control group"); err != nil {
		return err
	}
	thaw := func() { thawAll(s.args) }
	s.late.Stop()
	s.late = time.AfterFunc(time.Until(s.until), func() { thaw(); os.Exit(0) })
	defer thaw()
	ctx, cancel := context.WithDeadline(context.Background(), s.until)
	defer cancel()
	app, err := launch(ctx, frozen.Name, "app", s.until, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(join(s.args[0], app.cmd.Process.Pid), app.order(), app.heard(ctx, "")); err != nil {
		return err
	}
	if err := errors.Join(set(s.args[0], "freezer.state", "FROZEN", false), set(s.args[0], "cgroup.freeze", "1", false)); err != nil {
		return err
	}
	if err := s.reach("frozen"); err != nil {
		return err
	}
	s.alone()
	return reapUntil(s)
}
