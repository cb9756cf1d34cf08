package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// A daemon is a fake one. Handlers that are nil give what a healthy daemon would.
type daemon struct {
	api     string // Api-Version header; "" for none
	list    http.HandlerFunc
	version http.HandlerFunc

	mu    sync.Mutex
	asked []string
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.asked = append(d.asked, r.Method+" "+r.URL.String())
	d.mu.Unlock()
	if d.api != "" {
		w.Header().Set("Api-Version", d.api)
	}
	switch {
	case r.URL.Path == "/_ping" && r.Method == http.MethodHead && d.api == "":
		w.WriteHeader(http.StatusNotFound) // before API 1.40 the ping was GET only
	case r.URL.Path == "/_ping":
		fmt.Fprint(w, "OK")
	case strings.HasSuffix(r.URL.Path, "/containers/json"):
		if d.list == nil {
			d.list = text("[]")
		}
		d.list(w, r)
	case strings.HasSuffix(r.URL.Path, "/version"):
		if d.version == nil {
			d.version = text(`{"Version":"20.10.24","ApiVersion":"1.41"}`)
		}
		d.version(w, r)
	default:
		http.NotFound(w, r)
	}
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) }
}

func replies(code int, s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprint(w, s)
	}
}

// never answers until the client is gone.
func never(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// endless writes head once and then body until the client is gone.
func endless(head, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := fmt.Fprint(w, head)
		for err == nil {
			_, err = fmt.Fprint(w, body)
		}
	}
}

const full = `[{"Id":"aa11","Names":["/other/link","/web"],"Image":"nginx:1.25","ImageID":"sha256:00","Command":"run --token SECRET",
	"Env":["PASSWORD=SECRET"],"Created":1,"Ports":[{"PrivatePort":80}],"Labels":{"token":"SECRET","io.kubernetes.pod.namespace.x":"SECRET"},
	"State":"running","Status":"Up 3 days (healthy)","HostConfig":{"NetworkMode":"SECRET"},"NetworkSettings":{"Networks":{"SECRET":{}}},
	"Mounts":[{"Source":"/SECRET"}]},
	{"Id":"bb22","Names":["/k8s_POD_web-0_shop_u1_0"],"Image":"pause","State":"Exited","Status":"Exited (0) 2 days ago",
	"Labels":{"io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"u1",
	"io.kubernetes.container.name":"POD","io.kubernetes.docker.type":"podsandbox","annotation.x":"SECRET"}},
	{"Id":"cc33","Names":["/\u001b[31m\n<b>\u0000"],"Image":"","State":"","Status":"(healthy) is what it calls itself","Labels":null},
	{"Id":"dd44","Names":null,"Status":"Up 1 second (health: starting)"}]`

var fullWant = []runtimes.Container{
	{ID: "aa11", Name: "web", Image: "nginx:1.25", State: "running", Status: "Up 3 days (healthy)", Health: true},
	{ID: "bb22", Name: "POD", Image: "pause", State: "exited", Status: "Exited (0) 2 days ago", Pod: "web-0", PodNS: "shop", PodUID: "u1", Sandbox: true},
	{ID: "cc33", Name: "\x1b[31m\n<b>\x00", Status: "(healthy) is what it calls itself"},
	{ID: "dd44", Status: "Up 1 second (health: starting)", Health: true},
}

var podman = text(`{"Version":"4.3.1","Components":[{"Name":"Podman Engine","Version":"4.3.1"}]}`)

