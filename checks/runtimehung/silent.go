package runtimehung

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// silentShims finds the shims that take a question and do not answer, though they
// are neither stopped nor at work.
func (j *judge) silentShims() {
	for _, x := range j.now.Ladder.Of(snapshot.RungShim) {
		was, p := j.same(x)
		silence := snapshot.Silent(x.Said)
		if was == nil || p == nil || silence == nil || x.Ran || j.down[p.PID] || j.explained[x.Container] || j.awaits(p) {
			continue
		}
		j.add(j.silent(culprit{rung: snapshot.RungShim, process: p, container: x.Container}, "its socket", silence))
	}
}

// awaits reports whether a shim has a runc below it, in either look: while that starts
// a process and another one ends, the shim answers nobody. One that never ends is a
// finding of its own once it is old enough.
//
// Source: containerd v1.6 runtime/v2/runc/task/service.go, Start and checkProcesses:
// the one holds eventSendMu, for which the other waits with mu held.
func (j *judge) awaits(shim *snapshot.Process) bool {
	for _, h := range []*snapshot.Host{j.before, j.now} {
		for _, p := range h.Children(shim.PID) {
			if x := h.Ladder.Layer(p.ID()); x != nil && x.Rung == snapshot.RungChild {
				return true
			}
		}
	}
	return false
}

