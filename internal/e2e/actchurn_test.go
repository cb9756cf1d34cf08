package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/runtimes"
	"sexton.dev/runtimes/docker"
)

// A container is removed and its name given to another one, as fast as docker can, while
// an act is on its way to it: the act hits the one that it was for or fails, and the one
// that has its name now runs as it was started.
func TestActChurnDocker(t *testing.T) {
	d := startDocker(t)
	rounds, seed := uint64(8), hosttest.Number(t, "SEXTON_SEED", uint64(time.Now().UnixNano()))
	if os.Getenv("SEXTON_VERIFY") == "full" {
		rounds = 500
	}
	rounds = hosttest.Number(t, "SEXTON_TRIALS", rounds)
	t.Logf("SEXTON_SEED=%d SEXTON_TRIALS=%d", seed, rounds)
	r := rand.New(rand.NewPCG(seed, 0))
	next := func() *container { return d.run("again", []string{"--init"}, "sleep", "1000") }
	hit := 0
	now := next()
	for round := range rounds {
		if round%50 == 49 {
			t.Logf("%d of %d acts found theirs", hit, round)
		}
		ctx, cancel := context.WithTimeout(t.Context(), actTime)
		old := now.runNow(ctx)
		acted, restarts := make(chan error, 1), r.IntN(4) > 0
		after := func(most int) <-chan time.Time { return time.After(time.Duration(r.IntN(most)) * time.Millisecond) }
		act, removal := after(200), after(800) // which comes first, and how far it gets, is left to chance
		go func() {
			<-act
			var err error
			if restarts {
				_, err = docker.Restart(ctx, runtimes.Docker, d.socket, old)
			} else {
				err = docker.Remove(ctx, runtimes.Docker, d.socket, old.ID)
			}
			acted <- err
		}()
		<-removal
		d.do("rm", "-f", now.id)
		now = next()
		started := now.runNow(ctx)
		if err := <-acted; err == nil {
			hit++
		}
		if is := now.runNow(ctx); is != started || is.ID == old.ID {
			t.Fatalf("the act on %.12s: %+v, which has its name, is %+v", old.ID, started, is)
		}
		cancel()
	}
	t.Logf("%d of %d acts found theirs", hit, rounds)
}
