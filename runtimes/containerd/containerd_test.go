package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// A fake is containerd as far as List asks it.
type fake struct {
	containers map[string][]*containersapi.Container // by namespace
	tasks      map[string]*task.Process              // by container
	stuck      map[string]bool                       // containers whose shim never answers
	noStream   bool                                  // containerd before 1.3
	silent     bool                                  // the list of containers never comes
	endless    *containersapi.Container              // sent for ever
}

func (f *fake) register(s *grpc.Server) {
	versionapi.RegisterVersionServer(s, fakeVersion{})
	namespacesapi.RegisterNamespacesServer(s, fakeNamespaces{fake: f})
	containersapi.RegisterContainersServer(s, fakeContainers{fake: f})
	tasksapi.RegisterTasksServer(s, fakeTasks{fake: f})
}

// The services have methods of the same names, so each is a type.
type (
	fakeVersion struct {
		versionapi.UnimplementedVersionServer
	}
	fakeNamespaces struct {
		namespacesapi.UnimplementedNamespacesServer
		fake *fake
	}
	fakeContainers struct {
		containersapi.UnimplementedContainersServer
		fake *fake
	}
	fakeTasks struct {
		tasksapi.UnimplementedTasksServer
		fake *fake
	}
)

func (fakeVersion) Version(context.Context, *emptypb.Empty) (*versionapi.VersionResponse, error) {
	return &versionapi.VersionResponse{Version: "1.6.20"}, nil
}

func (n fakeNamespaces) List(context.Context, *namespacesapi.ListNamespacesRequest) (*namespacesapi.ListNamespacesResponse, error) {
	reply := &namespacesapi.ListNamespacesResponse{}
	for _, name := range []string{"default", "k8s.io", "moby"} {
		if _, ok := n.fake.containers[name]; ok {
			reply.Namespaces = append(reply.Namespaces, &namespacesapi.Namespace{Name: name, Labels: map[string]string{"owner": "SECRET"}})
		}
	}
	return reply, nil
}

func (c fakeContainers) List(ctx context.Context, _ *containersapi.ListContainersRequest) (*containersapi.ListContainersResponse, error) {
	return &containersapi.ListContainersResponse{Containers: c.fake.containers[namespace(ctx)]}, nil
}

func (c fakeContainers) ListStream(_ *containersapi.ListContainersRequest, s containersapi.Containers_ListStreamServer) error {
	f := c.fake
	switch {
	case f.noStream:
		return status.Error(codes.Unimplemented, "unknown method ListStream")
	case f.silent:
		<-s.Context().Done()
		return s.Context().Err()
	}
	for f.endless != nil {
		if err := s.Send(&containersapi.ListContainerMessage{Container: f.endless}); err != nil {
			return err
		}
	}
	for _, c := range f.containers[namespace(s.Context())] {
		if err := s.Send(&containersapi.ListContainerMessage{Container: c}); err != nil {
			return err
		}
	}
	return nil
}