// silent completes a culprit that was asked and did not answer.
func (j *judge) silent(c culprit, socket string, s *snapshot.Said) culprit {
	c.how, c.since = "does not answer", j.before.Taken
	c.cause = fmt.Sprintf("It took the question and did not answer it within %v, and none of its threads was at work meanwhile: they wait for each other or for what is below", s.Took)
	if s.Full {
		c.cause = "It accepts no connection, and none of its threads was at work meanwhile"
	}
	c.wait = "no answer to " + s.Question
	c.evidence = append(c.evidence, check.Evidence{Source: socket, Text: said(*s)})
	if t := j.stuckThread(c.process); t != nil {
		c.kernel, c.wait = true, where(*t)
		c.evidence = append(c.evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/task/%d", c.process.PID, t.TID), Text: "a thread in state D in both looks: " + where(*t)})
	}
	c.advice = append(c.advice, fmt.Sprintf("its goroutines tell who holds which lock; keep them before anything is ended: sexton stacks %d", c.process.PID))
	return c
}

func (j *judge) stuckThread(p *snapshot.Process) *snapshot.Task {
	if was := j.before.Same(p.ID()); was != nil {
		return stuck(was, p)
	}
	return nil
}

// silentDaemons finds the daemons that do not answer. Docker's version is also
// containerd's word: where only that is missing, containerd is asked itself, and if
// it is silent too, or could not be asked, it is the one.
func (j *judge) silentDaemons() {
	for _, r := range j.now.Runtimes {
		s := snapshot.Silent(r.Said)
		if s == nil || r.Ran {
			continue
		}
		server := j.server(r)
		if server == nil || j.down[server.PID] || j.explainsDocker(r, s) {
			continue
		}
		x := j.now.Ladder.Layer(server.ID())
		j.add(j.silent(culprit{rung: x.Rung, process: server}, r.Kind+" at "+r.Socket, s))
	}
}

// explainsDocker reports whether a question to dockerd waits for another layer that
// is, or will be, the culprit.
func (j *judge) explainsDocker(r snapshot.Runtime, s *snapshot.Said) bool {
	if r.Kind != "docker" || s.Question != "version" {
		return false
	}
	for _, x := range j.now.Ladder.Of(snapshot.RungContainerd) {
		if j.down[x.PID] {
			return true
		}
	}
	return slices.ContainsFunc(j.now.Runtimes, func(c snapshot.Runtime) bool {
		return c.Kind == "containerd" && snapshot.Silent(c.Said) != nil && !c.Ran
	})
}

// server returns the process that answers on a runtime's socket, nil if it is not
// known or was not there in both looks.
func (j *judge) server(r snapshot.Runtime) *snapshot.Process {
	for _, l := range j.now.Ladder.Listeners {
		if !sameSocket(l.Path, r.Socket) {
			continue
		}
		for _, pid := range l.PIDs {
			if p := j.now.Process(pid); p != nil && j.before.Same(p.ID()) != nil && j.now.Ladder.Layer(p.ID()) != nil {
				return p
			}
		}
	}
	return nil
}

// sameSocket reports whether a path as it was bound is one as it was opened, maybe below another root.
func sameSocket(bound, opened string) bool {
	bound = strings.TrimPrefix(bound, "/var")
	return opened == bound || strings.HasSuffix(opened, bound)
}

// inspected finds the container whose lock docker does not give, where nothing
// below explains it.
func (j *judge) inspected() {
	for _, in := range j.now.Ladder.Inspected {
		s := snapshot.Silent(in.Said)
		server := j.server(snapshot.Runtime{Kind: in.Runtime, Socket: in.Socket})
		if s == nil || in.Ran || server == nil || j.down[server.PID] || j.explained[in.Container] {
			continue
		}
		x := j.now.Ladder.Layer(server.ID())
		c := j.silent(culprit{rung: x.Rung, process: server, container: in.Container}, in.Runtime+" at "+in.Socket, s)
		c.cause = "It answers, but not for this container: something in it holds the container's lock"
		c.evidence = append(c.evidence, check.Evidence{Source: in.Runtime, Text: in.Why})
		j.add(c)
	}
}

// outputs finds the programs that wait for a reader of what they write.
func (j *judge) outputs() {
	for _, x := range j.now.Ladder.Of(snapshot.RungProgram) {
		was, p := j.same(x)
		if was == nil || p == nil || !j.still(x) || j.explained[x.Container] {
			continue
		}
		c := j.deaf(x)
		if c.process == nil || j.down[c.process.PID] {
			continue
		}
		c.container, c.how, c.since = x.Container, "does not read what its container writes", j.before.Taken
		c.wait = "for who takes its lines further"
		c.evidence = []check.Evidence{{Source: fmt.Sprintf("/proc/%d/task/%d", x.PID, x.Wait.TID),
			Text: fmt.Sprintf("%s (pid %d) in both looks, no context switch between them: %s, on %s, which pid %s reads", p.Comm, p.PID, where(*x.Wait), x.On, check.PIDs(x.Readers, 3))}}
		if x.Pipe != "" {
			c.evidence = append(c.evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/fd", x.Readers[0]), Text: "hands it on to " + x.Pipe})
		}
		j.add(c)
	}
}

// deaf says who does not read: whoever is beyond the shim's FIFO, else the one that
// has the other end of the pipe.
func (j *judge) deaf(x *snapshot.Layer) culprit {
	for _, pid := range slices.Concat(x.Beyond, x.Readers) {
		p := j.now.Process(pid)
		if p == nil || j.before.Same(p.ID()) == nil {
			continue
		}
		layer := j.now.Ladder.Layer(p.ID())
		if layer == nil || j.down[pid] {
			return culprit{}
		}
		c := culprit{rung: layer.Rung, process: p}
		switch {
		case layer.Rung == snapshot.RungShim && x.Pipe != "":
			c.rung = snapshot.RungClient // who read it
			c.cause = "Its pipe is full: the shim hands the output on to a FIFO that nobody else has open, since who kept the log has gone"
			c.advice = []string{"read the FIFO, or give the container a log that is kept by its runtime: cat " + x.Pipe}
		case layer.Rung == snapshot.RungDockerd:
			c.cause = "Its pipe is full: dockerd reads the container's FIFO and waits itself, for where its log driver sends the lines"
			c.advice = []string{"see that the log driver's server reads (syslog, fluentd, a full disk); --log-opt mode=non-blocking keeps a program from waiting for it"}
		default:
			c.cause = "Its pipe is full: the one that has the other end does not read it"
		}
		return c
	}
	return culprit{}
}
