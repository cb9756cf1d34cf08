package containerd

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// An actor is containerd with the task of one container, "web" of "default". It is
// asked for its state as often as there are states, and then has the last one.
type actor struct {
	tasksapi.UnimplementedTasksServer
	states  []task.Status // none: there is no task
	hangs   string        // the call that never answers
	refuses error         // of the deletion

	mu        sync.Mutex
	deletions []string // as they came
}

func (a *actor) register(s *grpc.Server) { tasksapi.RegisterTasksServer(s, a) }

func (a *actor) enter(ctx context.Context, call, id string) error {
	if a.hangs == call {
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	if id != "web" || namespace(ctx) != "default" || len(a.states) == 0 {
		return status.Errorf(codes.NotFound, "%s %s in %s: not found", call, id, namespace(ctx))
	}
	return nil
}

func (a *actor) Get(ctx context.Context, r *tasksapi.GetRequest) (*tasksapi.GetResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.enter(ctx, "state", r.ContainerID); err != nil {
		return nil, err
	}
	is := a.states[0]
	if len(a.states) > 1 {
		a.states = a.states[1:]
	}
	return &tasksapi.GetResponse{Process: process(is, 7)}, nil
}

func (a *actor) Delete(ctx context.Context, r *tasksapi.DeleteTaskRequest) (*tasksapi.DeleteResponse, error) {
	a.mu.Lock()
	a.deletions = append(a.deletions, r.ContainerID)
	a.mu.Unlock()
	if err := a.enter(ctx, "delete", r.ContainerID); err != nil {
		return nil, err
	}
	return &tasksapi.DeleteResponse{}, a.refuses
}

// Only a task that has stopped, or does so soon, is deleted.
func TestDeleteTask(t *testing.T) {
	const runs, ended, lost = task.Status_RUNNING, task.Status_STOPPED, task.Status_UNKNOWN
	for _, tt := range []struct {
		name      string
		id        string
		actor     *actor
		wait      time.Duration
		deletions int
		wantErr   string
		is        error
	}{
		{name: "no task", id: "web", actor: &actor{}},
		{name: "another's", id: "db", actor: &actor{states: []task.Status{ended}}},
		{name: "stopped", id: "web", actor: &actor{states: []task.Status{ended}}, deletions: 1},
		{name: "about to stop", id: "web", actor: &actor{states: []task.Status{runs, lost, runs, ended}}, deletions: 1},
		{name: "deleted meanwhile", id: "web", actor: &actor{states: []task.Status{ended}, refuses: status.Error(codes.NotFound, "no running task found")}, deletions: 1},
		{name: "running", id: "web", actor: &actor{states: []task.Status{runs}}, wantErr: "its task is running, pid 7: stop it first, ctr -n default task kill web", is: runtimes.ErrRefused},
		{name: "no id", actor: &actor{states: []task.Status{ended}}, wantErr: "name both", is: runtimes.ErrRefused},
		{name: "not deleted", id: "web", actor: &actor{states: []task.Status{ended}, refuses: status.Error(codes.FailedPrecondition, "task must be stopped")}, deletions: 1,
			wantErr: "delete task of web: task must be stopped"},
		{name: "the shim hangs", id: "web", wait: time.Second, actor: &actor{states: []task.Status{runs}, hangs: "state"}, wantErr: `did not answer "state of web"`, is: runtimes.ErrSilent},
		{name: "the deletion hangs", id: "web", wait: time.Second, actor: &actor{states: []task.Status{ended}, hangs: "delete"}, deletions: 1,
			wantErr: "it may be done yet: look again", is: runtimes.ErrSilent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			socket := runtimestest.GRPC(t, tt.actor.register)
			if tt.wait == 0 {
				tt.wait = time.Minute
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
			defer cancel()
			runtimestest.CheckError(t, DeleteTask(ctx, socket, "default", tt.id), tt.wantErr, tt.is)
			tt.actor.mu.Lock() // what hangs is not over yet
			defer tt.actor.mu.Unlock()
			if got := slices.Equal(tt.actor.deletions, slices.Repeat([]string{"web"}, tt.deletions)); !got {
				t.Errorf("deletions %q, want %d", tt.actor.deletions, tt.deletions)
			}
		})
	}
}
