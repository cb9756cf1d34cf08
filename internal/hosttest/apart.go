package hosttest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Apart executes the test's own program once more, as PID 1 of PID and mount
// namespaces of its own, so that whatever it leaves ends with it, and fills report
// with the JSON that it prints. The program finds order, as JSON, in a variable of
// its environment. It is for root.
func Apart(t testing.TB, variable string, order any, within time.Duration, report any) {
	t.Helper()
	NeedsRoot(t)
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	c := exec.CommandContext(ctx, "/proc/self/exe")
	c.Env = append(os.Environ(), variable+"="+string(text))
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	err = c.Run()
	var exit *exec.ExitError
	Needs(t, "mount-namespace", err == nil || errors.As(err, &exit), "the right to make mount and PID namespaces")
	if err == nil {
		err = json.Unmarshal(out.Bytes(), report)
	}
	if err != nil {
		t.Fatalf("the process of the trials: %v\n%s", err, complaint.String())
	}
}
