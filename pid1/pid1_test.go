package pid1

import (
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const tail = " 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 8432 1 2"
	for _, tt := range []struct {
		name, in string
		want     process
		ok       bool
	}{
		{"plain", "7 (sh) S" + tail, process{7, 1, "sh", 'S', "8432"}, true},
		{"hostile name", "7 (a) R 2 (b) Z" + tail, process{7, 1, "a) R 2 (b", 'Z', "8432"}, true},
		{"newline and ESC", "7 (\n\x1b[2J\xff) D" + tail, process{7, 1, "\n\x1b[2J\xff", 'D', "8432"}, true},
		{"cut short", "7 (sh) S 1", process{}, false},
		{"no name", "7 S 1", process{}, false},
		{"no number", "x (sh) S" + tail, process{}, false},
		{"long state", "7 (sh) SS" + tail, process{}, false},
		{"no letter as state", "7 (sh) \x00" + tail, process{}, false},
		{"empty", "", process{}, false},
		{"brackets the wrong way", ")(", process{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := parseStat(tt.in); got != tt.want || ok != tt.ok {
				t.Errorf("got %+v, %v, want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (a) R 2 (b) Z 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 8432 1 2")
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := parseStat(text)
		if ok && (p.state == 0 || p.start == "") {
			t.Errorf("%+v", p)
		}
		_ = p.String()
	})
}

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		name, theirs, ours string
		want               bool
	}{
		{"the same", "0::/a\n", "0::/a\n", true},
		{"below", "0::/a/b\n", "0::/a\n", true},
		{"beside, with the same beginning", "0::/ab\n", "0::/a\n", false},
		{"above", "0::/\n", "0::/a\n", false},
		{"outside a cgroup namespace", "0::/../b\n", "0::/\n", false},
		{"one hierarchy of several is another", "2:pids:/b\n1:cpu:/a\n", "2:pids:/a\n1:cpu:/a\n", false},
		{"a colon in a path", "0::/a:b\n", "0::/a:b\n", true},
		{"nothing", "", "", true},
		{"not a cgroup file", "\x00\n:", "0::/\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := within(tt.theirs, tt.ours); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestLetters(t *testing.T) {
	for _, pair := range [][2]int{{3, 4}, {255, 3}, {16, 255}} {
		l := letters(pair[0], pair[1])
		n := func(i int) int { return int(l[i]-'a') & 0xf }
		if got := [2]int{n(0) | n(2)<<4, n(1) | n(3)<<4}; got != pair {
			t.Errorf("%v became %q, which is %v", pair, l, got)
		}
	}
}

func TestRemember(t *testing.T) {
	var a answer
	begin := time.Unix(1_800_000_000, 0)
	parents := func(pids ...int) (list []unwaited) {
		for _, pid := range pids {
			list = append(list, unwaited{parent: process{pid: pid}})
		}
		return list
	}
	remember(&a, parents(7, 9), begin)
	later := parents(9, 11)
	remember(&a, later, begin.Add(time.Minute))
	if later[0].age != time.Minute || later[1].age != stillDead {
		t.Errorf("ages %v and %v", later[0].age, later[1].age)
	}
	again := parents(7)
	remember(&a, again, begin.Add(2*time.Minute))
	if again[0].age != stillDead {
		t.Errorf("a parent that waited meanwhile has age %v", again[0].age)
	}
	remember(&a, parents(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), begin) // more than there is room for
}

func TestExitCode(t *testing.T) {
	for status, want := range map[int64]int64{0: 0, 7 << 8: 7, 255 << 8: 255, 15: 143, 9: 137, 11 | 0x80: 139} {
		if got := exitCode(status); got != want {
			t.Errorf("status %#x: %d, want %d", status, got, want)
		}
	}
}
