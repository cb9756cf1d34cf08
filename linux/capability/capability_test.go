package capability

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

const mode = "SEXTON_KEEP"

// TestMain is also the process that gives its capabilities up: for good, so apart.
func TestMain(m *testing.M) {
	if os.Getenv(mode) == "" {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // linked with C this thread alone gives them up
	err := errors.Join(Keep([]Capability{unix.CAP_KILL}, []Capability{unix.CAP_CHOWN}), Keep([]Capability{unix.CAP_KILL}, []Capability{unix.CAP_SYS_ADMIN}))
	fmt.Println(err, held())
	fmt.Println(Keep([]Capability{unix.CAP_KILL, unix.CAP_SYS_ADMIN, 40}, nil), held())
}

func held() string {
	text, _ := os.ReadFile("/proc/thread-self/status")
	_, after, _ := strings.Cut(string(text), "CapPrm:\t")
	both, _, _ := strings.Cut(after, "\nCapBnd")
	return strings.ReplaceAll(both, "\nCapEff:\t", " ")
}

// What is needed stays, with what is helpful and held, and nothing else; where
// something needed is not held nothing changes.
func TestKeep(t *testing.T) {
	hosttest.NeedsRoot(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), mode+"=1", "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	kill := fmt.Sprintf("%016x", 1<<unix.CAP_KILL)
	want := fmt.Sprintf("<nil> %s %s\nthis process lacks CAP_SYS_ADMIN and capability 40 %s %s\n", kill, kill, kill, kill)
	if err != nil || string(out) != want {
		t.Errorf("%v\n%swant\n%s", err, out, want)
	}
}
