package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sexton.dev/collect/door"
	"sexton.dev/runtimes"
	"sexton.dev/runtimes/shim"
	"sexton.dev/snapshot"
)

const (
	// maxShims bounds how many shims one look asks: those with a child first.
	maxShims = 64
	// shimsAtOnce bounds the connections that are open at the same time.
	shimsAtOnce = 8
	shimWithin  = time.Second
	shimsWithin = 1800 * time.Millisecond // all of them; those that were not reached are not asked
)

// A shimQuestion is what the child that asks shims is told of one.
type shimQuestion struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"`
	ID     string `json:"id"`
	Socket string `json:"socket"` // as sexton opens it: by the shim's own root, which may be another
}

// A shimAnswer is what the child says of one.
type shimAnswer struct {
	PID   int             `json:"pid"`
	Start uint64          `json:"start"`
	Said  []runtimes.Said `json:"said"`
	Ran   bool            `json:"ran,omitempty"`
}

// askShims asks each shim of the look whether it serves, and returns a function
// that waits for the answers. One that is stopped is not asked, nor one that was
// silent before.
func (l *looker) askShims(ctx context.Context) func() []shimAnswer {
	if l.h.Ladder == nil {
		return func() []shimAnswer { return nil }
	}
	var answers []shimAnswer
	var wait sync.WaitGroup
	wait.Go(func() {
		text, err := l.Ask("shims", func() ([]byte, error) { return l.askShimsLive(ctx) })
		if err != nil && !errors.Is(err, door.ErrDeadline) {
			return // nobody was heard: the rungs say nothing of them
		}
		answers = shimAnswers(text)
	})
	return func() []shimAnswer { wait.Wait(); return answers }
}

// shimAnswers reads the child's lines; the last may be cut off.
func shimAnswers(text []byte) (answers []shimAnswer) {
	for line := range bytes.Lines(text) {
		var a shimAnswer
		if json.Unmarshal(line, &a) == nil {
			answers = append(answers, a)
		}
	}
	return answers
}

func (l *looker) askShimsLive(ctx context.Context) ([]byte, error) {
	quiet := l.quiet()
	quiet.identity[runtimes.Shim] = "the same" // as its pid and start are in its name
	questions := slices.DeleteFunc(l.shimQuestions(), func(q shimQuestion) bool { return !l.AskAgain && quiet.has(q.socket()) })
	if len(questions) == 0 {
		return nil, nil
	}
	out, err := l.Child.ask(ctx, shimsWithin+shimsWithin/5, shimsQuestion{l.Proc, questions}, "shims")
	for _, a := range shimAnswers(out) {
		if !a.Ran && slices.ContainsFunc(a.Said, func(s runtimes.Said) bool { return s.Silent }) {
			i := slices.IndexFunc(questions, func(q shimQuestion) bool { return q.PID == a.PID })
			if i >= 0 {
				quiet.add(questions[i].socket())
			}
		}
	}
	return out, err
}

// socket names the shim for the memory of the silent: by its process, since only the
// child may walk a path that the shim has mounted.
func (q shimQuestion) socket() runtimes.Socket {
	return runtimes.Socket{Kind: runtimes.Shim, Path: fmt.Sprintf("pid %d.%d", q.PID, q.Start)}
}

// shimQuestions lists the shims to ask.
func (l *looker) shimQuestions() (out []shimQuestion) {
	busy := map[int]bool{} // has a child that may hang
	for _, x := range l.h.Ladder.Of(snapshot.RungChild) {
		if p := l.h.Process(x.PID); p != nil {
			busy[p.PPID] = true
		}
	}
	for _, x := range l.h.Ladder.Of(snapshot.RungShim) {
		p := l.h.Process(x.PID)
		if p == nil || p.State == snapshot.Stopped || x.Container == "" {
			continue
		}
		for _, s := range l.h.Ladder.Listeners {
			if slices.Contains(s.PIDs, x.PID) && local(s.Path) && !strings.HasSuffix(s.Path, ".debug") && !strings.Contains(s.Path, "debug.sock") {
				out = append(out, shimQuestion{x.PID, x.Start, x.Container, path.Join(l.Proc, strconv.Itoa(x.PID), "root", s.Path)})
				break
			}
		}
	}
	slices.SortStableFunc(out, func(a, b shimQuestion) int {
		switch {
		case busy[a.PID] == busy[b.PID]:
			return 0
		case busy[a.PID]:
			return -1
		}
		return 1
	})
	return out[:min(len(out), maxShims)]
}

// local reports whether a path is where nothing is mounted that may wait for another machine.
func local(p string) bool { return strings.HasPrefix(p, "/run/") || strings.HasPrefix(p, "/var/") }

// shimsAnswered puts the answers to their rungs.
func (l *looker) shimsAnswered(answers []shimAnswer) {
	if l.h.Ladder == nil {
		return
	}
	for _, a := range answers {
		if x := l.h.Ladder.Layer(snapshot.ID{PID: a.PID, Start: a.Start}); x != nil {
			x.Said, x.Ran = said(a.Said), a.Ran
		}
	}
}

func said(all []runtimes.Said) (out []snapshot.Said) {
	for _, s := range all {
		out = append(out, snapshot.Said(s))
	}
	return out
}

// A shimsQuestion is what the child is asked.
type shimsQuestion struct {
	Proc  string         `json:"proc"`
	Shims []shimQuestion `json:"shims"`
}

// childShims is the child's part: one JSON line a shim, as soon as it is known.
func childShims(out io.Writer, text string) error {
	var q shimsQuestion
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), shimsWithin)
	defer cancel()
	next := make(chan shimQuestion)
	var workers sync.WaitGroup
	var mu sync.Mutex // guards e
	e := json.NewEncoder(out)
	for range min(shimsAtOnce, len(q.Shims)) {
		workers.Go(func() {
			for s := range next {
				a := askShim(ctx, q.Proc, s)
				mu.Lock()
				e.Encode(a) // a parent that is gone needs none
				mu.Unlock()
			}
		})
	}
	for _, s := range q.Shims {
		select {
		case next <- s:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return nil
}

func askShim(ctx context.Context, proc string, s shimQuestion) shimAnswer {
	ctx, cancel := context.WithTimeout(ctx, shimWithin)
	defer cancel()
	ran := watch(ctx, proc, []string{strconv.Itoa(s.PID)})
	all, err := shim.Ping(ctx, s.Socket, s.ID)
	a := shimAnswer{PID: s.PID, Start: s.Start, Said: all, Ran: ran()}
	if err != nil && !errors.Is(err, runtimes.ErrSilent) {
		a.Said = nil // it hung up, or is another's by now: no answer, and no silence
	}
	return a
}
