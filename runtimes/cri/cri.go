// Package cri asks a container runtime by the interface that the kubelet uses:
// containerd, CRI-O, cri-dockerd.
package cri

import (
	"context"

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
	cc      *rpc.Conn
	service string
}

// call asks one method without a filter.
func (a *asker) call(ctx context.Context, method string) ([]byte, error) {
	return a.ask(ctx, method, method, nil)
}

// ask asks one method, and says so in these words: v1 and v1alpha2 share the wire format.
func (a *asker) ask(ctx context.Context, words, method string, message []byte) ([]byte, error) {
	a.d.Begin(words, dial.MaxBytes)
	return a.cc.Call(ctx, "/"+a.service+"/"+method, nil, message)
}

// List asks the runtime at a socket for its pods and containers. A pod's
// sandbox is a container with Sandbox set. Process ids are not in the lists and
// would cost a call a container, so PID is 0.
//
// Source: k8s.io/cri-api v0.37 pkg/apis/runtime/v1/api.proto.
func List(ctx context.Context, socket string) (answer runtimes.Answer, err error) {
	answer = runtimes.Answer{Kind: runtimes.CRI, Socket: socket}
	d := dial.New(runtimes.CRI, socket)
	cc := rpc.Open(d)
	defer cc.Close()
	defer func() { answer.Said = d.Said() }()
	a := &asker{d: d, cc: cc}
	if err := a.version(ctx, &answer); err != nil {
		return answer, rpc.Explain(ctx, d, err)
	}
	var pods []pod
	reply, err := a.call(ctx, "ListPodSandbox")
	if err == nil {
		pods, err = parsePods(reply)
	}
	if err != nil {
		return answer, rpc.Explain(ctx, d, err)
	}
	sandboxes := make(map[string]runtimes.Container, len(pods))
	for _, p := range pods {
		c := sandbox(p)
		sandboxes[c.ID] = c
		answer.Containers = append(answer.Containers, c)
	}
	var list []record
	if reply, err = a.call(ctx, "ListContainers"); err == nil {
		list, err = parseRecords(reply)
	}
	if err != nil {
		return answer, rpc.Explain(ctx, d, err)
	}
	for _, c := range list {
		answer.Containers = append(answer.Containers, container(c, sandboxes[c.pod]))
	}
	return answer, nil
}

// version asks by each service name until one is served.
func (a *asker) version(ctx context.Context, answer *runtimes.Answer) error {
	var err error
	for _, s := range services {
		a.service = s.name
		var reply []byte
		if reply, err = a.call(ctx, "Version"); err == nil {
			var name, version string
			if name, version, err = parseVersion(reply); err != nil {
				return err
			}
			answer.Version = name + " " + version
			answer.APIVersion = s.version
			return nil
		}
		if rpc.CodeOf(err) != rpc.Unimplemented {
			return err
		}
	}
	return err
}

func sandbox(p pod) runtimes.Container {
	state := "exited"
	if p.state == sandboxReady {
		state = "running"
	}
	return runtimes.Container{
		ID:      p.id,
		State:   state,
		Pod:     p.name,
		PodNS:   p.namespace,
		PodUID:  p.uid,
		Sandbox: true,
	}
}

// container describes c. Its pod is that of its sandbox; if that vanished
// between the two lists, the labels that the kubelet sets name it.
func container(c record, pod runtimes.Container) runtimes.Container {
	if pod.ID == "" {
		pod.Pod, pod.PodNS, pod.PodUID = c.labels["io.kubernetes.pod.name"], c.labels["io.kubernetes.pod.namespace"], c.labels["io.kubernetes.pod.uid"]
	}
	return runtimes.Container{
		ID:     c.id,
		Name:   c.name,
		Image:  image(c),
		State:  state(c.state),
		Pod:    pod.Pod,
		PodNS:  pod.PodNS,
		PodUID: pod.PodUID,
	}
}

// image prefers what the pod asked for: the runtime's own word is a digest.
func image(c record) string {
	for _, name := range []string{c.userImage, c.image} {
		if name != "" {
			return name
		}
	}
	return c.imageReference
}

func state(s uint64) string {
	switch s {
	case containerCreated:
		return "created"
	case containerRunning:
		return "running"
	case containerExited:
		return "exited"
	}
	return "unknown"
}
