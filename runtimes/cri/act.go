package cri

import (
	"context"
	"fmt"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
	"sexton.dev/runtimes/rpc"
)

const (
	// grace is how long a container gets to end before the runtime kills it.
	grace = 10 * time.Second
	// stopTime is what a stop must have at hand: the runtime gives up with who asked.
	stopTime = grace + 20*time.Second
)

// podUID is the label that the kubelet sets on what it makes.
//
// Source: Kubernetes 1.36 staging/src/k8s.io/cri-api, and
// pkg/kubelet/kuberuntime/labels.go, newContainerLabels.
const podUID = "io.kubernetes.pod.uid"

// Inspect asks for one container by its full id. The interface does not tell its
// pid, so the run's is 0. Errors wrap [runtimes.ErrGone] if there is none.
//
// It needs the right to write to the socket, which is root's.
//
// Source: k8s.io/cri-api v0.37 pkg/apis/runtime/v1/api.proto, ContainerStatus.
func Inspect(ctx context.Context, socket, id string) (runtimes.Run, error) {
	a, err := open(ctx, socket, id)
	if err != nil {
		return runtimes.Run{}, err
	}
	defer a.cc.Close()
	s, err := a.container(ctx, id)
	if err != nil {
		return runtimes.Run{}, err
	}
	return s.run(), nil
}

// Stop stops the container of a run that [Inspect] told, if that run goes on still,
// so that the kubelet starts another one in its place; that is a new container,
// and a pod with restartPolicy Never gets none. It is refused for a container that is
// no kubelet's. Its processes get 10 s to end. ctx must leave 30 s.
//
// It needs what [Inspect] does. Errors wrap [runtimes.ErrRefused] if the run is
// another one or does not run.
func Stop(ctx context.Context, socket string, was runtimes.Run) error {
	a, err := open(ctx, socket, was.ID)
	if err != nil {
		return err
	}
	defer a.cc.Close()
	s, err := a.container(ctx, was.ID)
	if err != nil {
		return err
	}
	was.PID = 0
	if err := s.run().Check(was); err != nil {
		return err
	}
	switch end, limited := ctx.Deadline(); {
	case s.state != containerRunning:
		return a.refuse(was.ID, "it is "+state(s.state)+", not running")
	case s.labels[podUID] == "":
		return a.refuse(was.ID, "no kubelet made it (it has no label "+podUID+"): nobody would start it again")
	case limited && time.Until(end) < stopTime:
		return a.refuse(was.ID, fmt.Sprintf("a stop needs %v, and there are %v: give more time", stopTime, time.Until(end).Round(time.Second)))
	}
	return a.act(ctx, "StopContainer", was.ID, append(rpc.Text(1, was.ID), rpc.Number(2, uint64(grace.Seconds()))...))
}

// open checks the id and finds the name of the service.
func open(ctx context.Context, socket, id string) (*asker, error) {
	if err := runtimes.CheckID(id); err != nil {
		return nil, err
	}
	d := dial.New(runtimes.CRI, socket)
	a := &asker{d: d, cc: rpc.Open(d)}
	if err := a.version(ctx, &runtimes.Answer{}); err != nil {
		a.cc.Close()
		return nil, rpc.Explain(ctx, d, err)
	}
	return a, nil
}

func (a *asker) refuse(id, why string) error {
	return a.d.Fail(fmt.Sprintf("%.12s: %s", id, why), runtimes.ErrRefused)
}

// container asks for the status of a container by its full id, and takes no other's answer.
func (a *asker) container(ctx context.Context, id string) (condition, error) {
	const method = "ContainerStatus"
	reply, err := a.ask(ctx, method+" "+id[:12], method, rpc.Text(1, id))
	var s condition
	if err == nil {
		s, err = parseStatus(reply)
	}
	if err != nil {
		return condition{}, rpc.Explain(ctx, a.d, err)
	}
	if s.id != id {
		return condition{}, a.refuse(id, fmt.Sprintf("the runtime answers with another id, %.80q", s.id))
	}
	return s, nil
}

// act makes a call that changes something.
func (a *asker) act(ctx context.Context, method, id string, message []byte) error {
	_, err := a.ask(ctx, method+" "+id[:12], method, message)
	return rpc.ExplainAct(ctx, a.d, err)
}
