package collect

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/docker"
	"sexton.dev/snapshot"
)

const (
	// maxInspects bounds how many containers one look inspects: each that hangs
	// leaves a goroutine in the daemon, and may itself take a lock for ever.
	maxInspects   = 3
	inspectWithin = time.Second
)

// An inspectQuestion is what the child that inspects is asked.
type inspectQuestion struct {
	Kind   runtimes.Kind `json:"kind"`
	Socket string        `json:"socket"`
	ID     string        `json:"id"`
	Proc   string        `json:"proc"`
	PIDs   []int         `json:"pids"`
}

// An inspectAnswer is what it says.
type inspectAnswer struct {
	Said   []runtimes.Said `json:"said,omitempty"`
	Ran    bool            `json:"ran,omitempty"`
	Silent bool            `json:"silent,omitempty"`
	Err    string          `json:"err,omitempty"`
}

// inspects asks docker for the few containers of which what it lists and what the
// kernel shows differ, and nothing else on the ladder tells why. Each is asked
// once: one that was silent is not asked again until its daemon is another.
func (l *looker) inspects(ctx context.Context) {
	if l.h.Ladder == nil {
		return
	}
	lives := map[string]bool{} // by container: a process of it is there
	for i := range l.h.Processes {
		if p := &l.h.Processes[i]; p.State != snapshot.Dead {
			lives[p.Container] = true
		}
	}
	for _, r := range l.h.Runtimes {
		if r.Kind != string(runtimes.Docker) || r.Err != "" {
			continue
		}
		for i := range l.h.Containers {
			c := &l.h.Containers[i]
			why := differs(c, lives[c.ID])
			if why != "" && c.Runtime == r.Kind && len(l.h.Ladder.Inspected) < maxInspects && !l.explained(c) {
				l.inspect(ctx, r, c.ID, why)
			}
		}
	}
}

// differs says in what a container differs from what its runtime lists, "" if in nothing.
func differs(c *snapshot.Container, lives bool) string {
	switch {
	case c.State == "running" && !lives:
		return "docker lists it as running, and no process of it is there"
	case c.State == "exited" && lives:
		return "docker lists it as exited, and processes of it are there"
	}
	return ""
}

// explained reports whether the ladder tells why a container differs.
func (l *looker) explained(c *snapshot.Container) bool {
	stopped := func(x *snapshot.Layer) bool {
		p := l.h.Process(x.PID)
		return x.Container == c.ID && p != nil && p.State == snapshot.Stopped
	}
	hangs := func(x *snapshot.Layer) bool { return x.Container == c.ID }
	return slices.ContainsFunc(l.h.Ladder.Of(snapshot.RungShim), stopped) || slices.ContainsFunc(l.h.Ladder.Of(snapshot.RungChild), hangs) ||
		slices.ContainsFunc(l.h.Ladder.Of(snapshot.RungInit), hangs) || l.stopped("containerd") || l.stopped("dockerd")
}

func (l *looker) inspect(ctx context.Context, r snapshot.Runtime, id, why string) {
	in := snapshot.Inspect{Container: id, Runtime: r.Kind, Socket: r.Socket, Why: why}
	a, err := askFor[inspectAnswer](l, "inspect/"+id, func() ([]byte, error) {
		quiet := l.quiet()
		as := runtimes.Socket{Kind: runtimes.Kind("inspect " + id), Path: r.Socket}
		quiet.identity[as.Kind] = quiet.identity[runtimes.Docker]
		if !l.AskAgain && quiet.has(as) {
			return json.Marshal(inspectAnswer{Err: "not asked: it was silent before and the daemon has not been restarted since; --ask-again asks all the same"})
		}
		q := inspectQuestion{runtimes.Docker, r.Socket, id, l.Proc, l.serving(r.Socket)}
		text, err := l.Child.ask(ctx, inspectWithin+inspectWithin/5, q, "inspect")
		var a inspectAnswer
		if err == nil && json.Unmarshal(text, &a) == nil && a.Silent && !a.Ran {
			quiet.add(as)
		}
		return text, err
	})
	if err != nil {
		a.Err = cause(err)
	}
	in.Said, in.Ran, in.Err = said(a.Said), a.Ran, a.Err
	l.h.Ladder.Inspected = append(l.h.Ladder.Inspected, in)
}

// childInspect is the child's part.
func childInspect(out io.Writer, text string) error {
	var q inspectQuestion
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), inspectWithin)
	defer cancel()
	ran := watch(ctx, q.Proc, words(q.PIDs))
	all, err := docker.Probe(ctx, q.Kind, q.Socket, q.ID)
	a := inspectAnswer{Said: all, Ran: ran(), Silent: errors.Is(err, runtimes.ErrSilent)}
	if err != nil {
		a.Err = err.Error()
	}
	return json.NewEncoder(out).Encode(a)
}
