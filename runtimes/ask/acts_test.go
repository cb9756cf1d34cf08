package ask

import (
	"context"
	"testing"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/cri"
	"sexton.dev/runtimes/runtimestest"
)

// testCRIActs stops a pod's container, if it is the run that was seen.
func testCRIActs(t *testing.T, socket, container string) {
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	refused := func(err error, part string) {
		t.Helper()
		runtimestest.CheckError(t, err, part, runtimes.ErrRefused)
	}
	was, err := cri.Inspect(ctx, socket, container)
	if err != nil || was.State != "running" || time.Since(was.Started) > time.Hour {
		t.Fatalf("%+v, %v", was, err)
	}
	wrong := was
	wrong.Started = was.Started.Add(time.Nanosecond)
	refused(cri.Stop(ctx, socket, wrong), "another run")
	wrong = was
	wrong.ID = container[:13] // which containerd takes
	refused(cri.Stop(ctx, socket, wrong), "not a full id")
	runtimestest.CheckError(t, cri.Stop(ctx, socket, was), "", nil) // by SIGKILL after 10 s: a first process without a handler takes no other signal
	refused(cri.Stop(ctx, socket, was), "it is exited")
}
