package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// dumpsWithin is what the dumps before an act may take where all answer.
const dumpsWithin = 3 * time.Second

// containerd is the pid of the one that a dockerd started.
func (d *dockerd) containerd() int {
	d.t.Helper()
	return pidIn(d.t, d.dir+"/exec/containerd/containerd.pid")
}

// dumped fails the test unless these processes, and no others, gave a dump before a
// step, which sexton reads and concludes from it what is said here, and soon enough.
func (w world) dumped(t *testing.T, p healPlan, s step, want map[int]string) {
	t.Helper()
	if len(s.Dumps) != len(want) {
		t.Errorf("dumps: %+v", s.Dumps)
	}
	for _, d := range s.Dumps {
		says, ok := want[d.PID]
		info, err := os.Stat(d.File)
		if !ok || d.Why != "" || err != nil || info.Mode() != 0o600 || filepath.Dir(d.File) != p.journal+".dumps" {
			t.Errorf("%v: %+v", err, d)
			continue
		}
		read := w.stacks(t, d.File)
		if read.Goroutines < 5 || !strings.Contains(read.Conclusion, says) {
			t.Errorf("%s: %d goroutines; %q, want %q", d.Comm, read.Goroutines, read.Conclusion, says)
		}
		t.Logf("%s: %d goroutines: %s", d.Comm, read.Goroutines, read.Conclusion)
	}
	if took, _ := p.acted(t, s.Target.PID); took > dumpsWithin {
		t.Errorf("the dumps took %v", took)
	} else {
		t.Logf("the dumps took %v", took)
	}
}

// A daemon that is stopped has no dump, as its shims, whose log it writes, have none. The
// step says so and is done.
func TestDumpsStopped(t *testing.T) {
	d := startDocker(t, runtimeOf(t, "losing", loseInit))
	w := world{docker: d.socket}
	lost := d.hang("lost", "losing")
	time.Sleep(startOld)
	shim := parentOf(t, lost.reader(t))
	stopDaemon(t, d.containerd())
	p := w.treat(t, "disruptive", clean, "--check", "exec-fifo")
	s := p.only(t, "unblock-exec-fifo", "done")
	want := map[int]string{
		d.pid(): "", d.containerd(): "it is stopped (state T) and writes no dump before it goes on",
		shim: fmt.Sprintf("containerd (pid %d), which has to write its log, is stopped", d.containerd()),
	}
	for _, d := range s.Dumps {
		if says, ok := want[d.PID]; !ok || !strings.Contains(d.Why, says) || (d.Why == "") != (says == "") || (d.File == "") != (says != "") {
			t.Errorf("%+v, want %q", d, says)
		}
		delete(want, d.PID)
	}
	if len(want) > 0 || len(inFifo("runc", lost.id)) > 0 {
		t.Errorf("without a dump and a reason: %v; waits still: %v", want, inFifo("runc", lost.id))
	}
	if took, _ := p.acted(t, s.Target.PID); took > dumpsWithin {
		t.Errorf("the dumps took %v", took)
	}
	if err := syscall.Kill(d.containerd(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	lost.ended(t)
	hosttest.Until(t, soon, "containerd has ended the shim", func() bool { return stateOf(shim) == "" }) // it outlives a containerd that ends first
}
