package collect

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"sexton.dev/collect/door"
)

// The program's threads come and go, as those that enter a mount namespace do.
// A child must not be killed with the thread that started it.
func TestChildOutlivesThreads(t *testing.T) {
	fifo := t.TempDir() + "/1"
	if err := os.Mkdir(fifo, 0o755); err != nil {
		t.Fatal(err)
	}
	fifo += "/cmdline"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Self(ctx, "cmdline", fifo[:len(fifo)-len("/1/cmdline")], "1")
		ended <- err
	}()
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // returns when the child reads
	if err != nil {
		t.Fatal(err)
	}
	for range 200 { // threads end, the starter among them if it may
		done := make(chan bool)
		go func() { runtime.LockOSThread(); close(done) }()
		<-done
	}
	w.Close()
	if err := <-ended; err != nil {
		t.Errorf("the child ended with a thread of ours: %v", err)
	}
}

// Of a reply that is too large, what it may hold is returned.
func TestReplyTooLarge(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("yes")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	text, err := await(t.Context(), cmd, r, &bytes.Buffer{})
	if len(text) != maxReply || !errors.Is(err, door.ErrTooLarge) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
