package cri

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// An actor is a runtime with one container, as far as acts ask it.
type actor struct {
	criv1.UnimplementedRuntimeServiceServer
	container *criv1.ContainerStatus
	hangs     string // the method that never answers

	mu   sync.Mutex
	acts []string // as they came
}

func (a *actor) register(s *grpc.Server) { criv1.RegisterRuntimeServiceServer(s, a) }

func (a *actor) enter(ctx context.Context, method string) error {
	if a.hangs != method {
		return nil
	}
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

func (a *actor) Version(context.Context, *criv1.VersionRequest) (*criv1.VersionResponse, error) {
	return &criv1.VersionResponse{RuntimeName: "containerd", RuntimeVersion: "1.6.20"}, nil
}

func (a *actor) ContainerStatus(ctx context.Context, _ *criv1.ContainerStatusRequest) (*criv1.ContainerStatusResponse, error) {
	if a.container == nil {
		return nil, status.Error(codes.NotFound, "could not find container")
	}
	return &criv1.ContainerStatusResponse{Status: a.container}, a.enter(ctx, "ContainerStatus")
}

func (a *actor) did(ctx context.Context, method, what string) error {
	a.mu.Lock()
	a.acts = append(a.acts, method+" "+what)
	a.mu.Unlock()
	return a.enter(ctx, method)
}

func (a *actor) StopContainer(ctx context.Context, r *criv1.StopContainerRequest) (*criv1.StopContainerResponse, error) {
	return &criv1.StopContainerResponse{}, a.did(ctx, "StopContainer", fmt.Sprint(r.ContainerId, " ", r.Timeout))
}

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var started = time.Date(2026, 11, 20, 22, 9, 56, 7, time.UTC)

func containerIn(state criv1.ContainerState) *criv1.ContainerStatus {
	return &criv1.ContainerStatus{Id: id, State: state, StartedAt: started.UnixNano(), Labels: map[string]string{podUID: "u1", "token": "SECRET"}}
}

const (
	createdState, runningState = criv1.ContainerState_CONTAINER_CREATED, criv1.ContainerState_CONTAINER_RUNNING
	exitedState                = criv1.ContainerState_CONTAINER_EXITED
)

// An act is one of the package's, and how it goes.
type act struct {
	name    string
	actor   *actor // nil: one that knows nothing
	call    func(ctx context.Context, socket string) error
	wait    time.Duration
	act     string // "" for none
	wantErr string
	is      error
}

func stops(was runtimes.Run) func(context.Context, string) error {
	return func(ctx context.Context, socket string) error { return Stop(ctx, socket, was) }
}

var was = runtimes.Run{ID: id, State: "running", Started: started, PID: 7}

var acts = []act{
	{name: "a prefix", call: stops(runtimes.Run{ID: id[:13], Started: started}), wantErr: "not a full id", is: runtimes.ErrRefused},
	{name: "another's answer", actor: &actor{container: &criv1.ContainerStatus{Id: strings.Repeat("f", 64), State: runningState}}, call: stops(was),
		wantErr: "answers with another id", is: runtimes.ErrRefused},
	{name: "no answer", actor: &actor{container: containerIn(runningState), hangs: "ContainerStatus"}, call: stops(was), wait: time.Second,
		wantErr: `did not answer "ContainerStatus 0123456789ab"`, is: runtimes.ErrSilent},
	{name: "endless label", actor: &actor{container: &criv1.ContainerStatus{Id: id, State: runningState, Message: strings.Repeat("x", 17<<20)}}, call: stops(was),
		wantErr: "larger than max"},

	{name: "stop", actor: &actor{container: containerIn(runningState)}, call: stops(was), act: "StopContainer " + id + " 10"},
	{name: "stop another run", actor: &actor{container: containerIn(runningState)}, call: stops(runtimes.Run{ID: id, Started: started.Add(1)}),
		wantErr: "this is another run of it", is: runtimes.ErrRefused},
	{name: "stop a created one", actor: &actor{container: containerIn(createdState)}, call: stops(was), wantErr: "it is created, not running", is: runtimes.ErrRefused},
	{name: "stop an exited one", actor: &actor{container: containerIn(exitedState)}, call: stops(was), wantErr: "it is exited, not running", is: runtimes.ErrRefused},
	{name: "stop what nobody starts again", actor: &actor{container: &criv1.ContainerStatus{Id: id, State: runningState, StartedAt: started.UnixNano()}}, call: stops(was),
		wantErr: "nobody would start it again", is: runtimes.ErrRefused},
	{name: "too little time", actor: &actor{container: containerIn(runningState)}, call: stops(was), wait: 20 * time.Second, wantErr: "a stop needs 30s", is: runtimes.ErrRefused},
	{name: "stop nothing", call: stops(was), wantErr: "could not find container", is: runtimes.ErrGone},
}

func TestActs(t *testing.T) {
	for _, tt := range acts {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			if tt.actor == nil {
				tt.actor = new(actor)
			}
			tt.actor.acts = nil // those of a run before
			socket := runtimestest.GRPC(t, tt.actor.register)
			if tt.wait == 0 {
				tt.wait = time.Minute
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
			defer cancel()
			err := tt.call(ctx, socket)
			t.Log(err)
			if ctx.Err() != nil && !errors.Is(err, runtimes.ErrSilent) {
				t.Error("used up all its time")
			}
			runtimestest.CheckError(t, err, tt.wantErr, tt.is)
			var want []string
			if tt.act != "" {
				want = []string{tt.act}
			}
			tt.actor.mu.Lock() // what hangs is not over yet
			defer tt.actor.mu.Unlock()
			if !slices.Equal(tt.actor.acts, want) {
				t.Errorf("acts %q, want %q", tt.actor.acts, want)
			}
		})
	}
}

func TestInspect(t *testing.T) {
	a := &actor{container: containerIn(runningState)}
	got, err := Inspect(t.Context(), runtimestest.GRPC(t, a.register), id)
	if want := (runtimes.Run{ID: id, State: "running", Started: started}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
