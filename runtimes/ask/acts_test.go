package ask

import (
	"context"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/runtimes"
	"sexton.dev/runtimes/cri"
	"sexton.dev/runtimes/runtimestest"
)

// testCRIActs stops and removes a pod's container and its sandbox, each as soon as
// it may be and not before.
func testCRIActs(t *testing.T, sockets []runtimes.Socket, sandbox, container string) {
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	socket := sockets[1].Path
	refused := func(err error, part string) {
		t.Helper()
		runtimestest.CheckError(t, err, part, runtimes.ErrRefused)
	}
	done := func(err error) {
		t.Helper()
		runtimestest.CheckError(t, err, "", nil)
	}
	refused(cri.Remove(ctx, socket, container), "it is running")
	refused(cri.Remove(ctx, socket, container[:13]), "not a full id") // which containerd takes
	refused(cri.RemoveSandbox(ctx, socket, sandbox), "is ready")

	// Its pause process ends: not ready, with a container that runs on.
	pause := one(t, healthy(t, sockets[0]), func(c runtimes.Container) bool { return c.ID == sandbox })
	if err := syscall.Kill(pause.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, enough, "the sandbox is not ready", func() bool {
		return one(t, healthy(t, sockets[1]), func(c runtimes.Container) bool { return c.ID == sandbox }).State == "exited"
	})
	refused(cri.RemoveSandbox(ctx, socket, sandbox), "in it is running")

	was, err := cri.Inspect(ctx, socket, container)
	if err != nil || was.State != "running" || time.Since(was.Started) > time.Hour {
		t.Fatalf("%+v, %v", was, err)
	}
	wrong := was
	wrong.Started = was.Started.Add(time.Nanosecond)
	refused(cri.Stop(ctx, socket, wrong), "another run")
	done(cri.Stop(ctx, socket, was)) // by SIGKILL after 10 s: a first process without a handler takes no other signal
	refused(cri.Stop(ctx, socket, was), "it is exited")
	done(cri.Remove(ctx, socket, container))
	runtimestest.CheckError(t, cri.Remove(ctx, socket, container), "not found", runtimes.ErrGone)
	done(cri.RemoveSandbox(ctx, socket, sandbox))
	runtimestest.CheckError(t, cri.RemoveSandbox(ctx, socket, sandbox), "not found", runtimes.ErrGone)
	if left := healthy(t, sockets[1]).Containers; len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}
