package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	reply, err := tasksapi.NewTasksClient(a.cc).Get(in(own, c.Namespace), &tasksapi.GetRequest{ContainerID: c.ID})
	switch status.Code(err) {
	case codes.OK:
		p := reply.GetProcess()
		c.State = state(p.GetStatus())
		if alive(p.GetStatus()) { // the number of an exited one may be another's by now
			c.PID = int(p.GetPid())
		}
		if c.State == "unknown" {
			return errors.New("containerd got no answer from its shim") // within 2 s, or within the time given, which it is told
		}
		return nil
	case codes.NotFound:
		return nil
	case codes.DeadlineExceeded:
		c.State = "unknown"
		return fmt.Errorf("no answer within %v", wait.Round(time.Millisecond))
	}
	c.State = "unknown"
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

func alive(s task.Status) bool {
	return s == task.Status_CREATED || s == task.Status_RUNNING || s == task.Status_PAUSED || s == task.Status_PAUSING
}

func state(s task.Status) string {
	switch s {
	case task.Status_CREATED:
		return "created"
	case task.Status_RUNNING:
		return "running"
	case task.Status_STOPPED:
		return "exited"
	case task.Status_PAUSED, task.Status_PAUSING:
		return "paused"
	}
	return "unknown"
}
