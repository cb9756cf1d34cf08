package heal

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sexton.dev/check"
	"sexton.dev/internal/hosttest"
	"sexton.dev/plan"
	"sexton.dev/runtimes/runtimestest"
)

// A daemon is one of docker's kind with one container, whose first process is real.
type daemon struct {
	t       *testing.T
	first   *exec.Cmd
	begun   chan struct{} // a restart was asked for
	restart http.HandlerFunc

	mu    sync.Mutex
	state string
	runs  int // so far
	acts  []string
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	hosttest.NeedsRoot(t)
	d := &daemon{t: t, first: exec.Command("sleep", "600"), begun: make(chan struct{}, 1), state: "running"}
	if err := d.first.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.first.Process.Kill(); d.first.Wait() })
	return d
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/_ping":
		w.Header().Set("Api-Version", "1.41")
	case r.Method == http.MethodGet:
		d.mu.Lock()
		defer d.mu.Unlock()
		fmt.Fprintf(w, `{"Id":%q,"State":{"Status":%q,"Pid":%d,"StartedAt":%q}}`, id, d.state, d.first.Process.Pid, time.Unix(int64(1e9+d.runs), 0).UTC().Format(time.RFC3339))
	case strings.HasSuffix(r.URL.Path, "/restart"):
		d.said("restart")
		d.begun <- struct{}{}
		d.restart(w, r)
	case strings.HasSuffix(r.URL.Path, "/start"):
		d.said("start")
		d.becomes("running", 1)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (d *daemon) said(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acts = append(d.acts, what)
}

func (d *daemon) becomes(state string, more int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state, d.runs = state, d.runs+more
}

func (d *daemon) step(socket string) (s plan.Step) {
	d.t.Helper()
	st := statOf(d.t, d.first.Process.Pid)
	s.Action, s.Does = "restart-holder", "restart it"
	s.Target = check.Target{Kind: "container", Runtime: "docker", Socket: socket, Container: id, PID: st.PID, Start: st.Start, Comm: "sleep"}
	return s
}

// actor is the child process that acts.
func actor(t *testing.T) *os.Process {
	t.Helper()
	all, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range all {
		text, _ := os.ReadFile(file)
		for word := range strings.FieldsSeq(string(text)) {
			comm, _ := os.ReadFile("/proc/" + word + "/comm")
			if strings.TrimSpace(string(comm)) == "sexton-act" {
				pid, _ := strconv.Atoi(word)
				p, _ := os.FindProcess(pid)
				return p
			}
		}
	}
	t.Fatal("nobody acts")
	return nil
}

// A restart that was begun is not broken off, neither by an interrupt of sexton's nor
// by signals to the child: the container would stay stopped.
func TestRestartInterrupted(t *testing.T) {
	d := newDaemon(t)
	goOn := make(chan struct{})
	var broken error
	d.restart = func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			broken = r.Context().Err()
		case <-goOn:
			d.becomes("running", 1)
			w.WriteHeader(http.StatusNoContent)
		}
	}
	s := d.step(runtimestest.HTTP(t, d))
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	said := make(chan string, 1)
	h := &healer{plan: plan.Plan{Steps: []plan.Step{s}}, Options: Options{Journal: openJournal(t, filepath.Join(t.TempDir(), "j")),
		Told: func(plan.Step) {}, Wait: func(why string) { said <- why }}}
	ended := make(chan error, 1)
	go func() { ended <- h.act(ctx, &s) }()
	<-d.begun
	child := actor(t)
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if err := child.Signal(signal); err != nil {
			t.Error(err)
		}
	}
	interrupt()
	select {
	case why := <-said:
		if !strings.Contains(why, "is waited for: restart it") {
			t.Errorf("said %q", why)
		}
	case err := <-ended:
		t.Fatalf("it was broken off: %v, %q", err, s.Why)
	case <-time.After(20 * time.Second):
		t.Fatal("nobody is told what is waited for")
	}
	select {
	case err := <-ended:
		t.Fatalf("it was not waited for: %v, %q", err, s.Why)
	case <-time.After(100 * time.Millisecond): // as long as it lasts
	}
	close(goOn)
	if err := <-ended; err != nil || broken != nil || s.Why != "" || len(h.acted) != 1 {
		t.Errorf("%v, %v, %q", err, broken, s.Why)
	}
}

// What a daemon stopped and did not start again is started; what still runs is not.
func TestRestartHalfDone(t *testing.T) {
	for _, tt := range []struct {
		name, state string // after a restart that fails
		runs        int
		acts, why   string
	}{
		{"stopped", "exited", 0, "restart start", ""},
		{"not even stopped", "running", 0, "restart", "cannot stop it; and it could not be started: docker"},
		{"started all the same", "running", 1, "restart", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDaemon(t)
			d.restart = func(w http.ResponseWriter, _ *http.Request) {
				d.becomes(tt.state, tt.runs)
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprint(w, `{"message":"cannot stop it"}`)
			}
			out, err := openJournal(t, filepath.Join(t.TempDir(), "j")).Child(t.Context(), plan.Plan{}, d.step(runtimestest.HTTP(t, d)))
			if acts := strings.Join(d.acts, " "); err != nil || acts != tt.acts || !strings.Contains(out.Why, tt.why) || (out.Status == "") != (tt.why == "") {
				t.Errorf("%v, %q, %q: %s", err, acts, out.Status, out.Why)
			}
		})
	}
}

func TestBelongs(t *testing.T) {
	unit := check.Target{Kind: "unit", Unit: "cron.service"}
	container := check.Target{Kind: "container", Container: id}
	for _, tt := range []struct {
		group string
		t     check.Target
		want  bool
	}{
		{"/system.slice/cron.service", unit, true}, {"/system.slice/cron.service/x", unit, true}, {"/system.slice/xcron.service", unit, false},
		{"/system.slice/cron.service.d", unit, false}, {"/", unit, false}, {"", unit, false},
		{"/docker/" + id, container, true}, {"/docker/" + id + "/docker/" + strings.Repeat("e", 64), container, true},
		{"/docker/" + strings.Repeat("e", 64), container, false}, {"/", container, false},
	} {
		if got := belongs(tt.group, tt.t); got != tt.want {
			t.Errorf("%s: %v", tt.group, got)
		}
	}
}

// Sexton does not restart what it runs in.
func TestRestartOwn(t *testing.T) {
	d := newDaemon(t)
	s := d.step(runtimestest.HTTP(t, d))
	for _, pid := range []int{os.Getpid(), os.Getppid()} {
		s.Target.PID, s.Target.Start = pid, statOf(t, pid).Start
		out, err := openJournal(t, filepath.Join(t.TempDir(), "j")).Child(t.Context(), plan.Plan{}, s)
		if err != nil || out.Status != plan.Refused || !strings.Contains(out.Why, "sexton runs in it, and would end with it") || len(d.acts) > 0 {
			t.Errorf("%v, %q: %s, %q", err, out.Status, out.Why, d.acts)
		}
	}
}
