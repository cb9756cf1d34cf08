package kmsg

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// merged are the events of several logs: of what is put together the first log's, each as
// "log family of-what times".
func merged(t *testing.T, logs ...string) (out []string) {
	t.Helper()
	var m Merger
	for i, text := range logs {
		var f Folder
		if err := Read(strings.NewReader(text), time.UTC, func(e Event) error { f.Add(e); return nil }); err != nil {
			t.Fatal(err)
		}
		m.Add(fmt.Sprint(i+1), &f)
	}
	for _, e := range m.Events {
		out = append(out, fmt.Sprintf("%s %s %s%s %d", e.Log, e.Family, e.Process, e.Device, e.Times))
	}
	return out
}

func TestMerger(t *testing.T) {
	const free = "unregister_netdevice: waiting for lo to become free. Usage count = 1\n"
	for _, tt := range []struct {
		name string
		logs []string
		want []string
	}{
		{"the same kill, cut in one", []string{"Mar  4 01:00:00 n kernel: java invoked oom-killer: gfp_mask=0xd0, order=0\nMar  4 01:00:00 n kernel: Task in /docker/" + idA + " killed as a result of limit of /docker/" + idA + "\nMar  4 01:00:00 n kernel: " + killedLine("java", 5), "[ 100.0] " + killedLine("java", 5)}, []string{"1 oom java 1"}},
		{"another kill of that number", []string{"[ 1.0] " + killedLine("java", 5), "[ 1.0] " + strings.Replace(killedLine("java", 5), "kB", "9kB", 1)}, []string{"1 oom java 1", "2 oom java 1"}},
		{"two kills of one log stay two", []string{"[ 1.0] " + killedLine("java", 5) + "\n[ 2.0] " + killedLine("java", 5)}, []string{"1 oom java 1", "1 oom java 1"}},
		{"what one has alone", []string{"Mar  4 01:00:00 n kernel: XFS (dm-1): log I/O error", "[ 1.0] XFS (dm-1): log I/O error\n[ 2.0] XFS (dm-2): log I/O error"}, []string{"1 fs-error dm-1 1", "2 fs-error dm-2 1"}},
		{"what is repeated is counted by the log that has most", []string{"[ 1.0] " + free, "[ 1.0] " + free + "[ 11.0] " + free + "[ 21.0] " + free}, []string{"1 netdevice lo 3"}},
		{"of another hour", []string{"[ 1.0] " + free, "[ 9000.0] " + free}, []string{"1 netdevice lo 1", "2 netdevice lo 1"}},
		{"begins before an hour is over", []string{"[ 1.0] " + free + "[ 3000.0] " + free, "[ 6000.0] " + free}, []string{"1 netdevice lo 2"}},
		{"ends within an hour", []string{"[ 6000.0] " + free, "[ 1.0] " + free + "[ 3000.0] " + free}, []string{"1 netdevice lo 2"}},
		{"of another day", []string{"2021-04-01T16:45:10Z n kernel: " + free, "[Thu Apr  1 17:00:00 2021] " + free + "[Fri Apr  2 17:00:00 2021] " + free}, []string{"1 netdevice lo 1", "2 netdevice lo 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := merged(t, tt.logs...); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// Of one thing the latest events of the earlier logs are compared, no more: logs with
// nothing but trouble of one thing are put together soon.
func TestMergerBounded(t *testing.T) {
	every := func(hours ...int) *Folder {
		var f Folder
		for _, h := range hours {
			f.Add(Event{Family: NetDevice, Device: "lo", Boot: time.Duration(h) * time.Hour, Seq: -1, Times: 1})
		}
		return &f
	}
	var hours []int
	for i := range mostAlike + 1 {
		hours = append(hours, 2*i)
	}
	var m Merger
	m.Add("1", every(hours...))
	m.Add("2", every(hours[:2]...))
	if got := len(m.Events); got != len(hours)+1 { // the first is too long ago, the second is not
		t.Errorf("%d events of %d", got, len(hours))
	}
}
