package ask

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// patience is what a silent socket is given, and late how much longer Ask may take
// on a loaded machine; what answers at once is given as much.
const (
	patience = 300 * time.Millisecond
	late     = 20 * time.Second
)

var kinds = []runtimes.Kind{runtimes.Docker, runtimes.Podman, runtimes.Containerd, runtimes.CRI}

// random is noise that is the same in every run.
func random(c net.Conn) {
	noise := make([]byte, 1<<16)
	r := rand.NewChaCha8([32]byte{1})
	for {
		r.Read(noise)
		if _, err := c.Write(noise); err != nil {
			return
		}
	}
}

// drip sends a byte now and then and never ends.
func drip(c net.Conn) {
	for {
		if _, err := io.WriteString(c, "\x00"); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func halfClose(c net.Conn) {
	c.(*net.UnixConn).CloseWrite()
	runtimestest.Swallow(c)
}

func settingsOnly(c net.Conn) {
	io.WriteString(c, "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	runtimestest.Swallow(c)
}

// calm ends the connection in the one way that gRPC itself writes to stderr about.
func calm(c net.Conn) {
	io.WriteString(c, "\x00\x00\x00\x04\x00\x00\x00\x00\x00"+
		"\x00\x00\x16\x07\x00\x00\x00\x00\x00"+"\x00\x00\x00\x00\x00\x00\x00\x0b"+"too_many_pings")
	runtimestest.Swallow(c)
}

// Each sick socket is asked by each client: what must come is an error that
// says what the socket did, in time, and nothing left behind.
func TestSickSockets(t *testing.T) {
	const isDocker, isRPC = "not a docker API", "does not speak gRPC"
	for _, tt := range []struct {
		name        string
		serve       func(net.Conn)
		docker, rpc string // parts of the error of the two protocols
		dockerIs    error
		rpcIs       error
	}{
		{"silent", runtimestest.Swallow, "accepted the connection, did not answer", "accepted the connection, did not answer", runtimes.ErrSilent, runtimes.ErrSilent},
		{"closes at once", func(net.Conn) {}, "closed the connection without an answer", "closed the connection without an answer", nil, nil},
		{"half-closed", halfClose, "closed the connection without an answer", "closed the connection without an answer", nil, nil},
		{"noise without end", random, isDocker, isRPC, runtimes.ErrOtherAPI, runtimes.ErrOtherAPI},
		{"zeros without end", runtimestest.Flood(strings.Repeat("\x00", 1<<16)), "", "", nil, nil},
		{"one line without end", runtimestest.Flood("HTTP/1.1 200 OK"), "", isRPC, nil, runtimes.ErrOtherAPI},
		{"headers without end", func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			runtimestest.Flood("X: " + strings.Repeat("x", 1<<10) + "\r\n")(c)
		}, "", isRPC, nil, runtimes.ErrOtherAPI},
		{"another protocol", func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n"); runtimestest.Swallow(c) },
			isDocker, isRPC, runtimes.ErrOtherAPI, runtimes.ErrOtherAPI},
		{"drips", drip, "", "", nil, nil},
		{"greets as HTTP/2 and is silent", settingsOnly, "did not answer", "did not answer", runtimes.ErrSilent, runtimes.ErrSilent},
	} {
		for _, kind := range kinds {
			t.Run(tt.name+"/"+string(kind), func(t *testing.T) {
				runtimestest.NoLeaks(t)
				part, is := tt.docker, tt.dockerIs
				if kind == runtimes.Containerd || kind == runtimes.CRI {
					part, is = tt.rpc, tt.rpcIs
				}
				s := runtimes.Socket{Kind: kind, Path: runtimestest.Serve(t, tt.serve)}
				wait := patience // nothing is said, or what comes never ends
				if part != "" && is != runtimes.ErrSilent {
					wait = late
				}
				err := ask(t, s, wait)
				if part != "" {
					runtimestest.CheckError(t, err, part, is)
				}
			})
		}
	}
}

// ask asks a sick socket and returns the error, which names the socket.
func ask(t *testing.T, s runtimes.Socket, wait time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	began := time.Now()
	answer, err := Ask(ctx, s)
	if took := time.Since(began); took > wait+late {
		t.Errorf("took %v", took)
	}
	if answer.Kind != s.Kind || answer.Socket != s.Path || answer.Containers != nil {
		t.Errorf("answer %+v", answer)
	}
	if err == nil || !strings.HasPrefix(err.Error(), string(s.Kind)+" at "+s.Path+": ") {
		t.Fatalf("error %v does not say of what", err)
	}
	t.Log(err)
	return err
}

func TestWebServer(t *testing.T) {
	for _, kind := range kinds {
		for name, h := range map[string]http.Handler{
			"not found": http.NotFoundHandler(),
			"a page":    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }),
		} {
			t.Run(name+"/"+string(kind), func(t *testing.T) {
				runtimestest.NoLeaks(t)
				s := runtimes.Socket{Kind: kind, Path: runtimestest.HTTP(t, h)}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := Ask(ctx, s)
				t.Log(err)
				part := "not a docker API"
				if kind == runtimes.Containerd || kind == runtimes.CRI {
					part = "does not speak gRPC"
				}
				runtimestest.CheckError(t, err, part, runtimes.ErrOtherAPI)
			})
		}
	}
}

func TestNobodyListens(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			runtimestest.NoLeaks(t)
			l := runtimestest.Listen(t).(*net.UnixListener)
			l.SetUnlinkOnClose(false)
			l.Close()
			err := ask(t, runtimes.Socket{Kind: kind, Path: l.Addr().String()}, late)
			runtimestest.CheckError(t, err, "refused: nobody listens on the socket", nil)
			err = ask(t, runtimes.Socket{Kind: kind, Path: runtimestest.Path(t)}, late)
			runtimestest.CheckError(t, err, "the socket does not exist", nil)
		})
	}
}

// What a daemon says goes into the error and nowhere else: not through the log of
// a library to the terminal.
func TestLibrariesStayQuiet(t *testing.T) {
	const child = "SEXTON_TEST_CHILD"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLibrariesStayQuiet$")
		cmd.Env = append(os.Environ(), child+"=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if out, err := cmd.Output(); err != nil || stderr.Len() > 0 {
			t.Errorf("%v, stderr %q, stdout %s", err, &stderr, out)
		}
		return
	}
	for _, serve := range []func(net.Conn){random, drip, runtimestest.Flood("HTTP/1.1 200 OK\r\n\r\nmore"), calm, func(net.Conn) {}} {
		for _, kind := range kinds {
			for range 3 {
				ask(t, runtimes.Socket{Kind: kind, Path: runtimestest.Serve(t, serve)}, patience)
			}
		}
	}
}

func TestNoClient(t *testing.T) {
	_, err := Ask(t.Context(), runtimes.Socket{Kind: "lxc", Path: "/run/lxc.sock"})
	runtimestest.CheckError(t, err, `ask /run/lxc.sock: no client for kind "lxc"`, nil)
}
