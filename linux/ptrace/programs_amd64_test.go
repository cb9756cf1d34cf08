package ptrace

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// python is a program that sleeps, and ends with 42 when SIGUSR1 has come and no
// sleep was short.
const python = `
import os, signal, sys, time
for i in range(60):
    if os.fork() == 0:
        os._exit(i & 7)
stop = []
signal.signal(signal.SIGUSR1, lambda *_: stop.append(1))
while not stop:
    began = time.monotonic()
    time.sleep(0.03)
    if time.monotonic() - began < 0.03 and not stop:
        sys.exit(1)
sys.exit(42)`

// node is one with timers and a pool of threads, and orphans left to it.
const node = `
const child = require("child_process"), fs = require("fs")
child.spawnSync("/bin/sh", ["-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do (/bin/true &); done"])
let stop = false
process.on("SIGUSR2", () => { stop = true })
let first = 0, ticks = 0 // one may come late, and the next is then sooner after it
setInterval(() => {
	const now = Date.now()
	if (first === 0) first = now
	else if (now - first < 20 * ++ticks - 15) process.exit(1)
	if (stop) process.exit(42)
}, 20)
const again = () => fs.readFile("/proc/version", err => err ? process.exit(2) : setTimeout(again, 3))
again()
const run = () => child.execFile("/bin/sh", ["-c", "exit 7"], err => err && err.code === 7 ? setTimeout(run, 30) : process.exit(3))
setTimeout(run, 400)`

// java is one with threads of its own, for what it reads and what it throws away, and orphans.
const java = `
public class Program {
	static volatile boolean stop;
	public static void main(String[] args) throws Exception {
		sun.misc.Signal.handle(new sun.misc.Signal("TERM"), s -> stop = true);
		new ProcessBuilder("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do (/bin/true &); done").start().waitFor();
		java.nio.file.Files.write(java.nio.file.Path.of("/proc/self/comm"), "ready".getBytes()); // it has waited for its own child
		Thread own = new Thread(() -> {
			try { while (!stop) if (!new String(java.nio.file.Files.readAllBytes(java.nio.file.Path.of("/proc/version"))).startsWith("Linux")) System.exit(1); } catch (Exception e) { System.exit(2); }
		});
		own.start();
		while (!stop) {
			long began = System.nanoTime();
			Thread.sleep(20);
			if (System.nanoTime() - began < 20_000_000) System.exit(3);
		}
		own.join();
		System.exit(42);
	}
}`

// Interpreters as people use them for a first process. A machine may have none.
func TestPrograms(t *testing.T) {
	n, random := hosttest.Trials(t, 60, 900)
	class := filepath.Join(t.TempDir(), "Program.java")
	if err := os.WriteFile(class, []byte(java), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		argv     []string
		children int
		end      syscall.Signal
	}{
		{"python3", []string{"-c", python}, 60, unix.SIGUSR1},
		{"node", []string{"-e", node}, 30, unix.SIGUSR2},
		{"java", []string{"-Xmx64m", class}, 30, unix.SIGTERM},
	} {
		path, err := exec.LookPath(tt.name)
		if err != nil {
			t.Logf("no %s on this machine", tt.name)
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			for range max(1, n/2/tt.children) {
				r := &runningTarget{t: t, board: new(board), ended: make(chan struct{}), waitsFor: "sh"}
				r.cmd = exec.Command(path, tt.argv...)
				r.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
				if err := r.cmd.Start(); err != nil {
					t.Fatal(err)
				}
				go func() { r.cmd.Wait(); close(r.ended) }()
				defer func() {
					r.cmd.Process.Kill()
					if <-r.ended; t.Failed() {
						t.Logf("it ended with %v", r.cmd.ProcessState)
					}
				}()
				r.pid = r.cmd.Process.Pid
				hosttest.Until(t, patience, "all children are dead", func() bool {
					return len(r.dead()) >= tt.children && (tt.name != "java" || r.line("Name") == "ready")
				})
				r.start = r.stat().start
				blocked, _ := r.reapAll(random)
				time.Sleep(50 * time.Millisecond)
				if got := r.line("SigBlk"); got != blocked && tt.name == "python3" { // the others' threads block signals for moments
					t.Errorf("SigBlk is %s, was %s", got, blocked)
				}
				if got := r.line("TracerPid"); got != "0" {
					t.Errorf("TracerPid is %s", got)
				}
				hosttest.Until(t, patience, "it ends", func() bool {
					unix.Kill(r.pid, tt.end)
					select {
					case <-r.ended:
						return true
					default:
						return false
					}
				})
				if code := r.cmd.ProcessState.ExitCode(); code != endCode {
					t.FailNow()
				}
			}
		})
	}
}

// A target in a user namespace, whose user owns its files of /proc: root's right
// to trace reaches there.
func TestInUserNamespace(t *testing.T) {
	r := startTarget(t, "clock_nanosleep", 20, func(c *exec.Cmd) {
		ids := []syscall.SysProcIDMap{{HostID: 100000, Size: 1}}
		c.Path = readable(t)
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings, c.SysProcAttr.GidMappings = ids, ids
		c.SysProcAttr.Credential = &syscall.Credential{}
	})
	outcomes, end := startInjector(t, nil).reap(order{Request: r.request(r.dead())})
	if end.Error != "" || len(outcomes) != 20 || len(r.dead()) != 0 {
		t.Errorf("%d outcomes, %d are left: %s", len(outcomes), len(r.dead()), end.Error)
	}
	r.end()
}
