package collect

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
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
