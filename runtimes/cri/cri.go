// Package cri asks a container runtime by the interface that the kubelet uses:
// containerd, CRI-O, cri-dockerd.
package cri

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
	"sexton.dev/runtimes/rpc"
)

// services are the names of the same interface, newest first. v1alpha2 has v1's
// messages, and is all that containerd before 1.6 and CRI-O before 1.20 serve.
//
// Source: containerd v1.6 pkg/cri/server/instrumented_service.go, alphaReqToV1Req.
var services = []struct{ version, name string }{
	{"v1", "runtime.v1.RuntimeService"},
	{"v1alpha2", "runtime.v1alpha2.RuntimeService"},
}

// An asker is one socket whose service name is known.
type asker struct {
	d       *dial.Dialer
	cc      *grpc.ClientConn
	service string
}

// call asks one method in both directions of the wire format that v1 and
// v1alpha2 share.
func (a *asker) call(ctx context.Context, method string, req, reply any) error {
	a.d.Begin(method, dial.MaxBytes)
	return a.cc.Invoke(ctx, "/"+a.service+"/"+method, req, reply)
}

// List asks the runtime at a socket for its pods and containers. A pod's
// sandbox is a container with Sandbox set. Process ids are not in the lists and
// would cost a call a container, so PID is 0.
//
// Source: k8s.io/cri-api v0.37 pkg/apis/runtime/v1/api.proto.
func List(ctx context.Context, socket string) (runtimes.Answer, error) {
	answer := runtimes.Answer{Kind: runtimes.CRI, Socket: socket}
	d := dial.New(runtimes.CRI, socket)
	cc, err := rpc.Open(d)
	if err != nil {
		return answer, err
	}
	defer cc.Close()
	a := &asker{d: d, cc: cc}
	if err := a.version(ctx, &answer); err != nil {
		return answer, rpc.Explain(ctx, d, err)
	}
	var pods criv1.ListPodSandboxResponse
	if err := a.call(ctx, "ListPodSandbox", &criv1.ListPodSandboxRequest{}, &pods); err != nil {
		return answer, rpc.Explain(ctx, d, err)
	}
	sandboxes := make(map[string]runtimes.Container, len(pods.Items))
	for _, p := range pods.Items {
		c := sandbox(p)
		sandboxes[c.ID] = c
		answer.Containers = append(answer.Containers, c)
	}
	var list criv1.ListContainersResponse
	if err := a.call(ctx, "ListContainers", &criv1.ListContainersRequest{}, &list); err != nil {
		return answer, rpc.Explain(ctx, d, err)
	}
	for _, c := range list.Containers {
		answer.Containers = append(answer.Containers, container(c, sandboxes[c.GetPodSandboxId()]))
	}
	return answer, nil
}

// version asks by each service name until one is served.
func (a *asker) version(ctx context.Context, answer *runtimes.Answer) error {
	var err error
	for _, s := range services {
		var said criv1.VersionResponse
		a.service = s.name
		err = a.call(ctx, "Version", &criv1.VersionRequest{}, &said)
		if err == nil {
			answer.Version = said.RuntimeName + " " + said.RuntimeVersion
			answer.APIVersion = s.version
			return nil
		}
		if status.Code(err) != codes.Unimplemented {
			return err
		}
	}
	return err
}

func sandbox(p *criv1.PodSandbox) runtimes.Container {
	state := "exited"
	if p.GetState() == criv1.PodSandboxState_SANDBOX_READY {
		state = "running"
	}
	meta := p.GetMetadata()
	return runtimes.Container{
		ID:      p.GetId(),
		State:   state,
		Pod:     meta.GetName(),
		PodNS:   meta.GetNamespace(),
		PodUID:  meta.GetUid(),
		Sandbox: true,
	}
}

// container describes c. Its pod is that of its sandbox; if that vanished
// between the two lists, the labels that the kubelet sets name it.
func container(c *criv1.Container, pod runtimes.Container) runtimes.Container {
	labels := c.GetLabels()
	if pod.ID == "" {
		pod.Pod, pod.PodNS, pod.PodUID = labels["io.kubernetes.pod.name"], labels["io.kubernetes.pod.namespace"], labels["io.kubernetes.pod.uid"]
	}
	return runtimes.Container{
		ID:     c.GetId(),
		Name:   c.GetMetadata().GetName(),
		Image:  image(c),
		State:  state(c.GetState()),
		Pod:    pod.Pod,
		PodNS:  pod.PodNS,
		PodUID: pod.PodUID,
	}
}

// image prefers what the pod asked for: the runtime's own word is a digest.
func image(c *criv1.Container) string {
	for _, name := range []string{c.GetImage().GetUserSpecifiedImage(), c.GetImage().GetImage()} {
		if name != "" {
			return name
		}
	}
	return c.GetImageRef()
}

func state(s criv1.ContainerState) string {
	switch s {
	case criv1.ContainerState_CONTAINER_CREATED:
		return "created"
	case criv1.ContainerState_CONTAINER_RUNNING:
		return "running"
	case criv1.ContainerState_CONTAINER_EXITED:
		return "exited"
	}
	return "unknown"
}
