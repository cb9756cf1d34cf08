package pidfd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/procfs"
)

// foreign says what Open makes of the process that /proc calls 1.
func foreign() {
	text, err := os.ReadFile("/proc/1/stat")
	var s procfs.Stat
	if err == nil {
		s, err = procfs.ParseStat(text)
	}
	if err == nil {
		_, err = Open(1, s.Start)
	}
	fmt.Println(err, errors.Is(err, ErrRefused))
}

// In a PID namespace whose /proc is that of another one the same number is two
// processes: what is read of the one must not be proof for the other.
func TestForeignProc(t *testing.T) {
	hosttest.NeedsRoot(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"=foreign")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	text, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "another PID namespace") || !strings.HasSuffix(string(text), " true\n") {
		t.Errorf("%v: %s", err, text)
	}
}
