package ptrace

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this program a target or an injector of the tests.
func TestMain(m *testing.M) {
	switch role := os.Getenv(roleEnv); role {
	case "":
		os.Exit(m.Run())
	case "inject":
		if err := injector(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		if err := actor(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
	}
	os.Exit(0)
}

const roleEnv = "PTRACE_ROLE"

// An order is a request to an injector.
type order struct {
	Request
	Only int
}

// A reply is what it says: an outcome, or the end.
type reply struct {
	Outcome
	End     bool
	Refusal *Refusal
	Error   string
	Took    time.Duration
}

// injector obeys orders until there are no more.
func injector() error {
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return nil
		}
		o.Request.only = o.Only
		began := time.Now()
		err := Reap(context.Background(), o.Request, func(o Outcome) error { return out.Encode(reply{Outcome: o}) })
		end := reply{End: true, Took: time.Since(began)}
		if err != nil {
			end.Error = err.Error()
			errors.As(err, &end.Refusal)
		}
		if err := out.Encode(end); err != nil {
			return err
		}
	}
}

// An injection is a running injector.
type injection struct {
	t   testing.TB
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
}

func startInjector(t testing.TB, change func(*exec.Cmd)) *injection {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=inject")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if change != nil {
		change(cmd)
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &injection{t, cmd, json.NewEncoder(in), json.NewDecoder(out)}
}

// reap gives an order and returns the outcomes and how it ended.
func (i *injection) reap(o order) (outcomes []Outcome, end reply) {
	i.t.Helper()
	if err := i.in.Encode(o); err != nil {
		i.t.Fatal(err)
	}
	for {
		var r reply
		if err := i.out.Decode(&r); err != nil {
			i.t.Fatalf("the injector ended: %v", err)
		}
		if r.End {
			return outcomes, r
		}
		outcomes = append(outcomes, r.Outcome)
	}
}
