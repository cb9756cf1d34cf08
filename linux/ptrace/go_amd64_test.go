package ptrace

import (
	"hash/crc32"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	if os.Getenv(roleEnv) != "" {
		runtime.LockOSThread() // main stays on the main thread
	}
}

// goTarget is a Go program as process 1: threads that compute, sleep, talk and
// have children of their own. half: its main thread has ended.
func goTarget(b *board, children int, half bool) error {
	if half {
		go goTarget(b, children, false)
		unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // the scheduler takes back what the thread had
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGUSR1)
	for range children {
		if _, err := syscall.ForkExec("/bin/true", []string{"true"}, nil); err != nil {
			return err
		}
	}
	for atomic.LoadInt64(&b.free) == 0 {
		time.Sleep(time.Millisecond)
	}
	bad := func(what int64) {
		atomic.AddInt64(&b.wrong, 1)
		atomic.StoreInt64(&b.result, what)
	}
	for range 2 {
		go compute2(bad)
	}
	go func() {
		for {
			began := time.Now()
			time.Sleep(finite / 10)
			if time.Since(began) < finite/10 {
				atomic.AddInt64(&b.early, 1)
			}
			atomic.AddInt64(&b.calls, 1)
		}
	}()
	go talk(bad)
	go func() {
		for {
			if c := exec.Command("/bin/sh", "-c", "exit 7"); c.Run() == nil || c.ProcessState.ExitCode() != 7 {
				bad(7)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	for range signals {
		if atomic.AddInt64(&b.signals, 1); atomic.LoadInt64(&b.stop) != 0 {
			os.Exit(endCode)
		}
	}
	return nil
}

func compute2(bad func(int64)) {
	var first uint32
	for round := 0; ; round++ {
		text := make([]byte, 100_000) // for the collector
		for i := range text {
			text[i] = byte(i * i)
		}
		sum := crc32.ChecksumIEEE(text)
		if round == 0 {
			first = sum
		}
		if sum != first {
			bad(1)
		}
		runtime.Gosched()
	}
}

// talk sends bytes through a pipe.
func talk(bad func(int64)) {
	r, w, err := os.Pipe()
	if err != nil {
		bad(2)
		return
	}
	go func() {
		for i := byte(0); ; i++ {
			if n, err := w.Write([]byte{i}); n != 1 || err != nil {
				bad(3)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	text := make([]byte, 1)
	for i := byte(0); ; i++ {
		if n, err := r.Read(text); n != 1 || err != nil || text[0] != i {
			bad(4)
		}
	}
}
