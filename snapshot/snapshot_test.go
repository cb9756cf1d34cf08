package snapshot

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func host() *Host {
	return &Host{
		Processes: []Process{
			{PID: 1, Start: 1, State: Sleeping},
			{PID: 7, PPID: 1, Start: 90, State: Dead, Threads: 1},
			{PID: 8, PPID: 1, Start: 91, State: Dead, Threads: 3},
			{PID: 9, PPID: 7, Start: 92, State: Running, Threads: 1, Cgroup: "/a/b/c"},
		},
		Containers: []Container{{ID: "aa", Name: "web", State: "paused"}, {ID: "bb", State: "running"}},
		Cgroups:    []Cgroup{{Path: "/a", PIDsMax: 100}, {Path: "/a/b", Frozen: true}, {Path: "/a/b/c", PIDsMax: 10, Frozen: true}},
	}
}

func pids(list []*Process) (out []int) {
	for _, p := range list {
		out = append(out, p.PID)
	}
	return out
}

func TestSame(t *testing.T) {
	h := host()
	for _, tt := range []struct {
		name string
		id   ID
		want int // its pid, 0 for none
	}{
		{"it lives", ID{7, 90}, 7},
		{"its pid is another's now", ID{7, 89}, 0},
		{"it began in the same tick as another", ID{7, 91}, 0},
		{"it ended", ID{6, 90}, 0},
		{"nobody", ID{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := h.Same(tt.id)
			if tt.want == 0 && p != nil || tt.want != 0 && (p == nil || p.PID != tt.want || p.ID() != tt.id) {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestIndex(t *testing.T) {
	h := host()
	if p := h.Process(8); p != &h.Processes[2] {
		t.Errorf("process 8 is %+v, not the host's own", p)
	}
	if h.Process(2) != nil || h.Container("") != nil || h.Container("a") != nil || h.Cgroup("/a/") != nil || h.Children(2) != nil {
		t.Error("something was found that is not there")
	}
	if diff := cmp.Diff([]int{7, 8}, pids(h.Children(1))); diff != "" {
		t.Errorf("children of 1 (-want +got)\n%s", diff)
	}
	if c := h.Container("aa"); c != &h.Containers[0] {
		t.Errorf("container aa is %+v", c)
	}
	if g := h.Cgroup("/a/b"); g != &h.Cgroups[1] {
		t.Errorf("cgroup /a/b is %+v", g)
	}
	var none Host
	if none.Process(1) != nil || none.Same(ID{}) != nil || none.Children(0) != nil || none.Bounds("/a") != nil || none.Paused("") {
		t.Error("something was found in an empty host")
	}
}

// Checks may run side by side: the index is built once, whoever asks first.
func TestIndexFromManySides(t *testing.T) {
	h := host()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if h.Process(9) == nil || h.Container("bb") == nil {
				t.Error("not found")
			}
		})
	}
	all.Wait()
}

// What is made of a host is made once for each type, and anew after Sort.
func TestDerived(t *testing.T) {
	type first struct{ n int }
	type second struct{ n int }
	h, made := host(), 0
	ask := func() (*first, second) {
		return Derived(h, func(*Host) *first { made++; return &first{made} }), Derived(h, func(*Host) second { made++; return second{made} })
	}
	a, b := ask()
	again, bAgain := ask()
	if a != again || b != bAgain || a.n != 1 || b.n != 2 {
		t.Errorf("made %d times: %v %v, then %v %v", made, a, b, again, bAgain)
	}
	h.Sort()
	if after, _ := ask(); after.n != 3 {
		t.Errorf("after Sort: %v", after)
	}
}

// Sort moves what the index points to, so the index must not outlive it.
func TestSort(t *testing.T) {
	h := &Host{
		Processes:  []Process{{PID: 9, PPID: 1}, {PID: 7, PPID: 1}, {PID: 1}},
		Containers: []Container{{ID: "bb"}, {ID: "aa"}},
		Cgroups:    []Cgroup{{Path: "/b"}, {Path: "/a"}},
		FUSE:       []FUSEConnection{{Minor: 49}, {Minor: 48}},
		Unread:     []Unread{{Part: Places, Path: "/1"}, {Part: Budgets, Path: "/2"}, {Part: Places, Path: "/0"}},
	}
	if h.Process(9) == nil {
		t.Fatal("process 9 was not found before")
	}
	h.Processes = append(h.Processes, Process{PID: 3, PPID: 1})
	h.Sort()
	want := &Host{
		Processes:  []Process{{PID: 1}, {PID: 3, PPID: 1}, {PID: 7, PPID: 1}, {PID: 9, PPID: 1}},
		Containers: []Container{{ID: "aa"}, {ID: "bb"}},
		Cgroups:    []Cgroup{{Path: "/a"}, {Path: "/b"}},
		FUSE:       []FUSEConnection{{Minor: 48}, {Minor: 49}},
		Unread:     []Unread{{Part: Budgets, Path: "/2"}, {Part: Places, Path: "/0"}, {Part: Places, Path: "/1"}},
	}
	if diff := cmp.Diff(want, h, cmpopts.IgnoreUnexported(Host{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, pid := range []int{1, 3, 7, 9} {
		if p := h.Process(pid); p == nil || p.PID != pid {
			t.Errorf("process %d is %+v", pid, p)
		}
	}
	if diff := cmp.Diff([]int{3, 7, 9}, pids(h.Children(1))); diff != "" {
		t.Errorf("children of 1 (-want +got)\n%s", diff)
	}
}

func TestStarted(t *testing.T) {
	h := &Host{Taken: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Uptime: 1000.25}
	for _, tt := range []struct {
		name  string
		start uint64
		want  string
	}{
		{"at boot", 0, "2026-01-02T02:47:24Z"},
		{"ticks are hundredths", 100, "2026-01-02T02:47:25Z"},
		{"cut to the second", 174, "2026-01-02T02:47:26Z"},
		{"now", 100_025, "2026-01-02T03:04:05Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := h.Started(&Process{Start: tt.start}).Format(time.RFC3339Nano); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	h := host()
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"/a/b/c", []string{"/a/b/c", "/a"}},
		{"/a/b/c/d/e", []string{"/a/b/c", "/a"}},
		{"/a/b", []string{"/a"}},
		{"/ab", nil},
		{"/", nil},
		{"", nil},
		{"/../../a", nil}, // of another cgroup namespace: not /a
		{"a/b", nil},
		{"..", nil},
	} {
		var got []string
		for _, g := range h.Bounds(tt.path) {
			got = append(got, g.Path)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got)\n%s", tt.path, diff)
		}
	}
}

func TestFrozenAndPaused(t *testing.T) {
	h := host()
	if g := h.Frozen(h.Process(9)); g != &h.Cgroups[2] {
		t.Errorf("process 9 is frozen by %+v", g)
	}
	for _, path := range []string{"", "/a", "/gone"} {
		if g := h.Frozen(&Process{Cgroup: path}); g != nil {
			t.Errorf("%q is frozen by %+v", path, g)
		}
	}
	if !h.Paused("aa") || h.Paused("bb") || h.Paused("cc") || h.Paused("") {
		t.Error("aa alone is paused")
	}
}

func TestProcessStates(t *testing.T) {
	for _, tt := range []struct {
		name             string
		p                Process
		zombie, halfDead bool
	}{
		{"alive", Process{State: Running, Threads: 1}, false, false},
		{"zombie", Process{State: Dead, Threads: 1}, true, false},
		{"zombie that is being released", Process{State: Dead}, true, false},
		{"leader dead, threads alive", Process{State: Dead, Threads: 2}, false, true},
		{"stopped", Process{State: Stopped, Threads: 2}, false, false},
		{"dead for an instant", Process{State: "X"}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.p.Zombie() != tt.zombie || tt.p.HalfDead() != tt.halfDead {
				t.Errorf("zombie %v, half dead %v", tt.p.Zombie(), tt.p.HalfDead())
			}
		})
	}
	for _, tt := range []struct {
		nspid []int
		want  bool
	}{{nil, false}, {[]int{1}, false}, {[]int{900, 1}, true}, {[]int{900, 1, 7}, false}, {[]int{900, 7, 1}, true}} {
		if got := (&Process{Detail: &Detail{NSpid: tt.nspid}}).First(); got != tt.want {
			t.Errorf("first of %v: %v", tt.nspid, got)
		}
	}
	if (&Process{}).First() {
		t.Error("a process without detail is first")
	}
}

func TestSignals(t *testing.T) {
	const chld, last = 17, 64
	set := Signals(1<<(chld-1) | 1<<(last-1))
	for n := -1; n <= 66; n++ {
		if got, want := set.Has(n), n == chld || n == last; got != want {
			t.Errorf("%#x has %d: %v", set, n, got)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		l    Limits
		want int
	}{
		{Limits{}, 0},
		{Limits{PIDMax: 32768}, 32768},
		{Limits{ThreadsMax: 9000}, 9000},
		{Limits{PIDMax: 32768, ThreadsMax: 9000}, 9000},
		{Limits{PIDMax: 32768, ThreadsMax: 192686}, 32768},
	} {
		if got := tt.l.Max(); got != tt.want {
			t.Errorf("%+v: %d, want %d", tt.l, got, tt.want)
		}
	}
}

// Every field survives JSON: none lacks a name or shares one.
func TestJSON(t *testing.T) {
	n := 0
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		n++
		switch v.Kind() {
		case reflect.String:
			v.SetString(fmt.Sprintf("text %d\n\x1b[2J", n))
		case reflect.Int, reflect.Int64:
			v.SetInt(int64(n))
		case reflect.Uint64:
			v.SetUint(1<<63 + uint64(n))
		case reflect.Float64:
			v.SetFloat(float64(n) + 0.25)
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		case reflect.Map:
			v.Set(reflect.ValueOf(map[string]string{"a": "b"}))
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0))
			fill(v.Index(1))
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, n, time.UTC)))
				return
			}
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					fill(v.Field(i))
				}
			}
		default:
			t.Fatalf("a field of a kind that this test does not know: %s", v.Type())
		}
	}
	var want, got Host
	fill(reflect.ValueOf(&want).Elem())
	text, err := json.Marshal(&want)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, &got, cmpopts.IgnoreUnexported(Host{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
