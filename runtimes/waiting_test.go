package runtimes

import (
	"bytes"
	"context"
	"fmt"
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

// child names the file system that this process is to mount and where, in a
// mount namespace of its own that ends with it.
const child = "SEXTON_TEST_CHILD"

// Settings on a file system that never answers are not waited for, and an
// automount stays asleep, whatever leads there.
func TestSocketsBesideWaitingMounts(t *testing.T) {
	if kind, dir, ok := strings.Cut(os.Getenv(child), ":"); ok {
		besideWaitingMount(t, kind, dir)
		return
	}
	hosttest.NeedsRoot(t)
	types, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"fuse", "autofs"} {
		t.Run(kind, func(t *testing.T) {
			hosttest.Needs(t, kind, bytes.Contains(types, []byte("\t"+kind+"\n")), "modprobe "+kind)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a hang ends with the process
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^TestSocketsBesideWaitingMounts$")
			cmd.Env = append(os.Environ(), child+"="+kind+":"+t.TempDir())
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
			out, err := cmd.CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("looked beside "+kind)) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func besideWaitingMount(t *testing.T, kind, dir string) {
	dead, link := filepath.Join(dir, "dead"), filepath.Join(dir, "link")
	if err := os.Mkdir(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dead+"/u", link); err != nil {
		t.Fatal(err)
	}
	asked := mountWaiting(t, kind, dead)
	defer unix.Unmount(dead, unix.MNT_DETACH)
	began := time.Now()
	for _, home := range []string{dead, dead + "/u", link} {
		for _, s := range Sockets("/", func(name string) string {
			return map[string]string{"HOME": home, "DOCKER_HOST": "unix://" + home + "/docker.sock", "XDG_RUNTIME_DIR": home}[name]
		}) {
			if s.From != "default" {
				t.Errorf("found %+v", s)
			}
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	if asked() {
		t.Error("the file system was asked")
	}
	fmt.Println("looked beside", kind)
}

// mountWaiting mounts a file system whose server never answers. The function it
// returns reports whether anything was asked of it beyond the mount itself.
func mountWaiting(t *testing.T, kind, dir string) func() bool {
	t.Helper()
	var server int
	var options string
	if kind == "fuse" {
		fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		server, options = fd, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	} else {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			t.Fatal(err)
		}
		// Any group but this process's: its own one may walk without being served.
		server, options = p[0], fmt.Sprintf("fd=%d,pgrp=1,minproto=5,maxproto=5,indirect", p[1])
	}
	if err := unix.Mount("none", dir, kind, 0, options); err != nil {
		t.Fatalf("mount %s: %v", kind, err)
	}
	request := make([]byte, 1<<17)
	if kind == "fuse" { // the first request is the mount's own
		hosttest.Until(t, 20*time.Second, "FUSE_INIT", func() bool { _, err := unix.Read(server, request); return err == nil })
	}
	return func() bool {
		n, err := unix.Read(server, request)
		return !strings.Contains(fmt.Sprint(err), unix.EAGAIN.Error()) || n > 0
	}
}
