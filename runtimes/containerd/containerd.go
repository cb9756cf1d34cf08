// Package containerd asks containerd for the containers of all its namespaces
// and for their tasks.
//
// A container is a record in containerd's database; its task is the running
// side, and containerd asks the task's shim for its state. A shim that hangs
// is asked apart from the others and costs only its own state.
package containerd

import (
	"context"
	"fmt"
	"net/http"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
	"sexton.dev/runtimes/rpc"
)

// The methods that are asked.
const (
	versionMethod    = "/containerd.services.version.v1.Version/Version"
	namespacesMethod = "/containerd.services.namespaces.v1.Namespaces/List"
	streamMethod     = "/containerd.services.containers.v1.Containers/ListStream"
	listMethod       = "/containerd.services.containers.v1.Containers/List"
	taskMethod       = "/containerd.services.tasks.v1.Tasks/Get"
)

// An asker is one socket that is being asked.
type asker struct {
	d      *dial.Dialer
	cc     *rpc.Conn
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
func List(ctx context.Context, socket string) (answer runtimes.Answer, err error) {
	answer = runtimes.Answer{Kind: runtimes.Containerd, Socket: socket}
	d := dial.New(runtimes.Containerd, socket)
	cc := rpc.Open(d)
	defer cc.Close()
	defer func() { answer.Said = d.Said() }()
	a := &asker{d: d, cc: cc, socket: socket}

	if answer.Version, err = a.version(ctx); err != nil {
		return answer, err
	}
	d.Begin("list namespaces", dial.SmallReply)
	var spaces []string
	reply, err := cc.Call(ctx, namespacesMethod, nil, nil)
	if err == nil {
		spaces, err = parseNamespaces(reply)
	}
	if err != nil {
		return answer, rpc.Explain(ctx, d, err)
	}
	for _, ns := range spaces {
		found, err := a.containers(ctx, ns, dial.MaxContainers-len(answer.Containers))
		answer.Containers = append(answer.Containers, found...)
		if err != nil {
			return answer, rpc.Explain(ctx, d, err)
		}
	}
	a.tasks(ctx, answer.Containers)
	return answer, a.partial()
}

// Brief asks for the version alone, which takes no lock and no shim.
func Brief(ctx context.Context, socket string) (answer runtimes.Answer, err error) {
	answer = runtimes.Answer{Kind: runtimes.Containerd, Socket: socket}
	d := dial.New(runtimes.Containerd, socket)
	cc := rpc.Open(d)
	defer cc.Close()
	defer func() { answer.Said = d.Said() }()
	answer.Version, err = (&asker{d: d, cc: cc, socket: socket}).version(ctx)
	return answer, err
}

func (a *asker) version(ctx context.Context) (version string, err error) {
	a.d.Begin("version", dial.SmallReply)
	reply, err := a.cc.Call(ctx, versionMethod, nil, nil)
	if err == nil {
		version, err = parseVersion(reply)
	}
	return version, rpc.Explain(ctx, a.d, err)
}

// in names the namespace of a call.
//
// Source: containerd v1.6 namespaces/grpc.go, GRPCHeader.
func in(namespace string) http.Header {
	return http.Header{"Containerd-Namespace": {namespace}}
}

// containers lists one namespace, as a stream where containerd has that (1.3),
// since a list of many containers with their specs passes the bound of one message.
func (a *asker) containers(ctx context.Context, namespace string, most int) ([]runtimes.Container, error) {
	a.d.Begin("list containers of "+namespace, dial.MaxBytes)
	var found []runtimes.Container
	for message, err := range a.cc.Stream(ctx, streamMethod, in(namespace), nil) {
		if rpc.CodeOf(err) == rpc.Unimplemented && found == nil {
			message, err = a.cc.Call(ctx, listMethod, in(namespace), nil)
		}
		if err != nil {
			return found, err
		}
		records, err := parseRecords(message)
		if err != nil {
			return found, err
		}
		if len(found)+len(records) > most {
			return found, fmt.Errorf("over %d containers", dial.MaxContainers)
		}
		for _, r := range records {
			found = append(found, a.container(namespace, r))
		}
	}
	return found, nil
}

// container keeps of c what has a field. State and PID are the task's.
func (a *asker) container(namespace string, c record) runtimes.Container {
	name := c.labels["io.kubernetes.container.name"]
	if name == "" {
		name = c.labels["nerdctl/name"]
	}
	kept := runtimes.Container{
		ID:        c.id,
		Namespace: namespace,
		Name:      name,
		Image:     c.image,
		Pod:       c.labels["io.kubernetes.pod.name"],
		PodNS:     c.labels["io.kubernetes.pod.namespace"],
		PodUID:    c.labels["io.kubernetes.pod.uid"],
		Sandbox:   c.labels["io.cri-containerd.kind"] == "sandbox",
		Bundle:    bundle(a.socket, c.runtime, namespace, c.id),
	}
	s, err := parseSpec(c.specType, c.spec)
	if err != nil {
		a.short = append(a.short, fmt.Sprintf("spec of %.80s: %v", c.id, err))
	}
	kept.CgroupPath = s.Linux.CgroupsPath
	kept.RootFS = rootFS(kept.Bundle, s.Root.Path)
	return kept
}
