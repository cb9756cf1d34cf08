package containerd

import (
	"context"
	"fmt"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
	"sexton.dev/runtimes/rpc"
)

// The methods of an act.
const (
	getMethod        = "/containerd.services.containers.v1.Containers/Get"
	deleteMethod     = "/containerd.services.containers.v1.Containers/Delete"
	deleteTaskMethod = "/containerd.services.tasks.v1.Tasks/Delete"
)

// owners keep books of their own of the containers in their namespace.
var owners = map[string]string{
	"moby":   "docker's: remove it there, docker would go on listing it",
	"k8s.io": "the kubelet's: remove it over the CRI, which would go on listing it",
}

// Remove removes the record of a container that does not run, and its task's if
// that has stopped. What is mounted for it goes with the task; its snapshot is
// left to containerd's garbage collection, as with ctr container rm --keep-snapshot, and
// no other's is touched. Errors wrap [runtimes.ErrRefused] for a container whose task
// is in another state or unknown, and for one of docker's or the kubelet's, and
// [runtimes.ErrGone] if there is none.
//
// An id is unique in its namespace and can be used again. It needs the right to
// write to the socket, which is root's.
//
// Source: github.com/containerd/containerd/api v1.12, services/.
func Remove(ctx context.Context, socket, namespace, id string) error {
	d := dial.New(runtimes.Containerd, socket)
	cc := rpc.Open(d)
	defer cc.Close()
	r := &remover{d: d, cc: cc, namespace: namespace, id: id}
	if owner, ok := owners[namespace]; ok {
		return r.refuse("a container of namespace " + namespace + " is " + owner)
	}
	if namespace == "" || id == "" {
		return r.refuse("a container has a namespace and an id: name both")
	}
	if err := r.known(ctx); err != nil {
		return err
	}
	hasTask, err := r.stopped(ctx)
	if err != nil {
		return err
	}
	if hasTask {
		if err := r.act(ctx, "delete task", deleteTaskMethod); err != nil && rpc.CodeOf(err) != rpc.NotFound {
			return err
		}
	}
	return r.act(ctx, "delete", deleteMethod)
}

// A remover removes one container.
type remover struct {
	d             *dial.Dialer
	cc            *rpc.Conn
	namespace, id string
}

func (r *remover) refuse(why string) error {
	return r.d.Fail(fmt.Sprintf("container %.80s: %s", r.id, why), runtimes.ErrRefused)
}

func (r *remover) call(ctx context.Context, what, method string) ([]byte, error) {
	r.d.Begin(fmt.Sprintf("%s of %.80s", what, r.id), rpc.MaxMessage)
	return r.cc.Call(ctx, method, in(r.namespace), rpc.Text(1, r.id))
}

// known checks that containerd has a record of just this id.
func (r *remover) known(ctx context.Context) error {
	reply, err := r.call(ctx, "record", getMethod)
	var found []record
	if err == nil {
		found, err = parseRecords(reply)
	}
	switch {
	case err != nil:
		return rpc.Explain(ctx, r.d, err)
	case len(found) != 1 || found[0].id != r.id:
		return r.refuse("containerd answers with another container")
	}
	return nil
}

// stopped reports whether there is a task, and fails unless it has stopped.
func (r *remover) stopped(ctx context.Context) (hasTask bool, err error) {
	reply, err := r.call(ctx, "state", taskMethod)
	if rpc.CodeOf(err) == rpc.NotFound {
		return false, nil
	}
	var p taskProcess
	if err == nil {
		p, err = parseProcess(reply)
	}
	switch {
	case err != nil:
		return false, rpc.Explain(ctx, r.d, err)
	case p.status == stopped:
		return true, nil
	case state(p.status) == "unknown":
		return false, r.refuse("its shim did not tell containerd its state: heal that first, a process may live")
	}
	return false, r.refuse(fmt.Sprintf("its task is %s, pid %d: stop it first, ctr -n %s task kill %s", state(p.status), p.pid, r.namespace, r.id))
}

// act makes a call that changes something.
func (r *remover) act(ctx context.Context, what, method string) error {
	_, err := r.call(ctx, what, method)
	return rpc.ExplainAct(ctx, r.d, err)
}