func (tasks fakeTasks) Get(ctx context.Context, r *tasksapi.GetRequest) (*tasksapi.GetResponse, error) {
	f := tasks.fake
	if f.stuck[r.ContainerID] {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	p, ok := f.tasks[r.ContainerID]
	if !ok {
		return nil, status.Error(codes.NotFound, "no running task found")
	}
	return &tasksapi.GetResponse{Process: p}, nil
}

func namespace(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	return strings.Join(md.Get("containerd-namespace"), "+")
}

func ociSpec(text string) *anypb.Any {
	return &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", Value: []byte(text)}
}

const secretSpec = `{"process":{"env":["PASSWORD=SECRET"],"args":["SECRET"]},"root":{"path":"rootfs"},"mounts":[{"source":"/SECRET"}],
	"annotations":{"a":"SECRET"},"linux":{"cgroupsPath":"kubepods-u1.slice:cri-containerd:aa11","sysctl":{"k":"SECRET"}}}`

func pod(id string) *containersapi.Container {
	return &containersapi.Container{
		ID: id, Image: "nginx:1.25", Runtime: &containersapi.Container_Runtime{Name: "io.containerd.runc.v2"},
		Labels: map[string]string{"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "u1",
			"io.kubernetes.container.name": "nginx", "io.cri-containerd.kind": "container", "token": "SECRET", "io.kubernetes.x": "SECRET"},
		Spec: ociSpec(secretSpec),
	}
}

func podWant(id string) runtimes.Container {
	return runtimes.Container{ID: id, Namespace: "k8s.io", Name: "nginx", Image: "nginx:1.25", Pod: "web-0", PodNS: "shop", PodUID: "u1",
		CgroupPath: "kubepods-u1.slice:cri-containerd:aa11"}
}

func with(c runtimes.Container, state string, pid int) runtimes.Container {
	c.State, c.PID = state, pid
	return c
}

func process(s task.Status, pid uint32) *task.Process { return &task.Process{Pid: pid, Status: s} }

type containers = map[string][]*containersapi.Container

var listCases = []struct {
	name    string
	fake    *fake
	wait    time.Duration // 0: a minute
	want    []runtimes.Container
	wantErr string // "" for none
	is      error
}{
	{name: "no namespace", fake: &fake{}},
	{name: "empty namespace", fake: &fake{containers: containers{"default": nil}}},
	{name: "every state", fake: &fake{
		containers: containers{"k8s.io": {pod("created"), pod("running"), pod("stopped"), pod("paused"), pod("pausing"), pod("none")}},
		tasks: map[string]*task.Process{"created": process(task.Status_CREATED, 1), "running": process(task.Status_RUNNING, 2),
			"stopped": process(task.Status_STOPPED, 3), "paused": process(task.Status_PAUSED, 4), "pausing": process(task.Status_PAUSING, 5)},
	}, want: []runtimes.Container{with(podWant("created"), "created", 1), with(podWant("running"), "running", 2), with(podWant("stopped"), "exited", 0),
		with(podWant("paused"), "paused", 4), with(podWant("pausing"), "paused", 5), podWant("none")}},
	{name: "namespaces, names, sandbox, old containerd", fake: &fake{noStream: true, containers: containers{
		"moby":    {{ID: "dd", Labels: map[string]string{"nerdctl/name": "x\x1b[0m\n"}, Spec: ociSpec(`{"root":{"path":"/var/lib/docker/merged"},"linux":{}}`)}},
		"default": {{ID: "ss", Labels: map[string]string{"io.cri-containerd.kind": "sandbox"}, Spec: &anypb.Any{TypeUrl: "other", Value: []byte("x")}}},
	}}, want: []runtimes.Container{{ID: "ss", Namespace: "default", Sandbox: true},
		{ID: "dd", Namespace: "moby", Name: "x\x1b[0m\n", RootFS: "/var/lib/docker/merged"}}},
	{name: "one stuck shim", wait: 4 * time.Second, fake: &fake{
		containers: containers{"k8s.io": {pod("aa"), pod("bb"), pod("cc")}}, stuck: map[string]bool{"bb": true},
		tasks: map[string]*task.Process{"aa": process(task.Status_RUNNING, 7), "cc": process(task.Status_RUNNING, 9)},
	}, want: []runtimes.Container{with(podWant("aa"), "running", 7), with(podWant("bb"), "unknown", 0), with(podWant("cc"), "running", 9)},
		wantErr: "containers are listed, but state unknown: bb in k8s.io (", is: runtimes.ErrPartial},
	{name: "containerd gave up on the shim", fake: &fake{
		containers: containers{"k8s.io": {pod("aa")}}, tasks: map[string]*task.Process{"aa": process(task.Status_UNKNOWN, 0)},
	}, want: []runtimes.Container{with(podWant("aa"), "unknown", 0)},
		wantErr: "aa in k8s.io (containerd got no answer from its shim)", is: runtimes.ErrPartial},
	{name: "spec that is none", fake: &fake{containers: containers{"default": {{ID: "aa", Spec: ociSpec(`{"linux":7}`)}}}},
		want:    []runtimes.Container{{ID: "aa", Namespace: "default"}},
		wantErr: "spec of aa: not an OCI spec", is: runtimes.ErrPartial},
	{name: "list is silent", wait: time.Second, fake: &fake{silent: true, containers: containers{"default": nil}},
		wantErr: `did not answer "list containers of default" within `, is: runtimes.ErrSilent},
	{name: "endless list", fake: &fake{endless: &containersapi.Container{ID: "a"}, containers: containers{"default": nil}},
		wantErr: "over 65536 containers"},
	{name: "endless list of large ones", fake: &fake{containers: containers{"default": nil},
		endless: &containersapi.Container{ID: "a", Labels: map[string]string{"x": strings.Repeat("x", 1<<20)}}},
		wantErr: "sent over 64 MiB in answer"},
	{name: "one message too large", fake: &fake{containers: containers{"default": {{Labels: map[string]string{"x": strings.Repeat("x", 17<<20)}}}}},
		wantErr: "larger than max"},
}

func TestList(t *testing.T) {
	for _, tt := range listCases {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			socket := runtimestest.GRPC(t, tt.fake.register)
			if tt.wait == 0 {
				tt.wait = time.Minute
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
			defer cancel()
			began := time.Now()
			got, err := List(ctx, socket)
			if ctx.Err() != nil && !errors.Is(err, runtimes.ErrSilent) {
				t.Errorf("used up all its time: %v", time.Since(began))
			}
			if got.Kind != runtimes.Containerd || got.Socket != socket || got.Version != "1.6.20" {
				t.Errorf("answer %+v", got)
			}
			if diff := cmp.Diff(tt.want, got.Containers); diff != "" && !strings.HasPrefix(tt.name, "endless") {
				t.Errorf("containers (-want +got):\n%s", diff)
			}
			t.Log(err)
			runtimestest.CheckError(t, err, tt.wantErr, tt.is)
		})
	}
}

