package containerd

import (
	"context"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
	"sexton.dev/runtimes/rpc"
)

// taskEnds is how long a task whose process was ended may take to be stopped.
const taskEnds = 5 * time.Second

// DeleteTask deletes a container's task, whoever keeps books of the container, once
// it has stopped; the container's record stays. It waits up to five seconds for
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
	hasTask, err := r.stopped(ctx)
	for end := time.Now().Add(taskEnds); err != nil && time.Now().Before(end) && ctx.Err() == nil; hasTask, err = r.stopped(ctx) {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil || !hasTask {
		return err
	}
	if err := r.act(ctx, "delete task", deleteTaskMethod); err != nil && rpc.CodeOf(err) != rpc.NotFound {
		return err
	}
	return nil
}
