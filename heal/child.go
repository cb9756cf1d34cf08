package heal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"sexton.dev/exactjson"
	"sexton.dev/linux/self"
	"sexton.dev/plan"
)

// childCommand is the hidden command of a child: it reads a step from its
// standard input, acts, and writes messages.
const childCommand = "__act"

// An order is the line that a child reads.
type order struct {
	Step    plan.Step       `json:"step"`
	Restore json.RawMessage `json:"restore,omitempty"` // the last note of an act that was cut short: do what is left of that
}

// A message is one line of a child: what is to be written down before it goes on,
// which it then waits for, or at last the outcome.
type message struct {
	Note    json.RawMessage `json:"note,omitempty"`
	Outcome *Outcome        `json:"outcome,omitempty"`
}

// IsChild reports whether the program was started to act.
func IsChild(args []string) bool { return len(args) > 0 && args[0] == childCommand }

// ChildMain is that command. It returns its exit status.
func ChildMain(stdin io.Reader, stdout, stderr io.Writer) int {
	time.AfterFunc(last+time.Second, func() { os.Exit(1) }) // its parent is gone, or it would have been killed
	os.WriteFile("/proc/self/comm", []byte("sexton-act"), 0)
	in := bufio.NewReader(stdin)
	var o order
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = exactjson.Unmarshal(line, &o)
	}
	if err != nil {
		fmt.Fprintln(stderr, "read a step:", err)
		return 1
	}
	say := func(m message) error {
		text, err := exactjson.Marshal(m)
		if err == nil {
			_, err = stdout.Write(append(text, '\n'))
		}
		return err
	}
	note := func(v any) error {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := say(message{Note: text}); err != nil {
			return err
		}
		if _, err := in.ReadBytes('\n'); err != nil {
			return fmt.Errorf("it could not be written down: %w", err)
		}
		return nil
	}
	if acts[o.Step.Action].lasts {
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT) // a terminal's go to all of its processes
	}
	ctx, cancel := context.WithTimeout(context.Background(), acts[o.Step.Action].within)
	defer cancel()
	ended := perform(ctx, o, note)
	if err := say(message{Outcome: &ended}); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// Child acts in a child process that executes this very program. What the act
// wants written down goes to journal first. If the child does not end in time it
// is killed, or abandoned where it cannot be, and the error is [context.DeadlineExceeded].
func (j *Journal) Child(ctx context.Context, p plan.Plan, s plan.Step) (Outcome, error) {
	return j.child(ctx, p, order{Step: s})
}

func (j *Journal) child(ctx context.Context, p plan.Plan, do order) (Outcome, error) {
	a := acts[do.Step.Action]
	if a.lasts {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, a.within)
	defer cancel()
	cmd := self.Command(a.end(), childCommand)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	in, err := cmd.StdinPipe()
	if err != nil {
		return Outcome{}, err
	}
	r, err := self.Start(cmd)
	if err != nil {
		return Outcome{}, err
	}
	defer r.Close()
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)); in.Close() })
	defer stop()
	o, err := j.converse(p, do, in, r)
	in.Close()
	if err != nil { // it is not wanted any more
		cmd.Process.Signal(a.end())
	}
	if ended := self.Leave(context.Background(), cmd); errors.Is(err, io.EOF) && ctx.Err() == nil {
		return Outcome{}, unanswered(ended, complaint.String())
	}
	if ctx.Err() != nil && err != nil {
		return Outcome{}, context.Cause(ctx)
	}
	return o, err
}

// unanswered is the error of a child that said nothing of how its act ended: how it
// ended itself, nil for without an error, and the first line of its complaint.
func unanswered(ended error, complaint string) error {
	how := "the child process ended without an answer"
	if ended != nil {
		how += ": " + ended.Error()
	}
	if text, _, _ := strings.Cut(complaint, "\n"); text != "" {
		how += ": " + text
	}
	return errors.New(how)
}

// converse gives the child its step, writes its notes down and returns its outcome.
func (j *Journal) converse(p plan.Plan, do order, in io.Writer, r io.Reader) (Outcome, error) {
	text, err := exactjson.Marshal(do)
	if err != nil {
		return Outcome{}, err
	}
	if _, err := in.Write(append(text, '\n')); err != nil {
		return Outcome{}, fmt.Errorf("give the child its step: %w", err)
	}
	messages := json.NewDecoder(io.LimitReader(r, maxLine))
	for {
		var m message
		if err := messages.Decode(&m); err != nil {
			return Outcome{}, err
		}
		if m.Outcome != nil {
			return *m.Outcome, nil
		}
		s := do.Step
		s.Target.Children = nil // the beginning has them, and notes are many where they are
		if err := j.append(p, Entry{Event: "note", Step: s, Note: m.Note}); err != nil {
			return Outcome{}, err
		}
		if _, err := io.WriteString(in, "\n"); err != nil {
			return Outcome{}, fmt.Errorf("let the child go on: %w", err)
		}
	}
}
