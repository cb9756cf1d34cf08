package check

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/snapshot"
)

func TestNames(t *testing.T) {
	const id = "7e844a947116714d8576372366bde54cd4bb15a62d732437781b41a6fec56ccc"
	h := &snapshot.Host{
		Processes:  []snapshot.Process{{PID: 7, Start: 90, Comm: "sh"}, {PID: 8, Comm: "nginx", Container: id}, {PID: 9, Comm: "etcd", Container: "podded"}, {PID: 10, Comm: "", Container: "?"}},
		Containers: []snapshot.Container{{ID: id}, {ID: "podded", Name: "etcd", Pod: "kube-system/etcd-1"}},
	}
	for _, tt := range []struct {
		pid     int
		label   string
		subject Subject
		holder  Holder
	}{
		{7, "sh (pid 7)", Subject{Kind: "process", Name: "sh", PID: 7}, Holder{Kind: "process", PID: 7, Comm: "sh"}},
		{8, "nginx (pid 8) in container 7e844a947116", Subject{Kind: "process", Name: "7e844a947116", PID: 8, Container: id}, Holder{Kind: "process", PID: 8, Comm: "nginx", Container: id}},
		{9, "etcd (pid 9) in container etcd of pod kube-system/etcd-1", Subject{Kind: "process", Name: "etcd", PID: 9, Container: "podded", Pod: "kube-system/etcd-1"},
			Holder{Kind: "process", PID: 9, Comm: "etcd", Container: "podded", Pod: "kube-system/etcd-1"}},
		{10, " (pid 10) in container ?", Subject{Kind: "process", Name: "?", PID: 10, Container: "?"}, Holder{Kind: "process", PID: 10, Container: "?"}},
	} {
		p := h.Process(tt.pid)
		if diff := cmp.Diff(tt.subject, SubjectOf(h, p)); diff != "" {
			t.Errorf("subject of %d (-want +got)\n%s", tt.pid, diff)
		}
		if diff := cmp.Diff(tt.holder, HolderOf(h, p)); diff != "" {
			t.Errorf("holder of %d (-want +got)\n%s", tt.pid, diff)
		}
		if got := Label(h, p); got != tt.label {
			t.Errorf("label of %d: %q, want %q", tt.pid, got, tt.label)
		}
	}
	if got := Identity("zombies", snapshot.ID{PID: 7, Start: math.MaxUint64}); got != "zombies/7.18446744073709551615" {
		t.Error(got)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1573: "1,573", 999_999: "999,999", 1_000_000: "1,000,000",
		-1: "-1", -999: "-999", -1000: "-1,000", -123_456: "-123,456", math.MinInt32: "-2,147,483,648"} {
		if got := Number(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for _, tt := range []struct {
		n          int
		noun, want string
	}{
		{0, "thread", "0 threads"}, {1, "thread", "1 thread"}, {2, "thread", "2 threads"}, {1573, "thread", "1,573 threads"},
		{1, "dead child", "1 dead child"}, {3, "dead child", "3 dead children"}, {2, "process", "2 processes"}, {1, "process", "1 process"},
	} {
		if got := Count(tt.n, tt.noun); got != tt.want {
			t.Errorf("%d %s: %q, want %q", tt.n, tt.noun, got, tt.want)
		}
	}
}

func TestAge(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Hour, "0 s"}, {0, "0 s"}, {999 * time.Millisecond, "0 s"}, {40 * time.Second, "40 s"}, {60 * time.Second, "1 min"}, {90 * time.Second, "1 min 30 s"},
		{time.Hour, "1 h"}, {time.Hour + 59*time.Second, "1 h"}, {25 * time.Hour, "1 d 1 h"}, {76 * time.Hour, "3 d 4 h"}, {24*time.Hour + 30*time.Minute, "1 d"},
		{math.MaxInt64, "an unknown time"},
	} {
		if got := Age(tt.d); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestLists(t *testing.T) {
	names := []string{"sh", "curl", "sh", "a", "b", "sh", "curl"}
	for most, want := range map[int]string{1: "sh × 3, 3 more", 2: "sh × 3, curl × 2, 2 more", 3: "sh × 3, curl × 2, a, 1 more", 4: "sh × 3, curl × 2, a, b", 9: "sh × 3, curl × 2, a, b"} {
		for range 5 { // the order of a map must not show
			if got := Tally(names, most); got != want {
				t.Errorf("at most %d: %q, want %q", most, got, want)
			}
		}
	}
	if got := Tally(nil, 3) + PIDs(nil, 3); got != "" {
		t.Errorf("nobody is %q", got)
	}
	for most, want := range map[int]string{1: "7 and 2 more", 2: "7 8 and 1 more", 3: "7 8 9", 4: "7 8 9"} {
		if got := PIDs([]int{7, 8, 9}, most); got != want {
			t.Errorf("at most %d: %q, want %q", most, got, want)
		}
	}
	if got, want := PIDs(make([]int, 2000), 1), "0 and 1,999 more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
