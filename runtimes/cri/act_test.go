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

// An actor is a runtime with one container in one sandbox, as far as acts ask it.
type actor struct {
	criv1.UnimplementedRuntimeServiceServer
	container *criv1.ContainerStatus
	sandbox   *criv1.PodSandboxStatus
	inside    []*criv1.Container
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

func (a *actor) PodSandboxStatus(ctx context.Context, _ *criv1.PodSandboxStatusRequest) (*criv1.PodSandboxStatusResponse, error) {
	if a.sandbox == nil {
		return nil, status.Error(codes.NotFound, "could not find sandbox")
	}
	return &criv1.PodSandboxStatusResponse{Status: a.sandbox}, a.enter(ctx, "PodSandboxStatus")
}

func (a *actor) ListContainers(ctx context.Context, r *criv1.ListContainersRequest) (*criv1.ListContainersResponse, error) {
	if r.Filter.GetPodSandboxId() != id {
		return nil, status.Errorf(codes.InvalidArgument, "filter %v", r.Filter)
	}
	return &criv1.ListContainersResponse{Containers: a.inside}, a.enter(ctx, "ListContainers")
}

func (a *actor) did(ctx context.Context, method, what string) error {
	a.mu.Lock()
	a.acts = append(a.acts, method+" "+what)
	a.mu.Unlock()
	return a.enter(ctx, method)
}

func (a *actor) RemoveContainer(ctx context.Context, r *criv1.RemoveContainerRequest) (*criv1.RemoveContainerResponse, error) {
	return &criv1.RemoveContainerResponse{}, a.did(ctx, "RemoveContainer", r.ContainerId)
}

func (a *actor) RemovePodSandbox(ctx context.Context, r *criv1.RemovePodSandboxRequest) (*criv1.RemovePodSandboxResponse, error) {
	return &criv1.RemovePodSandboxResponse{}, a.did(ctx, "RemovePodSandbox", r.PodSandboxId)
}

func (a *actor) StopContainer(ctx context.Context, r *criv1.StopContainerRequest) (*criv1.StopContainerResponse, error) {
	return &criv1.StopContainerResponse{}, a.did(ctx, "StopContainer", fmt.Sprint(r.ContainerId, " ", r.Timeout))
}

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var started = time.Date(2026, 11, 20, 22, 9, 56, 7, time.UTC)

func containerIn(state criv1.ContainerState) *criv1.ContainerStatus {
	return &criv1.ContainerStatus{Id: id, State: state, StartedAt: started.UnixNano(), Labels: map[string]string{podUID: "u1", "token": "SECRET"}}
}

func sandboxIn(state criv1.PodSandboxState) *criv1.PodSandboxStatus {
	return &criv1.PodSandboxStatus{Id: id, State: state, Network: &criv1.PodSandboxNetworkStatus{Ip: "10.0.0.1"}}
}

func inside(states ...criv1.ContainerState) (all []*criv1.Container) {
	for _, s := range states {
		all = append(all, &criv1.Container{Id: strings.Repeat("c", 64), PodSandboxId: id, State: s})
	}
	return all
}

const (
	createdState, runningState = criv1.ContainerState_CONTAINER_CREATED, criv1.ContainerState_CONTAINER_RUNNING
	exitedState, unknownState  = criv1.ContainerState_CONTAINER_EXITED, criv1.ContainerState_CONTAINER_UNKNOWN
	readyState, notReadyState  = criv1.PodSandboxState_SANDBOX_READY, criv1.PodSandboxState_SANDBOX_NOTREADY
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

func removes(id string) func(context.Context, string) error {
	return func(ctx context.Context, socket string) error { return Remove(ctx, socket, id) }
}

func removesSandbox(ctx context.Context, socket string) error { return RemoveSandbox(ctx, socket, id) }

func stops(was runtimes.Run) func(context.Context, string) error {
	return func(ctx context.Context, socket string) error { return Stop(ctx, socket, was) }
}

var was = runtimes.Run{ID: id, State: "running", Started: started, PID: 7}

var acts = []act{
	{name: "exited", actor: &actor{container: containerIn(exitedState)}, call: removes(id), act: "RemoveContainer " + id},
	{name: "running", actor: &actor{container: containerIn(runningState)}, call: removes(id), wantErr: "it is running, not exited: the runtime would kill it", is: runtimes.ErrRefused},
	{name: "created", actor: &actor{container: containerIn(createdState)}, call: removes(id), wantErr: "it is created", is: runtimes.ErrRefused},
	{name: "unknown", actor: &actor{container: containerIn(unknownState)}, call: removes(id), wantErr: "it is unknown", is: runtimes.ErrRefused},
	{name: "a prefix", call: removes(id[:13]), wantErr: "not a full id", is: runtimes.ErrRefused},
	{name: "gone", call: removes(id), wantErr: "ContainerStatus 0123456789ab: could not find container", is: runtimes.ErrGone},
	{name: "another's answer", actor: &actor{container: &criv1.ContainerStatus{Id: strings.Repeat("f", 64), State: exitedState}}, call: removes(id),
		wantErr: "answers with another id", is: runtimes.ErrRefused},
	{name: "no answer", actor: &actor{container: containerIn(exitedState), hangs: "ContainerStatus"}, call: removes(id), wait: 300 * time.Millisecond,
		wantErr: `did not answer "ContainerStatus 0123456789ab"`, is: runtimes.ErrSilent},
	{name: "removal hangs", actor: &actor{container: containerIn(exitedState), hangs: "RemoveContainer"}, call: removes(id), wait: 300 * time.Millisecond,
		act: "RemoveContainer " + id, wantErr: "it may be done yet", is: runtimes.ErrSilent},
	{name: "endless label", actor: &actor{container: &criv1.ContainerStatus{Id: id, State: exitedState, Message: strings.Repeat("x", 17<<20)}}, call: removes(id),
		wantErr: "larger than max"},

	{name: "sandbox", actor: &actor{sandbox: sandboxIn(notReadyState), inside: inside(exitedState, exitedState)}, call: removesSandbox, act: "RemovePodSandbox " + id},
	{name: "empty sandbox", actor: &actor{sandbox: sandboxIn(notReadyState)}, call: removesSandbox, act: "RemovePodSandbox " + id},
	{name: "ready sandbox", actor: &actor{sandbox: sandboxIn(readyState)}, call: removesSandbox, wantErr: "sandbox is ready: delete the pod", is: runtimes.ErrRefused},
	{name: "sandbox whose pause container died", actor: &actor{sandbox: sandboxIn(notReadyState), inside: inside(exitedState, runningState)}, call: removesSandbox,
		wantErr: "container cccccccccccc in it is running", is: runtimes.ErrRefused},
	{name: "sandbox with an unknown one", actor: &actor{sandbox: sandboxIn(notReadyState), inside: inside(unknownState)}, call: removesSandbox,
		wantErr: "in it is unknown", is: runtimes.ErrRefused},
	{name: "sandbox gone", call: removesSandbox, wantErr: "could not find sandbox", is: runtimes.ErrGone},
	{name: "its containers are not told", actor: &actor{sandbox: sandboxIn(notReadyState), hangs: "ListContainers"}, call: removesSandbox, wait: 300 * time.Millisecond,
		wantErr: `did not answer "ListContainers of 0123456789ab"`, is: runtimes.ErrSilent},

	{name: "stop", actor: &actor{container: containerIn(runningState)}, call: stops(was), act: "StopContainer " + id + " 10"},
	{name: "stop another run", actor: &actor{container: containerIn(runningState)}, call: stops(runtimes.Run{ID: id, Started: started.Add(1)}),
		wantErr: "this is another run of it", is: runtimes.ErrRefused},
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
