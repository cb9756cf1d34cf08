package heal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/plan"
)

// leave unmounts p/v, and returns a copy of the namespace that has it still.
func (s *space) leave() *space {
	s.t.Helper()
	o := *s
	err := nsfs.Inside(s.fd, func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNS); err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			o.fd, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		return err
	})
	if err == nil {
		s.t.Cleanup(func() { unix.Close(o.fd) })
		err = nsfs.Inside(s.fd, func() error { return unix.Unmount(s.dir+"/p/v", 0) })
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return &o
}

// interrupted has a child act, with all signals of a terminal when it has said what is to be
// written down. It returns the last that the child says.
func interrupted(t *testing.T, order string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", childCommand)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewReader(out)
	io.WriteString(in, order)
	line, err := lines.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, `{"note":`) {
		return fmt.Sprint(line, err)
	}
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if err := cmd.Process.Signal(signal); err != nil {
			t.Error(err)
		}
	}
	io.WriteString(in, "\n") // it is written down
	if line, err = lines.ReadString('\n'); err != nil {
		return err.Error()
	}
	return line
}

// An interrupt at a terminal goes to the child too. It does not end that between the
// two halves of a mount point's removal, which nobody would finish: the step has its end.
func TestMountpointInterrupted(t *testing.T) {
	s := newSpace(t)
	o := s.leave()
	target := s.mount("p")
	target.Kind, target.Path, target.Root = "mountpoint", s.dir+"/p/v", "/v"
	target.Mounts = []uint64{o.mount("p/v").Mount, o.mount("q/v").Mount}
	text, err := json.Marshal(order{Step: plan.Step{Action: "remove-mountpoint", Target: target}})
	if err != nil {
		t.Fatal(err)
	}
	var said string
	hosttest.Until(t, time.Minute, "others let all mounts be read", func() bool {
		said = interrupted(t, string(text)+"\n")
		return !strings.Contains(said, "at this moment")
	})
	if said != `{"outcome":{}}`+"\n" {
		t.Error(said)
	}
	var names []string
	err = nsfs.Inside(s.fd, func() (err error) { names, err = filepath.Glob(s.dir + "/p/.sexton-*"); return err })
	if left := len(o.left()); err != nil || len(names) > 0 || left != len(s.left()) {
		t.Errorf("%v: left beside it: %q; %d mounts", err, names, left)
	}
	if a := acts["remove-mountpoint"]; a.end() != syscall.SIGKILL { // resume finishes it, and must not meet it
		t.Errorf("it gets %v when its parent ends", a.end())
	}
}
