package pidfd

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/procfs"
)

func parentOf(t *testing.T, pid int) *Process {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	var s procfs.Stat
	if err == nil {
		s, err = procfs.ParseStat(text)
	}
	var p *Process
	if err == nil {
		p, err = Open(pid, s.Start)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Nothing but the very child is ended, and only while it stands still.
func TestEndChild(t *testing.T) {
	me, _ := os.Executable()
	self := me[strings.LastIndexByte(me, '/')+1:]
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, g *target, c *Child)
		want   string // part of the refusal, "" for none
	}{
		{name: "ended"},
		{name: "another executable", change: func(_ *testing.T, _ *target, c *Child) { c.Names = []string{"runc", "crun"} }, want: "which is none of runc, crun"},
		{name: "a parent of another kind", change: func(_ *testing.T, _ *target, c *Child) { c.Parents = []string{"conmon"} }, want: "which is none of conmon"},
		{name: "it has run", change: func(_ *testing.T, _ *target, c *Child) { c.Switches-- }, want: "it has run since it was seen"},
		{name: "another parent", change: func(t *testing.T, _ *target, c *Child) { c.Parent = parentOf(t, os.Getppid()) }, want: "its parent is process"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := run(t, "sleep", "1000")
			p, err := Open(g.pid(), g.start)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var n uint64
			hosttest.Until(t, patience, "it sleeps", func() bool {
				wchan, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", g.pid()))
				was := n
				n, err = p.switches()
				return err == nil && strings.Contains(string(wchan), "nanosleep") && n == was
			})
			c := Child{Parent: parentOf(t, os.Getpid()), Names: []string{"sleep", "coreutils", "busybox"}, Parents: []string{self}, Switches: n}
			if tt.change != nil {
				tt.change(t, g, &c)
			}
			err = p.EndChild(t.Context(), c)
			if tt.want != "" {
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				if s := g.stat(); s.State != 'S' {
					t.Errorf("it is in state %c", s.State)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			g.cmd.Wait()
			if s := g.cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGKILL {
				t.Errorf("it ended by %v", s)
			}
			if err := p.EndChild(t.Context(), c); !errors.Is(err, ErrGone) {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// A program in namespaces of its own is no runtime's child, whatever it is named.
func TestEndChildOfContainer(t *testing.T) {
	hosttest.NeedsRoot(t)
	g := run(t, "unshare", "-m", "sleep", "1000")
	hosttest.Until(t, patience, "it is apart", func() bool {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", g.pid()))
		return string(comm) == "sleep\n"
	})
	p, err := Open(g.pid(), g.start)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	me, _ := os.Executable()
	c := Child{Parent: parentOf(t, os.Getpid()), Names: []string{"sleep", "coreutils", "busybox"}, Parents: []string{me[strings.LastIndexByte(me, '/')+1:]}}
	if err := p.EndChild(t.Context(), c); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "in another namespace") {
		t.Errorf("%v", err)
	}
}
