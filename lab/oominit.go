package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var oomInit = Fault{
	Name:    "oom-init",
	Summary: "the init of a container was killed for want of memory, and runc start waits for it in exec.fifo: docker ps hung so until 17.10",
	Want: []string{
		"exec-fifo: runc waits for the container's init, which has ended; it must be older than 10 s",
		"oom-runtime: the kernel killed runc's init of that container, and that start is what it left blocked",
	},
	Risk:    "disruptive",
	Remains: []string{"oom-runtime: a kill is not undone, and the kernel's log goes on telling of it"},
	Harm:    "one out-of-memory report in the kernel's log, and 16 MiB of memory for a moment; its runc and init have only the names",
	ready:   memoryReady,
	build:   oomInitBuild,
	look:    oomInitLook,
}

// Where the scene's runc keeps the container, in the fault's own root.
const runcRoot = "/run/runc"

func (r record) runcDir() string { return filepath.Join(runcRoot, containerID(r.Name, "app")) }

func oomInitBuild(s *site) error {
	dir, err := s.limited(containerID(s.rec.Name, "app"))
	if err != nil {
		return err
	}
	init, err := s.startInit("fifo-init", syscall.CLONE_NEWNS, s.dir.path)
	if err != nil {
		return err
	}
	if err := init.next(s.ctx, "created"); err != nil {
		return err
	}
	if err := s.noteChildren("start", "runc"); err != nil {
		return err
	}
	victim, err := s.child("eat")
	if err != nil {
		return err
	}
	if err := errors.Join(join(dir, victim.PID), s.writeState(victim), init.next(s.ctx, "waits")); err != nil {
		return err
	}
	return s.stands(init, oomInitLook)
}

// writeState writes what runc does of a container's init, by the numbers of this PID
// namespace, where runc would be.
func (s *site) writeState(init Process) error {
	text, err := json.Marshal(map[string]any{"id": containerID(s.rec.Name, "app"), "init_process_pid": init.PID, "init_process_start": init.Start})
	if err != nil {
		return err
	}
	return os.WriteFile(procPath(s.rec.role(roleInit).PID, "root"+s.rec.runcDir()+"/state.json"), text, 0o600)
}

// oomInitLook proves that the init was killed in its group, and that the start waits.
func oomInitLook(r record) (sight, error) {
	n, err := kills(r.group())
	if err != nil {
		return sight{}, err
	}
	start := r.role("start")
	text, err := os.ReadFile(procPath(start.PID, "wchan"))
	_, lives := start.alive()
	waits := err == nil && lives && strings.Contains(string(text), "wait_for_partner")
	word := "does not wait"
	if waits {
		word = "waits"
	}
	return sight{text: fmt.Sprintf("the kernel has killed %d in %s; runc (pid %d) %s in exec.fifo", n, r.group(), start.PID, word), all: n > 0 && waits, any: waits}, nil
}

// fifoInit is the first process of PID and mount namespaces whose root has nothing but
// the container's directory. Its children are the container's init and the runc that
// starts it.
func fifoInit(s stage) error {
	signal.Ignore(syscall.SIGHUP)
	if err := s.first(2, "fifo-init wants a directory and the mount namespace of up"); err != nil {
		return err
	}
	if err := leaveSharing(s.args[1]); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(context.Background(), s.until)
	defer cancel()
	victim, err := launch(ctx, oomInit.Name, "oom-eater", s.until, nil, "runc:[2:INIT]")
	if err != nil {
		return err
	}
	id := containerID(oomInit.Name, "app")
	starter, err := launch(ctx, oomInit.Name, "fifo-reader", s.until, nil, "--root", runcRoot, "start", id)
	if err != nil {
		return err
	}
	dir := filepath.Join(runcRoot, id)
	if err := plainRoot(s.args[0], dir); err != nil {
		return err
	}
	if err := unix.Mkfifo(filepath.Join(dir, "exec.fifo"), 0o622); err != nil {
		return err
	}
	if err := s.reach("created"); err != nil {
		return err
	}
	if err := victim.order(); err != nil {
		return err
	}
	if err := wasKilled(ctx, victim); err != nil {
		return err
	}
	if err := starter.next(ctx, "opens"); err != nil {
		return err
	}
	if err := s.reach("waits"); err != nil {
		return err
	}
	s.alone()
	return reapUntil(s)
}

// plainRoot gives this mount namespace a root with one directory and /proc.
func plainRoot(at, dir string) error {
	if err := freshRoot(at, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=64k,mode=0700", "proc", dir); err != nil {
		return err
	}
	if err := mountProc(at); err != nil {
		return err
	}
	return enterRoot(at)
}

// fifoReader is a runc start that does not look for the init while it waits, as it was
// until 1.0.0-rc4. When it is let go it ends, as runc does.
func fifoReader(s stage) error {
	if err := s.hello(); err != nil {
		return err
	}
	if err := errors.Join(takeName("runc"), s.tell(report{Step: "opens"})); err != nil {
		return err
	}
	s.alone()
	f, err := os.OpenFile(filepath.Join(s.args[1], s.args[3], "exec.fifo"), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}
