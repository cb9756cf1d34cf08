// Package containerd asks containerd for the containers of all its namespaces
// and for their tasks.
//
// A container is a record in containerd's database; its task is the running
// side, and containerd asks the task's shim for its state. A shim that hangs
// is asked apart from the others and costs only its own state.
package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
	"sexton.dev/runtimes/rpc"
)

// An asker is one socket that is being asked.
type asker struct {
	d      *dial.Dialer
	cc     *grpc.ClientConn
	socket string
	short  []string // what the answer lacks
}

// List asks the containerd at a socket. A container without a task has no
// State: nothing of it runs. One whose shim did not say in time has "unknown",
// and the error wraps [runtimes.ErrPartial]; so it does if a container's spec
// cannot be read. The states get at most three quarters of the time that is left
// once the containers are known.
//
// Source: github.com/containerd/containerd/api v1.12, services/.
func List(ctx context.Context, socket string) (runtimes.Answer, error) {
	answer := runtimes.Answer{Kind: runtimes.Containerd, Socket: socket}
	d := dial.New(runtimes.Containerd, socket)
	cc, err := rpc.Open(d)
	if err != nil {
		return answer, err
	}
	defer cc.Close()
	a := &asker{d: d, cc: cc, socket: socket}

	d.Begin("version", dial.SmallReply)
	said, err := versionapi.NewVersionClient(cc).Version(ctx, &emptypb.Empty{})
	if err != nil {
		return answer, rpc.Explain(ctx, d, err)
	}
	answer.Version = said.Version
	d.Begin("list namespaces", dial.SmallReply)
	spaces, err := namespacesapi.NewNamespacesClient(cc).List(ctx, &namespacesapi.ListNamespacesRequest{})
	if err != nil {
		return answer, rpc.Explain(ctx, d, err)
	}
	for _, ns := range spaces.Namespaces {
		found, err := a.containers(ctx, ns.Name, dial.MaxContainers-len(answer.Containers))
		answer.Containers = append(answer.Containers, found...)
		if err != nil {
			return answer, rpc.Explain(ctx, d, err)
		}
	}
	a.tasks(ctx, answer.Containers)
	return answer, a.partial()
}

// in names the namespace of a call.
//
// Source: containerd v1.6 namespaces/grpc.go, GRPCHeader.
func in(ctx context.Context, namespace string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "containerd-namespace", namespace)
}

// containers lists one namespace, as a stream where containerd has that (1.3),
// since a list of many containers with their specs passes the bound of one message.
func (a *asker) containers(ctx context.Context, namespace string, most int) ([]runtimes.Container, error) {
	ctx, cancel := context.WithCancel(in(ctx, namespace))
	defer cancel() // ends a stream that is left early
	a.d.Begin("list containers of "+namespace, dial.MaxBytes)
	api := containersapi.NewContainersClient(a.cc)
	stream, err := api.ListStream(ctx, &containersapi.ListContainersRequest{})
	if err != nil {
		return nil, err
	}
	var found []runtimes.Container
	for {
		next, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return found, nil
		case status.Code(err) == codes.Unimplemented && found == nil:
			return a.containersAtOnce(ctx, api, namespace, most)
		case err != nil:
			return found, err
		case len(found) == most:
			return found, fmt.Errorf("over %d containers", dial.MaxContainers)
		}
		found = append(found, a.container(namespace, next.Container))
	}
}

func (a *asker) containersAtOnce(ctx context.Context, api containersapi.ContainersClient, namespace string, most int) ([]runtimes.Container, error) {
	all, err := api.List(ctx, &containersapi.ListContainersRequest{})
	if err != nil {
		return nil, err
	}
	if len(all.Containers) > most {
		return nil, fmt.Errorf("over %d containers", dial.MaxContainers)
	}
	var found []runtimes.Container
	for _, c := range all.Containers {
		found = append(found, a.container(namespace, c))
	}
	return found, nil
}

// container keeps of c what has a field. State and PID are the task's.
func (a *asker) container(namespace string, c *containersapi.Container) runtimes.Container {
	labels := c.GetLabels()
	name := labels["io.kubernetes.container.name"]
	if name == "" {
		name = labels["nerdctl/name"]
	}
	kept := runtimes.Container{
		ID:        c.GetID(),
		Namespace: namespace,
		Name:      name,
		Image:     c.GetImage(),
		Pod:       labels["io.kubernetes.pod.name"],
		PodNS:     labels["io.kubernetes.pod.namespace"],
		PodUID:    labels["io.kubernetes.pod.uid"],
		Sandbox:   labels["io.cri-containerd.kind"] == "sandbox",
		Bundle:    bundle(a.socket, c.GetRuntime().GetName(), namespace, c.GetID()),
	}
	s, err := parseSpec(c.GetSpec())
	if err != nil {
		a.short = append(a.short, fmt.Sprintf("spec of %.80s: %v", c.GetID(), err))
	}
	kept.CgroupPath = s.Linux.CgroupsPath
	kept.RootFS = rootFS(kept.Bundle, s.Root.Path)
	return kept
}