// Many hung shims cost no more time than one, and the healthy ones behind them
// are asked all the same.
func TestManyStuckShims(t *testing.T) {
	runtimestest.NoLeaks(t)
	f := &fake{stuck: map[string]bool{}, tasks: map[string]*task.Process{}, containers: containers{}}
	for i := range 70 {
		id := fmt.Sprintf("c%03d", i)
		if f.stuck[id] = i < 60; !f.stuck[id] {
			f.tasks[id] = process(task.Status_RUNNING, uint32(i))
		}
		f.containers["default"] = append(f.containers["default"], &containersapi.Container{ID: id})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	got, err := List(ctx, runtimestest.GRPC(t, f.register))
	if ctx.Err() != nil {
		t.Error("used up all its time")
	}
	runtimestest.CheckError(t, err, " and 55 more", runtimes.ErrPartial)
	states := map[string]int{}
	for _, c := range got.Containers {
		states[c.State]++
	}
	if diff := cmp.Diff(map[string]int{"unknown": 60, "running": 10}, states); diff != "" || len(err.Error()) > 800 {
		t.Errorf("error of %d bytes, states (-want +got):\n%s", len(err.Error()), diff)
	}
}

// A stream that was left early ends with List, not with the context.
func TestLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel) // after the look for leaks
	runtimestest.NoLeaks(t)
	f := &fake{endless: &containersapi.Container{ID: "a"}, containers: containers{"default": nil}}
	_, err := List(ctx, runtimestest.GRPC(t, f.register))
	runtimestest.CheckError(t, err, "over 65536 containers", nil)
}

func TestKeepsNothingElse(t *testing.T) {
	f := &fake{containers: containers{"k8s.io": {pod("aa11")}}}
	answer, err := List(t.Context(), runtimestest.GRPC(t, f.register))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"SECRET", "token", "PASSWORD", "sysctl"} {
		if strings.Contains(string(b), word) {
			t.Errorf("the answer has %q: %s", word, b)
		}
	}
	if len(answer.Containers) != 1 {
		t.Errorf("%d containers", len(answer.Containers))
	}
}

func TestBundle(t *testing.T) {
	const v2, v1 = "io.containerd.runc.v2", "io.containerd.runtime.v1.linux"
	for _, tt := range []struct{ name, socket, runtime, namespace, id, want string }{
		{"system", "/run/containerd/containerd.sock", v2, "k8s.io", "aa", "/run/containerd/io.containerd.runtime.v2.task/k8s.io/aa"},
		{"below another root", "/host/run/containerd/containerd.sock", v2, "k8s.io", "aa", "/run/containerd/io.containerd.runtime.v2.task/k8s.io/aa"},
		{"older shim", "/run/containerd/containerd.sock", v1, "moby", "aa", "/run/containerd/io.containerd.runtime.v1.linux/moby/aa"},
		{"k3s", "/run/k3s/containerd/containerd.sock", v2, "k8s.io", "aa", "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/aa"},
		{"docker's own", "/run/docker/containerd/containerd.sock", v2, "moby", "aa", "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/aa"},
		{"unknown layout", "/srv/c.sock", v2, "k8s.io", "aa", ""},
		{"id that climbs", "/run/containerd/containerd.sock", v2, "k8s.io", "../../etc", ""},
		{"id that is dots", "/run/containerd/containerd.sock", v2, "k8s.io", "..", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := bundle(tt.socket, tt.runtime, tt.namespace, tt.id); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzParseSpec(f *testing.F) {
	f.Add([]byte(secretSpec))
	f.Add([]byte(`{"linux":null,"root":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSpec(specType, b)
		if err != nil && s != (spec{}) {
			t.Errorf("%+v beside %v", s, err)
		}
	})
}
