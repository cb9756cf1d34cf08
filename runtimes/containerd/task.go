package containerd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
	"sexton.dev/runtimes/rpc"
)

const deleteTaskMethod = "/containerd.services.tasks.v1.Tasks/Delete"

// taskEnds is how long a task whose process was ended may take to be stopped.
const taskEnds = 2 * time.Second

// DeleteTask deletes a container's task, whoever keeps books of the container, once
// it has stopped; the container's record stays. It waits up to two seconds for
// that, and errors wrap [runtimes.ErrRefused] if it is in another state then. That
// there is no task is no error.
//
// It needs the right to write to the socket, which is root's.
//
// Source: github.com/containerd/containerd/api v1.12, services/tasks.
func DeleteTask(ctx context.Context, socket, namespace, id string) error {
	d := dial.New(runtimes.Containerd, socket)
	cc := rpc.Open(d)
	defer cc.Close()
	r := &remover{d: d, cc: cc, namespace: namespace, id: id}
	if namespace == "" || id == "" {
		return r.refuse("a task has a namespace and an id: name both")
	}
	hasTask, err := r.ends(ctx)
	if err != nil || !hasTask {
		return err
	}
	if _, err = r.call(ctx, "delete task", deleteTaskMethod); rpc.CodeOf(err) == rpc.NotFound {
		return nil
	}
	return rpc.ExplainAct(ctx, d, err)
}

// A remover removes the task of one container.
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

// ends is [remover.stopped], but waits for that.
func (r *remover) ends(ctx context.Context) (hasTask bool, err error) {
	wait, cancel := context.WithTimeout(ctx, taskEnds)
	defer cancel()
	for {
		hasTask, err = r.stopped(ctx)
		if !errors.Is(err, runtimes.ErrRefused) {
			return hasTask, err
		}
		select {
		case <-wait.Done():
			return false, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
