package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"sexton.dev/collect/door"
	"sexton.dev/linux/self"
)

// A Child runs one of sexton's hidden commands ([ChildMain]) in a process of
// its own and returns what it wrote, also what it wrote before ctx ended; then
// the error wraps [door.ErrDeadline]. It is for reads that may block for ever.
type Child func(ctx context.Context, args ...string) ([]byte, error)

// ask runs a command with a question, in JSON, as its last argument, and has it
// answer within some time.
func (c Child) ask(ctx context.Context, within time.Duration, question any, args ...string) ([]byte, error) {
	text, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return c(ctx, append(args, string(text))...)
}

// askFor asks a door what the answer is JSON to.
func askFor[T any](d door.Door, name string, live func() ([]byte, error)) (answer T, err error) {
	text, err := d.Ask(name, live)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	return answer, err
}

const (
	childCommand = "__child"
	maxReply     = 64 << 20 // bytes of one reply
)

// Self is the Child that executes this very program.
func Self(ctx context.Context, args ...string) ([]byte, error) {
	if ctx.Err() != nil { // who asks for each of many namespaces would start one for each, after its time
		return nil, door.ErrDeadline
	}
	cmd := self.Command(syscall.SIGKILL, append([]string{childCommand}, args...)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	r, err := self.Start(cmd)
	if err != nil {
		return nil, err
	}
	return await(ctx, cmd, r, &complaint)
}

// await reads the child's output until it ends, ctx ends or the reply is too
// large, and leaves no process behind that can still be killed.
func await(ctx context.Context, cmd *exec.Cmd, r *os.File, complaint *bytes.Buffer) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	out, readErr := io.ReadAll(io.LimitReader(r, maxReply+1))
	stop()
	r.Close()
	failed := readErr != nil || len(out) > maxReply
	if failed {
		cmd.Process.Kill()
	}
	err := self.Leave(ctx, cmd)
	if errors.Is(err, self.ErrKilled) { // time is up, or it has said all and does not end
		err = nil
	}
	switch {
	case len(out) > maxReply:
		return out[:maxReply], fmt.Errorf("reply of over %d MiB: %w", maxReply>>20, door.ErrTooLarge)
	case errors.Is(readErr, os.ErrDeadlineExceeded), ctx.Err() != nil:
		return out, door.ErrDeadline
	case err != nil:
		return out, fmt.Errorf("child process: %w: %s", err, strings.TrimSpace(firstLine(complaint.String())))
	}
	return out, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
