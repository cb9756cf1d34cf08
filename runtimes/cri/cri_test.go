package cri

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// A fake is a runtime as far as List asks it.
type fake struct {
	criv1.UnimplementedRuntimeServiceServer
	service    string // name it is served by; "" for none
	pods       []*criv1.PodSandbox
	containers []*criv1.Container
	err        error // of ListContainers
	silent     bool  // ListContainers never answers
}

func (f *fake) register(s *grpc.Server) {
	if f.service == "" {
		return
	}
	desc := criv1.RuntimeService_ServiceDesc
	desc.ServiceName = f.service
	s.RegisterService(&desc, f)
}

func (f *fake) Version(context.Context, *criv1.VersionRequest) (*criv1.VersionResponse, error) {
	return &criv1.VersionResponse{RuntimeName: "cri-o", RuntimeVersion: "1.30.1", RuntimeApiVersion: "v1"}, nil
}

func (f *fake) ListPodSandbox(context.Context, *criv1.ListPodSandboxRequest) (*criv1.ListPodSandboxResponse, error) {
	return &criv1.ListPodSandboxResponse{Items: f.pods}, nil
}

func (f *fake) ListContainers(ctx context.Context, _ *criv1.ListContainersRequest) (*criv1.ListContainersResponse, error) {
	if f.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &criv1.ListContainersResponse{Containers: f.containers}, f.err
}

const v1, alpha = "runtime.v1.RuntimeService", "runtime.v1alpha2.RuntimeService"

var somePods = []*criv1.PodSandbox{
	{Id: "p1", State: criv1.PodSandboxState_SANDBOX_READY, Metadata: &criv1.PodSandboxMetadata{Name: "web-0", Namespace: "shop", Uid: "u1"},
		Labels: map[string]string{"token": "SECRET"}, Annotations: map[string]string{"a": "SECRET"}},
	{Id: "p2", State: criv1.PodSandboxState_SANDBOX_NOTREADY},
}

var someContainers = []*criv1.Container{
	{Id: "c1", PodSandboxId: "p1", Metadata: &criv1.ContainerMetadata{Name: "nginx"}, State: criv1.ContainerState_CONTAINER_RUNNING,
		Image: &criv1.ImageSpec{Image: "sha256:00", UserSpecifiedImage: "nginx:1.25"}, Labels: map[string]string{"token": "SECRET"},
		Annotations: map[string]string{"a": "SECRET"}},
	{Id: "c2", PodSandboxId: "gone", State: criv1.ContainerState_CONTAINER_EXITED, ImageRef: "sha256:11",
		Labels: map[string]string{"io.kubernetes.pod.name": "old", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "u0"}},
	{Id: "c3", Metadata: &criv1.ContainerMetadata{Name: "\x1b[31m\n"}, State: criv1.ContainerState_CONTAINER_CREATED, Image: &criv1.ImageSpec{Image: "pause"}},
	{Id: "c4", State: 99},
}

var someWant = []runtimes.Container{
	{ID: "p1", State: "running", Pod: "web-0", PodNS: "shop", PodUID: "u1", Sandbox: true},
	{ID: "p2", State: "exited", Sandbox: true},
	{ID: "c1", Name: "nginx", Image: "nginx:1.25", State: "running", Pod: "web-0", PodNS: "shop", PodUID: "u1"},
	{ID: "c2", Image: "sha256:11", State: "exited", Pod: "old", PodNS: "shop", PodUID: "u0"},
	{ID: "c3", Name: "\x1b[31m\n", Image: "pause", State: "created"},
	{ID: "c4", State: "unknown"},
}

func TestList(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fake    *fake
		wait    time.Duration // 0: a minute
		want    runtimes.Answer
		wantErr string // "" for none
		is      error
	}{
		{name: "v1", fake: &fake{service: v1, pods: somePods, containers: someContainers},
			want: runtimes.Answer{Version: "cri-o 1.30.1", APIVersion: "v1", Containers: someWant}},
		{name: "v1alpha2", fake: &fake{service: alpha, pods: somePods, containers: someContainers},
			want: runtimes.Answer{Version: "cri-o 1.30.1", APIVersion: "v1alpha2", Containers: someWant}},
		{name: "none", fake: &fake{service: v1}, want: runtimes.Answer{Version: "cri-o 1.30.1", APIVersion: "v1"}},
		{name: "plugin off", fake: &fake{}, wantErr: "speaks gRPC, but does not serve what was asked: unknown service runtime.v1alpha2", is: runtimes.ErrOtherAPI},
		{name: "list fails", fake: &fake{service: v1, pods: somePods[1:], err: status.Error(codes.Unavailable, "not initialized")},
			want:    runtimes.Answer{Version: "cri-o 1.30.1", APIVersion: "v1", Containers: someWant[1:2]},
			wantErr: "ListContainers: not initialized"},
		{name: "list is silent", wait: time.Second, fake: &fake{service: v1, pods: somePods[1:], silent: true},
			want:    runtimes.Answer{Version: "cri-o 1.30.1", APIVersion: "v1", Containers: someWant[1:2]},
			wantErr: `did not answer "ListContainers" within `, is: runtimes.ErrSilent},
		{name: "many empty ones", fake: &fake{service: v1, containers: make([]*criv1.Container, 1<<20)},
			want:    runtimes.Answer{Version: "cri-o 1.30.1", APIVersion: "v1"},
			wantErr: "too many elements in one message"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			socket := runtimestest.GRPC(t, tt.fake.register)
			if tt.wait == 0 {
				tt.wait = time.Minute
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
			defer cancel()
			got, err := List(ctx, socket)
			tt.want.Kind, tt.want.Socket = runtimes.CRI, socket
			runtimestest.CheckSaid(t, got.Said, err)
			got.Said = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			t.Log(err)
			runtimestest.CheckError(t, err, tt.wantErr, tt.is)
		})
	}
}

func TestKeepsNothingElse(t *testing.T) {
	f := &fake{service: v1, pods: somePods, containers: someContainers}
	answer, err := List(t.Context(), runtimestest.GRPC(t, f.register))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"SECRET", "token", "annotations"} {
		if strings.Contains(string(b), word) {
			t.Errorf("the answer has %q: %s", word, b)
		}
	}
	if len(answer.Containers) != 6 {
		t.Errorf("%d containers", len(answer.Containers))
	}
}
