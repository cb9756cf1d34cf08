package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
	"sexton.dev/runtimes/rpc"
)

const (
	// atOnce is how many tasks are asked for at the same time. Three times as many
	// hung shims may come before a healthy one is not asked.
	atOnce = 32
	// tasksWithout is how long the states may take if the context has no deadline.
	tasksWithout = 3 * time.Second
	// maxNamed bounds how many containers an error names.
	maxNamed = 5
)

// tasks fills in the state and the process id of each container. It asks for
// task after task, as the list of tasks is one shim after another on
// containerd's side, two seconds for each that hangs.
//
// Source: containerd v1.6 services/tasks/local.go, getProcessState and
// stateTimeout.
func (a *asker) tasks(ctx context.Context, containers []runtimes.Container) {
	budget := tasksWithout
	if end, ok := ctx.Deadline(); ok {
		budget = time.Until(end) * 3 / 4
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	a.d.Begin("states", dial.MaxBytes)

	next := make(chan *runtimes.Container)
	late := make([][]string, atOnce)
	var workers sync.WaitGroup
	for i := range atOnce {
		workers.Go(func() {
			for c := range next {
				if err := a.task(ctx, c, budget/3); err != nil {
					late[i] = append(late[i], fmt.Sprintf("%.80s in %.80s (%v)", c.ID, c.Namespace, err))
				}
			}
		})
	}
	for i := range containers {
		next <- &containers[i]
	}
	close(next)
	workers.Wait()
	a.shortOf(late)
}

// task asks for one state. After the time is over it only marks the container.
func (a *asker) task(ctx context.Context, c *runtimes.Container, wait time.Duration) error {
	own, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	reply, err := a.cc.Call(own, taskMethod, in(c.Namespace), rpc.Text(1, c.ID))
	var p taskProcess
	if err == nil {
		p, err = parseProcess(reply)
	}
	switch {
	case err == nil:
		c.State = state(p.status)
		if alive(p.status) { // the number of an exited one may be another's by now
			c.PID = int(p.pid)
		}
		if c.State == "unknown" {
			return errors.New("containerd got no answer from its shim") // within 2 s, or within the time given, which it is told
		}
		return nil
	case rpc.CodeOf(err) == rpc.NotFound:
		return nil
	}
	c.State = "unknown"
	if rpc.CodeOf(err) == rpc.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", wait.Round(time.Millisecond))
	}
	return errors.New(dial.What(rpc.Explain(own, a.d, err)))
}

// shortOf notes the containers without a state in one sentence.
func (a *asker) shortOf(late [][]string) {
	var all []string
	for _, some := range late {
		all = append(all, some...)
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	named := strings.Join(all[:min(len(all), maxNamed)], ", ")
	if more := len(all) - maxNamed; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	a.short = append(a.short, "state unknown: "+named)
}

// partial is the error for all that the answer lacks.
func (a *asker) partial() error {
	if len(a.short) == 0 {
		return nil
	}
	text := strings.Join(a.short[:min(len(a.short), maxNamed)], "; ")
	return a.d.Fail("containers are listed, but "+text, runtimes.ErrPartial)
}

func alive(s taskStatus) bool {
	return s == created || s == running || s == paused || s == pausing
}

func state(s taskStatus) string {
	switch s {
	case created:
		return "created"
	case running:
		return "running"
	case stopped:
		return "exited"
	case paused, pausing:
		return "paused"
	}
	return "unknown"
}
