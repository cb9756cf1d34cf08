package e2e

import (
	"encoding/json"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"sexton.dev/runtimes/runtimestest"
)

// memory is where sexton notes daemons that were silent.
const memory = "/run/sexton/silent"

// counted counts connections in front of a socket's behaviour.
func counted(n *atomic.Int32, handle func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) { n.Add(1); handle(c) }
}

// forget removes what the test makes sexton remember.
func forget(t *testing.T) {
	t.Cleanup(func() {
		if err := os.RemoveAll(memory); err != nil {
			t.Error(err)
		}
	})
}

// A daemon that accepts and never answers is asked once, and named as silent.
func TestSilentSocket(t *testing.T) {
	sandboxed(t)
	leavesNothing(t)
	forget(t)
	var asked atomic.Int32
	here := world{docker: runtimestest.Serve(t, counted(&asked, runtimestest.Swallow))}
	for _, step := range []struct {
		name  string
		args  []string
		asked bool
		why   string
	}{
		{"first", []string{"scan", "-o", "json"}, true, `accepted the connection, did not answer "ping" within`},
		{"again", []string{"scan", "--interval=300ms", "-o", "json"}, false, "not asked: it was silent before and has not been restarted since; --ask-again asks all the same"},
		{"why", []string{"why", "1", "--interval=300ms", "-o", "json"}, false, "not asked"},
		{"told to", []string{"scan", "--interval=300ms", "-o", "json", "--ask-again"}, true, `did not answer "ping"`},
		{"once more", []string{"scan", "--interval=300ms", "-o", "json"}, false, "not asked"},
	} {
		before := asked.Load()
		r := here.sexton(t, step.args...).exits(t, clean).report(t)
		if why := r.unknown("docker at " + here.docker); !strings.Contains(why, step.why) {
			t.Errorf("%s: unknown %q, want %q", step.name, why, step.why)
		}
		if n := asked.Load() - before; n > 0 != step.asked || n > 1 {
			t.Errorf("%s: %d connections, want it asked: %v", step.name, n, step.asked)
		}
	}
	var noted map[string]string
	text, err := os.ReadFile(memory)
	if err == nil {
		err = json.Unmarshal(text, &noted)
	}
	if err != nil || len(noted) != 1 {
		t.Errorf("%s: %v: %s", memory, err, text)
	}
	before := asked.Load()
	here.sexton(t, "ps").exits(t, clean)
	if asked.Load() != before {
		t.Error("ps asked a silent daemon")
	}
}

// Sockets that lie, flood or hang up cost nothing but the names.
func TestHostileSockets(t *testing.T) {
	sandboxed(t)
	for _, tt := range []struct {
		name   string
		handle func(net.Conn)
		why    string // part of the reason
	}{
		{"garbage", runtimestest.Flood(strings.Repeat("\x00\xff\x1b[2J", 1000)), "ping: "},
		{"endless header", runtimestest.Flood("HTTP/1.1 200 OK\r\nX: y\r\n"), "ping: "},
		{"endless body", func(c net.Conn) {
			c.Write([]byte("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n"))
			runtimestest.Flood("5\r\n[{},{\r\n")(c)
		}, "not a docker API: list containers: "},
		{"hangs up", func(net.Conn) {}, "closed the connection without an answer"},
		{"half an answer", func(c net.Conn) {
			c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"))
			runtimestest.Swallow(c)
		}, "not a docker API: list containers: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leavesNothing(t)
			forget(t)
			here := world{docker: runtimestest.Serve(t, tt.handle)}
			run := here.sexton(t, "scan", "--interval=300ms", "-o", "json").exits(t, clean)
			if why := run.report(t).unknown("docker at " + here.docker); !strings.Contains(why, tt.why) {
				t.Errorf("unknown %q, want %q", why, tt.why)
			}
			if table := here.sexton(t, "scan", "--interval=300ms").exits(t, clean).says(t, "Cannot tell", "docker at "+here.docker); strings.ContainsAny(table.stdout+table.stderr, "\x1b\x00") {
				t.Errorf("raw bytes of the socket\n%s", table)
			}
		})
	}
}
