package unreapedchildren

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sexton.dev/check"
	"sexton.dev/check/checktest"
	"sexton.dev/snapshot"
)

func Test(t *testing.T) { checktest.Run(t, Check) }

// crowd returns a host on which PID 1 of a container has left children of
// these ages dead, each of a session of its own.
func crowd(ages []time.Duration) *snapshot.Host {
	const uptime = 30 * 24 * time.Hour
	ticks := func(age time.Duration) uint64 { return uint64((uptime - age) / (10 * time.Millisecond)) }
	h := &snapshot.Host{Taken: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Uptime: uptime.Seconds()}
	list := snapshot.TaskChildren{TID: 7}
	for i, age := range ages {
		z := snapshot.Process{PID: 1000 + i, PPID: 7, Start: ticks(age), State: snapshot.Dead, Comm: "curl", Session: 100_000 + i, Threads: 1}
		h.Processes = append(h.Processes, z)
		list.Children = append(list.Children, z.PID)
	}
	h.Processes = append(h.Processes, snapshot.Process{PID: 7, PPID: 3, Start: 1, State: snapshot.Sleeping, Comm: "sleep", Session: 7, Threads: 1,
		Cgroup: "/docker/web0", Container: "web0", Detail: &snapshot.Detail{NSpid: []int{7, 1}, Children: []snapshot.TaskChildren{list}}})
	h.Containers = []snapshot.Container{{ID: "web0", Name: "web", Runtime: "docker", Cgroup: "/docker/web0"}}
	h.Cgroups = []snapshot.Cgroup{{Path: "/docker/web0", Container: "web0", PIDs: len(ages) + 3, PIDsMax: 4096}}
	h.Sort()
	return h
}

// every returns n ages, the youngest one interval old.
func every(interval time.Duration, n int) []time.Duration {
	var ages []time.Duration
	for i := n; i > 0; i-- {
		ages = append(ages, time.Duration(i)*interval)
	}
	return ages
}

func plus(ages ...[]time.Duration) []time.Duration {
	var all []time.Duration
	for _, a := range ages {
		all = append(all, a...)
	}
	return all
}

// same is n ages, all within a second.
func same(age time.Duration, n int) []time.Duration {
	ages := make([]time.Duration, n)
	for i := range ages {
		ages[i] = age + time.Duration(n-i)*time.Millisecond
	}
	return ages
}

// What comes steadily has a rate and a date; a burst, and what has stopped, has neither.
func TestGrowth(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name string
		ages []time.Duration
		rate string // "" for none
		rest string // until the limit, of 4,096 pids
	}{
		{"1,573 dead over 3 days, 40 a minute now", plus(every(3*time.Minute, 1173)[:1173], every(1500*time.Millisecond, 400)), "+40/min over the last 10 min", "1 h 2 min"},
		{"a leak from the start on", every(10*time.Second, 30), "+5.8/min over the last 5 min", "11 h 40 min"},
		{"a leak that began four minutes ago, with old dead", plus(same(3*day, 1), every(1500*time.Millisecond, 160)), "+40/min over the last 4 min", "1 h 38 min"},
		{"a few in an hour, which last for months", every(15*time.Minute, 4), "+3.0/h over the last 1 h", ""},
		{"seventeen in an hour, two of them in ten minutes", every(3*time.Minute+30*time.Second, 17), "+16/h over the last 59 min 30 s", "10 d 12 h"},
		{"two, far apart", plus(same(100*time.Second, 1), same(10*time.Second, 1)), "+36/h over the last 1 min 41 s", "4 d 18 h"},
		{"one", same(time.Minute, 1), "", ""},
		{"a burst in one second", same(5*time.Minute, 500), "", ""},
		{"a burst this second", same(0, 500), "", ""},
		{"a burst and one more", plus(same(5*time.Minute, 500), same(time.Minute, 1)), "", ""},
		{"a burst, with old dead", plus(same(3*day, 7), same(5*time.Minute, 500)), "", ""},
		{"it stopped half an hour ago", every(time.Second, 3600)[:1800], "", ""},
		{"none for hours", same(5*time.Hour, 40), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := crowd(tt.ages)
			found := Check.Run(check.Pass{Now: h, Before: h, Limits: check.Defaults})
			if len(found) != 1 {
				t.Fatalf("%d findings", len(found))
			}
			f := found[0]
			seen, harm := f.Evidence[0].Text, f.Harm
			if tt.rate == "" && strings.Contains(seen+harm, "over the last") || !strings.Contains(seen, tt.rate) {
				t.Errorf("rate: want %q in %q", tt.rate, seen)
			}
			if tt.rest == "" && strings.Contains(harm, "lasts") || !strings.Contains(harm, tt.rest) {
				t.Errorf("rest: want %q in %q", tt.rest, harm)
			}
		})
	}
}

// The pace of a probe is told from its jitter; uneven starts have none.
func TestPace(t *testing.T) {
	for _, tt := range []struct {
		name   string
		starts []uint64 // clock ticks
		want   time.Duration
	}{
		{"none", nil, 0},
		{"three", []uint64{0, 3000, 6000}, 0},
		{"even", []uint64{0, 3000, 6000, 9000}, 30 * time.Second},
		{"a late one", []uint64{0, 3000, 6100, 9000, 12000}, 30 * time.Second},
		{"several in one probe", []uint64{0, 3, 3000, 3010, 6000, 9000, 9004}, 30 * time.Second},
		{"one was skipped", []uint64{0, 3000, 6000, 12000, 15000}, 0},
		{"uneven", []uint64{0, 100, 6000, 6100}, 0},
		{"at once", []uint64{5, 5, 5, 5, 5}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var dead []*snapshot.Process
			for _, start := range tt.starts {
				dead = append(dead, &snapshot.Process{Start: start})
			}
			if got := pace(dead); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// Ten times the dead cost ten times the time, not a hundred.
func BenchmarkDead(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := crowd(every(time.Second, n))
			for b.Loop() {
				if found := Check.Run(check.Pass{Now: h, Before: h, Limits: check.Defaults}); len(found) != 1 {
					b.Fatal(len(found))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/dead")
		})
	}
}
