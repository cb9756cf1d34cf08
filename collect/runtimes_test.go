package collect

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"sexton.dev/runtimes"
	"sexton.dev/snapshot"
)

func socket(path string) runtimes.Socket { return runtimes.Socket{Kind: runtimes.Docker, Path: path} }

func identity(who string) map[runtimes.Kind]string {
	return map[runtimes.Kind]string{runtimes.Docker: who}
}

// A daemon that is stopped is not asked; with one that runs beside it, it is.
func TestStoppedDaemonIsNotAsked(t *testing.T) {
	for _, tt := range []struct {
		name   string
		states []string
		asked  bool
	}{
		{"stopped", []string{"T"}, false},
		{"one runs", []string{"T", "S"}, true},
		{"none seen", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newHost()
			for i, state := range tt.states {
				f.process(70+i, 1, state, "dockerd", nil)
			}
			f["ask/sockets"] = `[{"kind":"docker","path":"/nowhere/docker.sock"}]`
			asked := false
			o := Options{Parts: []snapshot.Part{snapshot.Names}, AskAgain: true,
				Child: func(_ context.Context, args ...string) ([]byte, error) {
					asked = true
					return json.Marshal(reply{Answer: runtimes.Answer{Kind: runtimes.Docker, Version: "20.10"}})
				}}
			_, h := Looks(t.Context(), f, nil, o)
			if asked != tt.asked || len(h.Runtimes) != 1 {
				t.Fatalf("asked %v, want %v; %+v", asked, tt.asked, h.Runtimes)
			}
			if !tt.asked && !strings.Contains(h.Runtimes[0].Err, "dockerd (pid 70) is stopped") {
				t.Errorf("error %q", h.Runtimes[0].Err)
			}
		})
	}
}

// A container of ctr has an id that is no cgroup's name; its task's pid tells which it is.
func TestAdoptByPID(t *testing.T) {
	f := newHost()
	f.process(77, 1, "S", "redis", map[string]any{"cgroup": "0::/default/redis\n"})
	f.process(78, 77, "S", "save", map[string]any{"cgroup": "0::/default/redis/below\n"})
	f.process(79, 1, "S", "other", map[string]any{"cgroup": "0::/default/redis2\n"})
	f["ask/sockets"] = `[{"kind":"containerd","path":"/c.sock"}]`
	f["ask/runtime/containerd/c.sock"] = `{"answer":{"kind":"containerd","socket":"/c.sock","containers":[{"id":"redis","namespace":"default","state":"running","pid":77}]}}`
	h := one(t, f)
	for pid, want := range map[int]string{77: "redis", 78: "redis", 79: ""} {
		if got := h.Process(pid).Container; got != want {
			t.Errorf("process %d is in %q, want %q", pid, got, want)
		}
	}
	if c := h.Container("redis"); c == nil || c.Runtime != "containerd" || c.Cgroup != "/default/redis" {
		t.Errorf("%+v", c)
	}
}

// While containerd is stopped dockerd is asked for nothing that it asks containerd.
func TestBriefWhileContainerdIsStopped(t *testing.T) {
	for _, state := range []string{"S", "T"} {
		f := newHost()
		f.process(70, 1, "S", "dockerd", nil)
		f.process(71, 1, state, "containerd", nil)
		f["ask/sockets"] = `[{"kind":"docker","path":"/nowhere/docker.sock"}]`
		var asked runtimes.Socket
		o := Options{Parts: []snapshot.Part{snapshot.Names}, AskAgain: true,
			Child: func(_ context.Context, args ...string) ([]byte, error) {
				if err := json.Unmarshal([]byte(args[1]), &asked); err != nil {
					t.Error(err)
				}
				return json.Marshal(reply{Answer: runtimes.Answer{Kind: runtimes.Docker}})
			}}
		Looks(t.Context(), f, nil, o)
		if want := state == "T"; asked.Brief != want || asked.Path == "" {
			t.Errorf("containerd in %s: asked %+v, want brief %v", state, asked, want)
		}
	}
}

// A shim that was silent is remembered by its process, and no other one is taken for it.
func TestSilentShim(t *testing.T) {
	q := silentSockets{file: t.TempDir() + "/silent", identity: map[runtimes.Kind]string{runtimes.Shim: "the same"}}
	one, other := shimQuestion{PID: 7, Start: 70}, shimQuestion{PID: 7, Start: 71}
	if q.has(one.socket()) {
		t.Error("nobody was silent yet")
	}
	q.add(one.socket())
	if !q.has(one.socket()) || q.has(other.socket()) {
		t.Errorf("%v, another one %v", q.has(one.socket()), q.has(other.socket()))
	}
}

// A containerd that has no CRI lacks nothing, also if it cannot tell all that it is
// asked: a shim of it is stopped.
func TestNoCRIIsNoLack(t *testing.T) {
	const other = `{"answer":{"kind":"cri","socket":"/c.sock"},"err":"cri at /c.sock: unknown service","other":true}`
	for _, tt := range []struct {
		name, containerd string
		want             []string // kinds that are told of
	}{
		{"all told", `{"answer":{"kind":"containerd","socket":"/c.sock","version":"1.6"}}`, []string{"containerd"}},
		{"partly told", `{"answer":{"kind":"containerd","socket":"/c.sock","version":"1.6"},"err":"state unknown"}`, []string{"containerd"}},
		{"speaks neither", `{"answer":{"kind":"containerd","socket":"/c.sock"},"err":"unknown service","other":true}`, []string{"containerd", "cri"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newHost()
			f["ask/sockets"] = `[{"kind":"containerd","path":"/c.sock"},{"kind":"cri","path":"/c.sock"}]`
			f["ask/runtime/containerd/c.sock"], f["ask/runtime/cri/c.sock"] = tt.containerd, other
			_, h := Looks(t.Context(), f, nil, Options{Parts: []snapshot.Part{snapshot.Names}})
			var got []string
			for _, r := range h.Runtimes {
				got = append(got, r.Kind)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("told of %q, want %q", got, tt.want)
			}
		})
	}
}
