package heal

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

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
	cmd := exec.Command("/proc/self/exe", childCommand)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		t.Fatal(err1, err2)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	said := bufio.NewReader(out)
	io.WriteString(in, string(text)+"\n")
	if line, err := said.ReadString('\n'); err != nil || line[:8] != `{"note":` {
		t.Fatalf("%v: %s", err, line)
	}
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if err := cmd.Process.Signal(signal); err != nil {
			t.Error(err)
		}
	}
	io.WriteString(in, "\n") // it is written down
	if line, err := said.ReadString('\n'); err != nil || line != `{"outcome":{}}`+"\n" {
		t.Errorf("%v: %s", err, line)
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
