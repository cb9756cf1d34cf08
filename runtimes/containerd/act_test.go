package containerd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// An actor is containerd with one container, "web" of "default", as far as Remove asks it.
type actor struct {
	record   *containersapi.Container // nil: none
	task     *task.Process            // nil: none
	hangs    string                   // the call that never answers
	refuses  error                    // of the deletions
	taskGone bool                     // the task ends before its deletion

	mu        sync.Mutex
	deletions []string // as they came
}

type (
	actingContainers struct {
		containersapi.UnimplementedContainersServer
		*actor
	}
	actingTasks struct {
		tasksapi.UnimplementedTasksServer
		*actor
	}
)

func (a *actor) register(s *grpc.Server) {
	containersapi.RegisterContainersServer(s, actingContainers{actor: a})
	tasksapi.RegisterTasksServer(s, actingTasks{actor: a})
}

func (a *actor) enter(ctx context.Context, call, id string) error {
	if a.hangs == call {
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	if id != "web" || namespace(ctx) != "default" {
		return status.Errorf(codes.NotFound, "%s %s in %s: not found", call, id, namespace(ctx))
	}
	return nil
}

func (a *actor) deleting(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deletions = append(a.deletions, what)
}

func (a actingContainers) Get(ctx context.Context, r *containersapi.GetContainerRequest) (*containersapi.GetContainerResponse, error) {
	if err := a.enter(ctx, "container", r.ID); err != nil {
		return nil, err
	}
	if a.record == nil {
		return nil, status.Error(codes.NotFound, `container "web" in namespace "default": not found`)
	}
	return &containersapi.GetContainerResponse{Container: a.record}, nil
}

func (a actingContainers) Delete(ctx context.Context, r *containersapi.DeleteContainerRequest) (*emptypb.Empty, error) {
	a.deleting("container " + r.ID)
	if err := a.enter(ctx, "delete container", r.ID); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, a.refuses
}

func (a actingTasks) Get(ctx context.Context, r *tasksapi.GetRequest) (*tasksapi.GetResponse, error) {
	if err := a.enter(ctx, "task", r.ContainerID); err != nil {
		return nil, err
	}
	if a.task == nil {
		return nil, status.Error(codes.NotFound, "no running task found")
	}
	return &tasksapi.GetResponse{Process: a.task}, nil
}

func (a actingTasks) Delete(ctx context.Context, r *tasksapi.DeleteTaskRequest) (*tasksapi.DeleteResponse, error) {
	a.deleting("task " + r.ContainerID)
	if err := a.enter(ctx, "delete task", r.ContainerID); err != nil {
		return nil, err
	}
	if a.taskGone {
		return nil, status.Error(codes.NotFound, "no running task found")
	}
	return &tasksapi.DeleteResponse{}, a.refuses
}

func TestRemove(t *testing.T) {
	web := &containersapi.Container{ID: "web"}
	both := []string{"task web", "container web"}
	for _, tt := range []struct {
		name          string
		namespace, id string // "": default, web
		actor         *actor
		wait          time.Duration
		deletions     []string
		wantErr       string
		is            error
	}{
		{name: "no task", actor: &actor{record: web}, deletions: both[1:]},
		{name: "stopped", actor: &actor{record: web, task: process(task.Status_STOPPED, 7)}, deletions: both},
		{name: "stopped, and its task deleted meanwhile", actor: &actor{record: web, task: process(task.Status_STOPPED, 7), taskGone: true}, deletions: both},
		{name: "running", actor: &actor{record: web, task: process(task.Status_RUNNING, 7)},
			wantErr: "its task is running, pid 7: stop it first, ctr -n default task kill web", is: runtimes.ErrRefused},
		{name: "created", actor: &actor{record: web, task: process(task.Status_CREATED, 7)}, wantErr: "its task is created", is: runtimes.ErrRefused},
		{name: "paused", actor: &actor{record: web, task: process(task.Status_PAUSED, 7)}, wantErr: "its task is paused", is: runtimes.ErrRefused},
		{name: "hung shim", actor: &actor{record: web, task: process(task.Status_UNKNOWN, 0)}, wantErr: "heal that first", is: runtimes.ErrRefused},
		{name: "a status to come", actor: &actor{record: web, task: process(99, 7)}, wantErr: "heal that first", is: runtimes.ErrRefused},
		{name: "no such container", actor: &actor{}, wantErr: `record of web: container "web" in namespace "default": not found`, is: runtimes.ErrGone},
		{name: "in another namespace", namespace: "other", actor: &actor{record: web}, wantErr: "not found", is: runtimes.ErrGone},
		{name: "another's answer", actor: &actor{record: &containersapi.Container{ID: "db"}}, wantErr: "answers with another container", is: runtimes.ErrRefused},
		{name: "docker's", namespace: "moby", actor: &actor{record: web}, wantErr: "is docker's: remove it there", is: runtimes.ErrRefused},
		{name: "the kubelet's", namespace: "k8s.io", actor: &actor{record: web}, wantErr: "is the kubelet's: remove it over the CRI", is: runtimes.ErrRefused},
		{name: "no id", id: "-", actor: &actor{record: web}, wantErr: "name both", is: runtimes.ErrRefused},
		{name: "not deleted", actor: &actor{record: web, task: process(task.Status_STOPPED, 7), refuses: status.Error(codes.FailedPrecondition, "task must be stopped")},
			deletions: both[:1], wantErr: "delete task of web: task must be stopped"},
		{name: "record hangs", wait: 300 * time.Millisecond, actor: &actor{hangs: "container"}, wantErr: `did not answer "record of web" within`, is: runtimes.ErrSilent},
		{name: "shim hangs", wait: 300 * time.Millisecond, actor: &actor{record: web, hangs: "task"}, wantErr: `did not answer "state of web" within`, is: runtimes.ErrSilent},
		{name: "deletion hangs", wait: 300 * time.Millisecond, actor: &actor{record: web, hangs: "delete container"}, deletions: both[1:],
			wantErr: "it may be done yet: look again", is: runtimes.ErrSilent},
		{name: "a record too large", actor: &actor{record: &containersapi.Container{ID: "web", Labels: map[string]string{"x": strings.Repeat("x", 17<<20)}}}, wantErr: "larger than max"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			socket := runtimestest.GRPC(t, tt.actor.register)
			if tt.wait == 0 {
				tt.wait = time.Minute
			}
			switch tt.id {
			case "":
				tt.id = "web"
			case "-":
				tt.id = ""
			}
			if tt.namespace == "" {
				tt.namespace = "default"
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
			defer cancel()
			err := Remove(ctx, socket, tt.namespace, tt.id)
			t.Log(err)
			if ctx.Err() != nil && !errors.Is(err, runtimes.ErrSilent) {
				t.Error("used up all its time")
			}
			runtimestest.CheckError(t, err, tt.wantErr, tt.is)
			tt.actor.mu.Lock() // what hangs is not over yet
			defer tt.actor.mu.Unlock()
			if !slices.Equal(tt.actor.deletions, tt.deletions) {
				t.Errorf("deletions %q, want %q", tt.actor.deletions, tt.deletions)
			}
		})
	}
}
