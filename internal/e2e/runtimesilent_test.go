package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// deafen takes a process's file descriptors away: it runs on with those that it has,
// and accepts no further connection, which is a daemon that is silent and not stopped.
func deafen(t *testing.T, pid int) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: was.Max}, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &was, nil); err != nil {
			t.Error(err)
		}
		os.Remove(memory)
	})
}

// A daemon and a shim that run and do not answer are named, each once: the second
// scan asks no more, and says so.
func TestRuntimeSilent(t *testing.T) {
	h := startHungHost(t)
	web := h.run("web", nil, "sleep", "1000")
	leavesNothing(t)
	t.Run("dockerd", func(t *testing.T) {
		deafen(t, h.pid())
		f := h.names(t, "dockerd", "", h.pid(), "no answer to ping")
		if !strings.Contains(strings.Join(f.Advice, "\n"), fmt.Sprintf("then kill -HUP %d", h.pid())) {
			t.Errorf("how its debug is turned on is not told: %q", f.Advice)
		}
		r := h.here.sexton(t, "scan", "-o", "json").exits(t, clean, findings).report(t)
		if why := r.unknown("docker at " + h.socket); !strings.Contains(why, "not asked: it was silent before") {
			t.Errorf("the second scan says %q", why)
		}
	})
	t.Run("containerd", func(t *testing.T) {
		deafen(t, h.c.pid())
		h.names(t, "containerd", "", h.c.pid(), "no answer to version")
	})
	t.Run("shim", func(t *testing.T) {
		shim := web.shim()
		deafen(t, shim)
		h.names(t, "shim", web.id, shim, "no answer to connect")
	})
	t.Run("all answer", func(t *testing.T) {
		hosttest.Until(t, soon, "docker answers", func() bool { return h.ping() == nil })
		h.quiet(t)
	})
}

// misbehave is how daemons behave that nobody should trust.
var misbehave = map[string]func(c net.Conn){
	"garbage": func(c net.Conn) { io.WriteString(c, "\x16\x03\x01\x02\x00\x01\x00garbage\n\n\x00\xff") },
	"endless": func(c net.Conn) {
		for b := make([]byte, 1<<16); ; {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	},
	"slow bytes": func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, "H"); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	},
	"huge frames": func(c net.Conn) {
		io.WriteString(c, "\xff\xff\xff\xff\x00\x00\x00\x01\x02\x00") // to ttrpc 4 GiB, to HTTP/2 16 MiB
		io.Copy(io.Discard, c)
	},
	"hangs up": func(c net.Conn) {},
	"silent":   func(c net.Conn) { io.Copy(io.Discard, c) },
}

// beDaemon plays a daemon: what is its name, how it behaves, where it listens.
func beDaemon(what string) error {
	words := strings.SplitN(what, "|", 3)
	l, err := net.Listen("unix", words[2])
	if err == nil {
		err = os.WriteFile("/proc/self/comm", []byte(words[0]), 0)
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if _, err := c.Read(make([]byte, 1)); err == nil {
				misbehave[words[1]](c)
			}
		}()
	}
}

// play starts a daemon that behaves so until the test ends.
func play(t *testing.T, comm, how, socket, dir string) int {
	t.Helper()
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(me, comm+"|"+how+"|"+socket)
	cmd.Env = append(os.Environ(), roleVar+"=daemon")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() })
	var ready string
	if _, err := fmt.Fscanln(out, &ready); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// Whatever daemons and shims send, a scan ends in time, leaves nothing and finds
// only what is silent.
func TestRuntimeHostile(t *testing.T) {
	sandboxed(t)
	forget(t)
	const id = "c0ffee0000000000000000000000000000000000000000000000000000c0ffee"
	for how := range misbehave {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			dir, err := os.MkdirTemp("/run", "h")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			bundle := filepath.Join(dir, "io.containerd.runtime.v2.task/moby", id)
			if err := os.MkdirAll(bundle, 0o755); err != nil {
				t.Fatal(err)
			}
			play(t, "dockerd", how, dir+"/docker.sock", "/")
			play(t, "containerd", how, dir+"/containerd.sock", "/")
			shim := play(t, "containerd-shim", how, dir+"/shim.sock", bundle)
			here := world{docker: dir + "/docker.sock", containerd: dir + "/containerd.sock", patience: wholeScan}
			var ran run
			var all []finding
			ask := func() int {
				ran = here.sexton(t, "scan", "-o", "json").exits(t, clean, findings)
				t.Logf("%v", ran.took)
				all = ran.report(t).of("runtime-hung")
				return len(all)
			}
			if ask(); how != "silent" {
				for _, f := range all {
					if how != "slow bytes" && how != "huge frames" { // an answer that never ends is none
						t.Errorf("%s\n%s", f.Title, drawn(f))
					}
				}
				return
			}
			if len(all) < 3 { // who is starved or has just begun is at work
				hosttest.Until(t, soon, "all are told", func() bool { os.Remove(memory); return ask() >= 3 })
			}
			if len(all) != 3 {
				t.Fatalf("%d findings, want 3: %s", len(all), ran.report(t).titles())
			}
			for _, f := range all {
				if f.Subject.PID == shim && f.Subject.Container != id {
					t.Errorf("the shim is of %q", f.Subject.Container)
				}
			}
		})
	}
}
