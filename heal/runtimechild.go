package heal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sexton.dev/linux/pidfd"
	"sexton.dev/plan"
)

// What a runtime's child and its parent may be. A shim is never a child here: its
// container would end with it.
var (
	childNames  = []string{"runc", "crun", "youki", "docker-runc"}
	parentNames = []string{"containerd-shim-runc-v2", "containerd-shim-runc-v1", "containerd-shim", "docker-containerd-shim", "conmon", "crio", "containerd", "docker-containerd"}
)

// endChild ends the very runc that a step names. Where it waits is written down before.
func endChild(ctx context.Context, s plan.Step, note func(any) error) error {
	if s.Parent == nil {
		return refusal{errors.New("whose child it is was not named: plan again: sexton heal")}
	}
	p, err := pidfd.Open(s.Target.PID, s.Target.Start)
	if err != nil {
		return pinned(err)
	}
	defer p.Close()
	parent, err := pidfd.Open(s.Parent.PID, s.Parent.Start)
	if err != nil {
		return refusal{fmt.Errorf("its parent: %w", err)}
	}
	defer parent.Close()
	if err := note(waitsOf(s.Target.PID)); err != nil {
		return err
	}
	return pinned(p.EndChild(ctx, pidfd.Child{Parent: parent, Names: childNames, Parents: parentNames, Switches: s.Target.Switches}))
}

// A threadWait is where a thread was, for whoever asks later why it hung.
type threadWait struct {
	Thread  string `json:"thread"`
	Wchan   string `json:"wchan,omitempty"`
	Syscall string `json:"syscall,omitempty"`
	Stack   string `json:"stack,omitempty"`
}

// waitsOf reads what the threads of a process wait in; what cannot be read is "".
func waitsOf(pid int) (out []threadWait) {
	dirs, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid)) // the pattern is fine
	for _, dir := range dirs {
		text := func(name string) string {
			b, _ := os.ReadFile(filepath.Join(dir, name))
			return strings.TrimSpace(string(b))
		}
		out = append(out, threadWait{filepath.Base(dir), text("wchan"), text("syscall"), text("stack")})
	}
	return out
}
