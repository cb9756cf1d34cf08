package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// heldFUSE mounts a FUSE file system of which nobody will answer a lookup: its server
// has read one and died, and a child of it that knows nothing has /dev/fuse open still.
// die kills the server when somebody waits. It returns the mount point and the child.
func heldFUSE(t *testing.T) (at string, keeper int, die func()) {
	t.Helper()
	hosttest.Needs(t, "fuse", fileExists("/dev/fuse"), "modprobe fuse")
	at = filepath.Join(t.TempDir(), "fuse")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("/proc/self/exe", at)
	server.Env = append(os.Environ(), roleVar+"=mute")
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-server.Process.Pid, syscall.SIGKILL) // the keeper is in its group
		server.Wait()
		syscall.Unmount(at, syscall.MNT_DETACH)
	})
	if _, err := fmt.Fscanln(out, &keeper); err != nil {
		t.Fatal(err)
	}
	return at, keeper, func() {
		t.Helper()
		var asked string
		if _, err := fmt.Fscanln(out, &asked); err != nil {
			t.Fatal(err)
		}
		server.Process.Kill()
		server.Wait()
	}
}

// beMute is that server: it answers what a mount and a look at its root directory ask.
//
// Source: Linux 6.12 include/uapi/linux/fuse.h.
func beMute(at string) error {
	const (
		lookup, getattr, initialize = 1, 3, 26
		header, mode                = 40, 16 + 60 // bytes of fuse_in_header; offset of the mode in fuse_attr_out
	)
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Mount("mute", at, "fuse.mute", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device)); err != nil {
		return err
	}
	keeper := exec.Command("sleep", "1000")
	keeper.ExtraFiles = []*os.File{os.NewFile(uintptr(device), "/dev/fuse")}
	if err := keeper.Start(); err != nil {
		return err
	}
	fmt.Println(keeper.Process.Pid)
	for request := make([]byte, 1<<17); ; {
		n, err := unix.Read(device, request)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < header {
			return fmt.Errorf("a request of %d bytes: %w", n, err)
		}
		var body []byte
		failed := unix.ENOSYS
		switch binary.NativeEndian.Uint32(request[4:]) {
		case lookup:
			fmt.Println("asked")
			continue
		case initialize:
			body, failed = make([]byte, 64), 0
			binary.NativeEndian.PutUint32(body, 7) // version 7.31
			binary.NativeEndian.PutUint32(body[4:], 31)
			binary.NativeEndian.PutUint32(body[20:], 4096) // the least that it may write at once
		case getattr:
			body, failed = make([]byte, 104), 0
			binary.NativeEndian.PutUint32(body[mode:], unix.S_IFDIR|0o755)
		}
		reply := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body)))
		reply = binary.NativeEndian.AppendUint32(reply, uint32(-int32(failed)))
		reply = append(append(reply, request[8:16]...), body...) // the request's number
		if _, err := unix.Write(device, reply); err != nil && err != unix.ENOENT {
			return err
		}
	}
}

// A container whose program waits for a FUSE server that is dead cannot be stopped
// as long as anybody has /dev/fuse open. Aborted, it ends.
func TestHealDockerFUSE(t *testing.T) {
	d := startDocker(t)
	w := world{docker: d.socket}
	other := d.run("other", nil, "sleep", "1000")
	at, keeper, die := heldFUSE(t)
	c := d.run("reader", []string{"-v", at + ":/data"}, "cat", "/data/file")
	die()
	if text, err := d.command("stop", "-t", "1", c.id).CombinedOutput(); err == nil || !strings.Contains(string(text), "did not receive an exit event") {
		t.Fatalf("docker stop: %v: %s", err, text)
	}
	if state := stateOf(c.pid); state != "D" {
		t.Fatalf("its program is in state %q", state)
	}
	same := livesOn(t, other)
	f := w.scan(t, findings).only(t, "hung-task", "reader")
	if f.Subject.PID != c.pid || f.Severity != "critical" || len(f.Holders) != 1 || f.Holders[0].PID != keeper {
		t.Errorf("%s %+v, held by %+v", f.Severity, f.Subject, f.Holders)
	}

	w.treat(t, "safe", unhealed).only(t, "abort-fuse", "refused")
	if state := stateOf(c.pid); state != "D" {
		t.Fatalf("its program is in state %q", state)
	}
	w.treat(t, "disruptive", clean).only(t, "abort-fuse", "done")
	hosttest.Until(t, soon, "the container has ended", func() bool { return c.inspect("{{.State.Status}} {{.State.ExitCode}}") == "exited 137" })
	same()
}
