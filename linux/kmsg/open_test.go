package kmsg

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"
)

// fake is a log that answers each read in turn.
func fake(answers ...any) *Log {
	l := &Log{fd: -1, next: -1, buf: make([]byte, largestRecord)}
	l.from = func(p []byte) (int, error) {
		if len(answers) == 0 {
			return 0, unix.EAGAIN
		}
		a := answers[0]
		answers = answers[1:]
		if text, ok := a.(string); ok {
			return copy(p, text), nil
		}
		return -1, a.(error)
	}
	return l
}

// A gap in the numbers is a loss only if the kernel says so, and how many it is
// is known only after the first.
func TestLost(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name    string
		answers []any
		want    []uint64 // lost before each record
		told    []bool
	}{
		{"none", []any{"6,7,1,-;a", "6,8,1,-;b"}, []uint64{0, 0}, []bool{false, false}},
		{"a wrap before the first read", []any{"6,70000,1,-;a"}, []uint64{0}, []bool{false}},
		{"numbers left out", []any{"6,7,1,-;a", "6,9,1,-;b"}, []uint64{0, 0}, []bool{false, false}},
		{"overwritten", []any{"6,7,1,-;a", unix.EPIPE, "6,19,1,-;b", "6,20,1,-;c"}, []uint64{0, 11, 0}, []bool{false, true, false}},
		{"overwritten before the first", []any{unix.EPIPE, "6,19,1,-;b"}, []uint64{0}, []bool{true}},
		{"interrupted", []any{unix.EINTR, "6,7,1,-;a"}, []uint64{0}, []bool{false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := fake(tt.answers...)
			for i := range tt.want {
				r, err := l.Next(ctx)
				lost, told := errors.AsType[Lost](err)
				if err != nil && !told || r.Text == "" || told != tt.told[i] || lost.Records != tt.want[i] {
					t.Errorf("record %d: %+v, %v", i, r, err)
				}
			}
			if _, err := l.Next(ctx); err != io.EOF {
				t.Errorf("%v at the end", err)
			}
		})
	}
}

func TestNextErrors(t *testing.T) {
	l := fake("garbage", "6,1,1,-;a", unix.EINVAL)
	if _, err := l.Next(context.Background()); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if r, err := l.Next(context.Background()); err != nil || r.Text != "a" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := l.Next(context.Background()); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if _, err := l.Next(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l = fake("6,1,1,-;a")
	l.passed = mostOfRing
	if _, err := l.Next(context.Background()); !errors.Is(err, ErrEndless) {
		t.Error(err)
	}
	if _, err := Open(t.TempDir()+"/none", false); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
