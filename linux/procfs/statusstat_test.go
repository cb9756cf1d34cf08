package procfs

import (
	"errors"
	"testing"
)

func TestStatOfStatus(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Stat
		bad      bool
	}{
		{name: "plain", in: "Name:\tsh\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nPid:\t7\nPPid:\t1\nThreads:\t3\n", want: Stat{PID: 7, Comm: "sh", State: 'S', PPID: 1, Threads: 3}},
		{name: "a name with a line", in: "Name:\ta\\nPid:\t9\nState:\tZ (zombie)\nPid:\t7\n", want: Stat{PID: 7, Comm: "a\nPid:\t9", State: 'Z'}},
		{name: "a backslash", in: "Name:\ta\\\\n\nState:\tZ\nPid:\t7\n", want: Stat{PID: 7, Comm: `a\n`, State: 'Z'}},
		{name: "cut", in: "Name:\tsh\nState:\tS\n", bad: true},
		{name: "no state", in: "Pid:\t7\nState:\t\n", bad: true},
		{name: "negative", in: "State:\tS\nPid:\t-7\n", bad: true},
		{name: "empty", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := StatOfStatus([]byte(tt.in))
			if tt.bad != (err != nil) || err != nil && !errors.Is(err, ErrFormat) || got != tt.want {
				t.Errorf("%+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func FuzzStatOfStatus(f *testing.F) {
	f.Add([]byte("Name:\ta\\nPid:\t9\nState:\tZ (zombie)\nPid:\t7\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := StatOfStatus(text)
		if err != nil && (!errors.Is(err, ErrFormat) || s != Stat{}) || err == nil && (s.PID < 1 || s.PPID < 0 || s.Threads < 0) {
			t.Fatalf("%q gave %+v, %v", text, s, err)
		}
	})
}
