package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// An actor is a fake daemon with one container. A request that changes something
// is noted, and answered by act.
type actor struct {
	inspect http.HandlerFunc
	act     http.HandlerFunc

	mu   sync.Mutex
	acts []string
}

func (a *actor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/_ping":
		w.Header().Set("Api-Version", "1.41")
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/json"):
		a.inspect(w, r)
	default:
		a.mu.Lock()
		a.acts = append(a.acts, r.Method+" "+r.URL.String())
		a.mu.Unlock()
		a.act(w, r)
	}
}

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var started = time.Date(2026, 11, 20, 22, 9, 56, 7, time.UTC)

// run is what a daemon says of a container.
func run(id, state string, pid int, started time.Time) string {
	return fmt.Sprintf(`{"Id":%q,"Path":"sleep","State":{"Status":%q,"Running":true,"Dead":false,"Pid":%d,"StartedAt":%q,"Health":{"Log":[]}},"Config":{"Env":["PASSWORD=SECRET"]}}`,
		id, state, pid, started.Format(time.RFC3339Nano))
}

func says(state string, pid int) http.HandlerFunc { return text(run(id, state, pid, started)) }

var done = replies(http.StatusNoContent, "")

// within calls f with a deadline that only a silent daemon uses up.
func within(t *testing.T, wait time.Duration, f func(context.Context) error) error {
	t.Helper()
	if wait == 0 {
		wait = time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	err := f(ctx)
	t.Log(err)
	if ctx.Err() != nil && !errors.Is(err, runtimes.ErrSilent) {
		t.Error("used up all its time")
	}
	return err
}

func TestRemove(t *testing.T) {
	const asked = "DELETE /v1.41/containers/" + id + "?v=0&link=0&force=0"
	for _, tt := range []struct {
		name         string
		id           string // "": the container's
		inspect, act http.HandlerFunc
		wait         time.Duration
		acts         bool
		wantErr      string
		is           error
	}{
		{name: "dead", inspect: says("dead", 0), act: done, acts: true},
		{name: "removing", inspect: says("removing", 0), act: done, acts: true},
		{name: "podman's success", inspect: says("dead", 0), act: text("[]"), acts: true},
		{name: "running", inspect: says("running", 7), wantErr: `it is "running", not dead: `, is: runtimes.ErrRefused},
		{name: "exited", inspect: says("exited", 0), wantErr: `it is "exited", not dead: `, is: runtimes.ErrRefused},
		{name: "created", inspect: says("created", 0), wantErr: `it is "created", not dead: `, is: runtimes.ErrRefused},
		{name: "no state", inspect: text(`{"Id":"` + id + `"}`), wantErr: `it is "", not dead`, is: runtimes.ErrRefused},
		{name: "dead with a process", inspect: says("dead", 7), wantErr: "pid 7 is still said", is: runtimes.ErrRefused},
		{name: "a prefix", id: id[:12], wantErr: "not a full id", is: runtimes.ErrRefused},
		{name: "a name", id: strings.Repeat("web-", 16), wantErr: "not a full id", is: runtimes.ErrRefused},
		{name: "upper case", id: strings.ToUpper(id), wantErr: "not a full id", is: runtimes.ErrRefused},
		{name: "a path", id: "../" + id[3:], wantErr: "not a full id", is: runtimes.ErrRefused},
		{name: "another's answer", inspect: text(run(strings.Repeat("f", 64), "dead", 0, started)), wantErr: "answers with another id", is: runtimes.ErrRefused},
		{name: "gone", inspect: replies(404, `{"message":"No such container: x"}`), wantErr: "inspect 0123456789ab: 404 Not Found: No such container", is: runtimes.ErrGone},
		{name: "gone meanwhile", inspect: says("dead", 0), act: replies(404, ""), acts: true, wantErr: "404", is: runtimes.ErrGone},
		{name: "busy still", inspect: says("dead", 0), act: replies(500, `{"message":"unlinkat merged: device or resource busy"}`), acts: true,
			wantErr: "device or resource busy; sexton why 0123456789ab says who holds"},
		{name: "another removal", inspect: says("removing", 0), act: replies(409, `{"message":"removal is already in progress"}`), acts: true, wantErr: "wait for that", is: runtimes.ErrRefused},
		{name: "redirect", inspect: says("dead", 0), act: http.RedirectHandler("/v1.41/containers/other", http.StatusFound).ServeHTTP, acts: true, wantErr: "302 Found"},
		{name: "the inspect hangs", wait: time.Second, inspect: never, wantErr: `did not answer "inspect 0123456789ab" within`, is: runtimes.ErrSilent},
		{name: "the removal hangs", wait: time.Second, inspect: says("dead", 0), act: never, acts: true,
			wantErr: "it may be done yet: look again", is: runtimes.ErrSilent},
		{name: "endless inspect", inspect: endless(`{"Id":"`, strings.Repeat("x", 1<<16)), wantErr: "sent over 4 MiB in answer"},
		{name: "endless error", inspect: says("dead", 0), act: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			endless("", strings.Repeat("x", 1<<16))(w, r)
		}, acts: true, wantErr: "; sexton why 0123456789ab"},
		{name: "cut short", inspect: text(`{"Id":"` + id), wantErr: "inspect 0123456789ab: unexpected EOF"},
		{name: "a page", inspect: text("<html>"), wantErr: "invalid character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			d := &actor{inspect: tt.inspect, act: tt.act}
			socket := runtimestest.HTTP(t, d)
			if tt.id == "" {
				tt.id = id
			}
			err := within(t, tt.wait, func(ctx context.Context) error { return Remove(ctx, runtimes.Docker, socket, tt.id) })
			runtimestest.CheckError(t, err, tt.wantErr, tt.is)
			var want []string
			if tt.acts {
				want = []string{asked}
			}
			d.mu.Lock() // what hangs is not over yet
			defer d.mu.Unlock()
			if !slices.Equal(d.acts, want) {
				t.Errorf("acts %q, want %q", d.acts, want)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestRestart(t *testing.T) {
	const asked = "POST /v1.41/containers/" + id + "/restart?t=10"
	was := runtimes.Run{ID: id, State: "running", PID: 7, Started: started}
	other := func(f func(*runtimes.Run)) runtimes.Run { w := was; f(&w); return w }
	// after gives another run once the restart was asked for.
	after := func(then http.HandlerFunc) *actor {
		d := &actor{inspect: says("running", 7)}
		d.act = func(w http.ResponseWriter, r *http.Request) { d.inspect = then; done(w, r) }
		return d
	}
	for _, tt := range []struct {
		name    string
		was     runtimes.Run
		daemon  *actor
		wait    time.Duration
		acts    bool
		wantErr string
		is      error
	}{
		{name: "restarted", was: was, daemon: after(text(run(id, "running", 8, started.Add(time.Second)))), acts: true},
		{name: "not restarted", was: was, daemon: after(says("running", 7)), acts: true, wantErr: "its start is the same as before"},
		{name: "another start", was: other(func(w *runtimes.Run) { w.Started = started.Add(1) }), daemon: after(nil),
			wantErr: "it was started at 2026-11-20T22:09:56.000000007Z, not at 2026-11-20T22:09:56.000000008Z", is: runtimes.ErrRefused},
		{name: "another process", was: other(func(w *runtimes.Run) { w.PID = 8 }), daemon: after(nil), wantErr: "pid 7, not 8", is: runtimes.ErrRefused},
		{name: "no start named", was: runtimes.Run{ID: id, PID: 7}, daemon: after(nil), wantErr: "inspect it first", is: runtimes.ErrRefused},
		{name: "a prefix", was: other(func(w *runtimes.Run) { w.ID = id[:12] }), daemon: after(nil), wantErr: "not a full id", is: runtimes.ErrRefused},
		{name: "exited", was: was, daemon: &actor{inspect: says("exited", 7)}, wantErr: `it is "exited", not running`, is: runtimes.ErrRefused},
		{name: "paused", was: was, daemon: &actor{inspect: says("paused", 7)}, wantErr: `it is "paused", not running`, is: runtimes.ErrRefused},
		{name: "too little time", was: was, wait: 20 * time.Second, daemon: after(nil), wantErr: "a restart needs 30s", is: runtimes.ErrRefused},
		{name: "gone", was: was, daemon: &actor{inspect: replies(404, "")}, wantErr: "404", is: runtimes.ErrGone},
		{name: "fails", was: was, daemon: &actor{inspect: says("running", 7), act: replies(500, `{"message":"cannot stop container"}`)}, acts: true,
			wantErr: "restart 0123456789ab: 500 Internal Server Error: cannot stop container"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			socket := runtimestest.HTTP(t, tt.daemon)
			err := within(t, tt.wait, func(ctx context.Context) error {
				now, err := Restart(ctx, runtimes.Podman, socket, tt.was)
				if err == nil && (now.PID != 8 || !now.Started.After(started) || now.ID != id) {
					t.Errorf("the run now: %+v", now)
				}
				return err
			})
			runtimestest.CheckError(t, err, tt.wantErr, tt.is)
			var want []string
			if tt.acts {
				want = []string{asked}
			}
			if !slices.Equal(tt.daemon.acts, want) {
				t.Errorf("acts %q, want %q", tt.daemon.acts, want)
			}
		})
	}
}

// What a restart has ended it starts, and nothing else.
func TestFinish(t *testing.T) {
	was := runtimes.Run{ID: id, State: "running", PID: 7, Started: started}
	for _, tt := range []struct {
		name    string
		inspect http.HandlerFunc
		act     http.HandlerFunc
		acts    bool
		wantErr string
		is      error
	}{
		{name: "it has ended", inspect: says("exited", 0), act: done, acts: true},
		{name: "it runs by then", inspect: says("exited", 0), act: replies(304, ""), acts: true},
		{name: "another run has begun", inspect: text(run(id, "running", 8, started.Add(time.Second)))},
		{name: "another run has begun and ended", inspect: text(run(id, "exited", 0, started.Add(time.Second)))},
		{name: "it goes on", inspect: says("running", 7), wantErr: `it is "running": its run has not ended`, is: runtimes.ErrRefused},
		{name: "it is being removed", inspect: says("removing", 0), wantErr: `it is "removing"`, is: runtimes.ErrRefused},
		{name: "it is gone", inspect: replies(404, ""), wantErr: "404", is: runtimes.ErrGone},
		{name: "it does not start", inspect: says("exited", 0), act: replies(500, `{"message":"no such file"}`), acts: true, wantErr: "start 0123456789ab: 500 Internal Server Error: no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &actor{inspect: tt.inspect, act: tt.act}
			err := within(t, 0, func(ctx context.Context) error {
				return Finish(ctx, runtimes.Docker, runtimestest.HTTP(t, d), was)
			})
			runtimestest.CheckError(t, err, tt.wantErr, tt.is)
			var want []string
			if tt.acts {
				want = []string{"POST /v1.41/containers/" + id + "/start"}
			}
			if !slices.Equal(d.acts, want) {
				t.Errorf("acts %q, want %q", d.acts, want)
			}
		})
	}
}

func TestInspect(t *testing.T) {
	socket := runtimestest.HTTP(t, &actor{inspect: says("running", 7)})
	got, err := Inspect(t.Context(), runtimes.Docker, socket, id)
	if want := (runtimes.Run{ID: id, State: "running", PID: 7, Started: started}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// Who probes learns which question was not answered, and nothing of the container.
func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name    string
		inspect http.HandlerFunc
		id      string
		want    string // part of the error
		is      error
		said    string
	}{
		{name: "answers", inspect: says("running", 7), id: id, said: "ping inspect 0123456789ab"},
		{name: "silent", inspect: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, id: id,
			want: `did not answer "inspect 0123456789ab"`, is: runtimes.ErrSilent, said: "ping inspect 0123456789ab!"},
		{name: "no such", inspect: replies(http.StatusNotFound, `{"message":"No such container"}`), id: id, want: "No such container", is: runtimes.ErrGone, said: "ping inspect 0123456789ab"},
		{name: "not a full id", id: "web", want: "not a full id", is: runtimes.ErrRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socket := runtimestest.HTTP(t, &actor{inspect: tt.inspect})
			wait := time.Duration(0)
			if tt.is == runtimes.ErrSilent {
				wait = time.Second
			}
			var said []runtimes.Said
			err := within(t, wait, func(ctx context.Context) (err error) {
				said, err = Probe(ctx, runtimes.Docker, socket, tt.id)
				return err
			})
			runtimestest.CheckError(t, err, tt.want, tt.is)
			var got []string
			for _, s := range said {
				if s.Silent {
					s.Question += "!"
				}
				got = append(got, s.Question)
			}
			if strings.Join(got, " ") != tt.said {
				t.Errorf("said %q, want %q", got, tt.said)
			}
		})
	}
}
