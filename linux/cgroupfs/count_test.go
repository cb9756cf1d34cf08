package cgroupfs

import (
	"errors"
	"testing"
)

func TestParseCount(t *testing.T) {
	const head = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
	for _, tt := range []struct {
		name, in string
		want     int
		bad      bool
	}{
		{name: "version 1", in: head + "cpu\t1\t5\t1\ncpuacct\t1\t5\t1\npids\t8\t7\t1\n", want: 12},
		{name: "version 2", in: head + "cpu\t0\t90\t1\npids\t0\t90\t1\n", want: 90},
		{name: "disabled", in: head + "memory\t0\t1\t0\n", want: 1},
		{name: "only the head", in: head, bad: true},
		{name: "cut", in: head + "cpu\t1\n", bad: true},
		{name: "negative", in: head + "cpu\t1\t-5\t1\n", bad: true},
		{name: "absurd", in: head + "cpu\t1\t99999999999999999999\t1\n", bad: true},
		{name: "empty", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseCount([]byte(tt.in))
			if got != tt.want || tt.bad != (err != nil) || err != nil && !errors.Is(err, ErrFormat) {
				t.Errorf("%d, %v; want %d", got, err, tt.want)
			}
		})
	}
}

func FuzzParseCount(f *testing.F) {
	f.Add([]byte("#x\ncpu\t1\t5\t1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseCount(text)
		if err == nil && n < 1 || err != nil && !errors.Is(err, ErrFormat) {
			t.Fatalf("%q: %d, %v", text, n, err)
		}
	})
}