var listCases = []struct {
	name    string
	daemon  *daemon
	wait    time.Duration // 0: a minute
	want    runtimes.Answer
	wantErr string // "" for none
	is      error
}{
	{name: "newer than the client", daemon: &daemon{api: "1.99", list: text(full)},
		want: runtimes.Answer{Version: "20.10.24", APIVersion: "1.51", Containers: fullWant}},
	{name: "20.10, none", daemon: &daemon{api: "1.41"}, want: runtimes.Answer{Version: "20.10.24", APIVersion: "1.41"}},
	{name: "1.12, no version in the ping", daemon: &daemon{list: text(full), version: text(`{"Version":"1.12.6"}`)},
		want: runtimes.Answer{Version: "1.12.6", APIVersion: "1.24", Containers: fullWant}},
	{name: "podman behind docker's name", daemon: &daemon{api: "1.41", version: podman},
		want: runtimes.Answer{Kind: runtimes.Podman, Version: "4.3.1", APIVersion: "1.41"}},
	{name: "too old", daemon: &daemon{api: "1.22"}, want: runtimes.Answer{APIVersion: "1.22"},
		wantErr: "speaks API 1.22; the oldest asked is 1.24", is: runtimes.ErrOtherAPI},
	{name: "version that is a path", daemon: &daemon{api: "1.24/../../containers/x/stop?"},
		wantErr: `its API version is "1.24/../../containers`, is: runtimes.ErrOtherAPI},
	{name: "list is silent", wait: time.Second, daemon: &daemon{api: "1.41", list: never}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: `accepted the connection, did not answer "list containers" within `, is: runtimes.ErrSilent},
	{name: "version is silent", wait: time.Second, daemon: &daemon{api: "1.41", list: text(full), version: never},
		want:    runtimes.Answer{APIVersion: "1.41", Containers: fullWant},
		wantErr: `the version is not told (the daemon asks containerd for it): accepted the connection, did not answer "version"`, is: runtimes.ErrPartial},
	{name: "list fails", daemon: &daemon{api: "1.41", list: replies(500, `{"message":"layer does not exist"}`)}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "list containers: 500 Internal Server Error: layer does not exist"},
	{name: "list fails in plain text", daemon: &daemon{api: "1.41", list: replies(503, "try later\n")}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "list containers: 503 Service Unavailable: try later"},
	{name: "redirect", daemon: &daemon{api: "1.41", list: http.RedirectHandler("http://example.com/", http.StatusFound).ServeHTTP}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "list containers: 302 Found"},
	{name: "list is a page", daemon: &daemon{api: "1.41", list: text("<html>hello")}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "not a docker API: list containers: ", is: runtimes.ErrOtherAPI},
	{name: "list is an object", daemon: &daemon{api: "1.41", list: text(`{"message":"no"}`)}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: `it starts with "{"`, is: runtimes.ErrOtherAPI},
	{name: "list is cut short", daemon: &daemon{api: "1.41", list: text(`[{"Id":"a"}`)}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "entry 1: EOF"},
	{name: "list of nothing", daemon: &daemon{api: "1.41", list: endless("[", "null,")}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "entry 0 has no Id", is: runtimes.ErrOtherAPI},
	{name: "endless list", daemon: &daemon{api: "1.41", list: endless("[", strings.Repeat(`{"Id":"a"},`, 1000))}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "over 65536 containers"},
	{name: "endless list of large ones", daemon: &daemon{api: "1.41", list: endless("[", `{"Id":"a","x":"`+strings.Repeat("x", 1<<20)+`"},`)},
		want: runtimes.Answer{APIVersion: "1.41"}, wantErr: "sent over 64 MiB in answer"},
	{name: "one endless entry", daemon: &daemon{api: "1.41", list: endless(`[{"Id":"`, strings.Repeat("x", 1<<16))}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "entry 0 does not end", is: runtimes.ErrOtherAPI},
	{name: "endless blanks", daemon: &daemon{api: "1.41", list: endless(`[`, strings.Repeat(" ", 1<<16))}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "entry 0 does not end", is: runtimes.ErrOtherAPI},
	{name: "endless version", daemon: &daemon{api: "1.41", version: endless(`{"Version":"`, strings.Repeat("x", 1<<16))}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "version: sent over 1 MiB in answer", is: runtimes.ErrPartial},
	{name: "version is a page", daemon: &daemon{api: "1.41", version: text("<html>")}, want: runtimes.Answer{APIVersion: "1.41"},
		wantErr: "version: invalid character", is: runtimes.ErrPartial},
}

func TestList(t *testing.T) {
	for _, tt := range listCases {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			socket := runtimestest.HTTP(t, tt.daemon)
			if tt.wait == 0 {
				tt.wait = time.Minute
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
			defer cancel()
			got, err := List(ctx, socket)
			if ctx.Err() != nil && !errors.Is(err, runtimes.ErrSilent) {
				t.Error("used up all its time")
			}
			if tt.want.Kind == "" {
				tt.want.Kind = runtimes.Docker
			}
			tt.want.Socket = socket
			runtimestest.CheckSaid(t, got.Said, err)
			got.Said = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			t.Log(err)
			runtimestest.CheckError(t, err, tt.wantErr, tt.is)
			if err != nil && !strings.HasPrefix(err.Error(), "docker at "+socket+": ") {
				t.Errorf("error %q does not say of what", err)
			}
		})
	}
}

func TestAsksNoMoreThanNeeded(t *testing.T) {
	d := &daemon{api: "1.41", list: text(full)}
	if _, err := List(t.Context(), runtimestest.HTTP(t, d)); err != nil {
		t.Fatal(err)
	}
	want := []string{"GET /_ping", "GET /v1.41/containers/json?all=1", "GET /v1.41/version"}
	if !slices.Equal(d.asked, want) {
		t.Errorf("asked %q, want %q", d.asked, want)
	}
}

func TestKeepsNothingElse(t *testing.T) {
	answer, err := List(t.Context(), runtimestest.HTTP(t, &daemon{api: "1.41", list: text(full)}))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"SECRET", "token", "PASSWORD", "annotation", "sha256"} {
		if strings.Contains(string(b), word) {
			t.Errorf("the answer has %q: %s", word, b)
		}
	}
	if len(answer.Containers) != 4 {
		t.Errorf("%d containers", len(answer.Containers))
	}
}

// A reply that was left early ends with List, not with the context.
func TestLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel) // after the look for leaks
	runtimestest.NoLeaks(t)
	_, err := List(ctx, runtimestest.HTTP(t, &daemon{api: "1.41", list: endless("[", "null,")}))
	runtimestest.CheckError(t, err, "entry 0 has no Id", runtimes.ErrOtherAPI)
}

func TestCanceled(t *testing.T) {
	runtimestest.NoLeaks(t)
	ctx, cancel := context.WithCancel(t.Context())
	socket := runtimestest.HTTP(t, &daemon{api: "1.41", list: func(w http.ResponseWriter, r *http.Request) { cancel(); never(w, r) }})
	_, err := List(ctx, socket)
	if !errors.Is(err, context.Canceled) || errors.Is(err, runtimes.ErrSilent) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func FuzzDecodeList(f *testing.F) {
	f.Add(full)
	f.Add(`[null]`)
	f.Add(`[{"Id":"a","Names":[[],{}]}]`)
	f.Add(`[{"Id":"a","Names":"a","Labels":[]}]`)
	f.Fuzz(func(t *testing.T, s string) {
		found, err := decodeList(strings.NewReader(s))
		for _, c := range found {
			if c.ID == "" {
				t.Errorf("no id in %+v", c)
			}
		}
		if err != nil && found != nil {
			t.Errorf("%d containers beside %v", len(found), err)
		}
	})
}
