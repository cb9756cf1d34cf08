package kmsg

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseRecord(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Record
		wantErr  string // "" for none; else part of an error that wraps ErrFormat
	}{
		{name: "plain", in: "6,1234,56789,-;loop1: detected\n", want: Record{Seq: 1234, Boot: 56789 * time.Microsecond, Text: "loop1: detected", Kernel: true}},
		{name: "first of a boot", in: "5,0,0,-;Linux version 6.18\n", want: Record{Text: "Linux version 6.18", Kernel: true}},
		{name: "caller, fields and a device", in: "3,5,6,-,caller=T12;I/O error\n SUBSYSTEM=block\n DEVICE=b8:16\n", want: Record{Seq: 5, Boot: 6000, Caller: "T12", Device: "8:16", Text: "I/O error", Kernel: true}},
		{name: "device of another kind", in: "3,5,6,-;x\n DEVICE=+pci:0000\n", want: Record{Seq: 5, Boot: 6000, Text: "x", Kernel: true}},
		{name: "escapes", in: `6,1,2,-;a\x0ab\x5cx41 \x1b \xzz \x4` + "\n", want: Record{Seq: 1, Boot: 2000, Text: "a\nb\\x41 \x1b \\xzz \\x4", Kernel: true}},
		{name: "of a process", in: "14,1,2,-;x\n", want: Record{Seq: 1, Boot: 2000, Text: "x"}},
		{name: "a semicolon in the text", in: "6,1,2,-;a;b", want: Record{Seq: 1, Boot: 2000, Text: "a;b", Kernel: true}},
		{name: "fragment", in: "4,1,2,c;Task in", want: Record{Seq: 1, Boot: 2000, Text: "Task in", Kernel: true, Partial: true}},
		{name: "empty", wantErr: "no header"},
		{name: "no text", in: "6,1,2,-", wantErr: "no header"},
		{name: "too few", in: "6,1,2;x", wantErr: "no header"},
		{name: "priority", in: "x,1,2,-;x", wantErr: "priority"},
		{name: "negative", in: "6,-1,2,-;x", wantErr: "sequence"},
		{name: "sequence too large", in: "6,9223372036854775808,2,-;x", wantErr: "sequence"},
		{name: "time too large", in: "6,1,18446744073709551615,-;x", wantErr: "microseconds"},
		{name: "long header", in: strings.Repeat("6,", 1<<20) + ";x", wantErr: "no header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseRecord([]byte(tt.in))
			if tt.wantErr == "" && (err != nil || !reflect.DeepEqual(got, tt.want)) {
				t.Errorf("%+v, %v; want %+v", got, err, tt.want)
			}
			if tt.wantErr != "" && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("%v, want %q", err, tt.wantErr)
			}
		})
	}
}

// Each spelling of a line gives the message, and the time as far as it has one.
func TestParseLine(t *testing.T) {
	const text = "XFS (dm-3): log I/O error"
	zone := time.FixedZone("", 3600)
	day := func(h, m, s, usec int) time.Time { return time.Date(2021, 4, 1, h, m, s, usec*1000, time.UTC) }
	boot := 261989567 * time.Microsecond
	for _, tt := range []struct {
		name, head string
		boot       time.Duration // -1: not said
		time       time.Time
	}{
		{"none", "", -1, time.Time{}},
		{"dmesg", "[  261.989567] ", boot, time.Time{}},
		{"dmesg, with the caller", "[  261.989567][    T1] ", boot, time.Time{}},
		{"dmesg -r", "<3>[  261.989567] ", boot, time.Time{}},
		{"dmesg -x", "kern  :err   : [  261.989567] ", boot, time.Time{}},
		{"dmesg -d", "[  261.989567 <    0.000012>] ", boot, time.Time{}},
		{"dmesg -T", "[Thu Apr  1 16:45:10 2021] ", -1, day(15, 45, 10, 0)},
		{"dmesg -T, in another language", "[Чт апр  1 16:45:10 2021] ", -1, time.Time{}},
		{"dmesg -e", "[Apr 1 16:45] ", -1, time.Time{}},
		{"dmesg -H", "[  +0.000003] ", -1, time.Time{}},
		{"dmesg, iso", "2021-04-01T16:45:10,000005+02:00 ", -1, day(14, 45, 10, 5)},
		{"syslog", "Apr  1 16:45:10 node1 kernel: ", -1, time.Time{}},
		{"syslog with the kernel's time", "Apr  1 16:45:10 node1 kernel: [  261.989567] ", boot, time.Time{}},
		{"syslog without the host", "Apr  1 16:45:10 kernel: ", -1, time.Time{}},
		{"syslog without the tag", "Apr  1 16:45:10 node1 ", -1, time.Time{}},
		{"rsyslog, iso", "2021-04-01T16:45:10.000005+02:00 node1 kernel: [  261.989567] ", boot, day(14, 45, 10, 5)},
		{"journalctl -o short-iso", "2021-04-01T16:45:10+0200 node1 kernel: ", -1, day(14, 45, 10, 0)},
		{"journalctl -o short-iso, systemd 250", "2021-04-01T16:45:10+02:00 node1 kernel: ", -1, day(14, 45, 10, 0)},
		{"journalctl -o short-iso-precise", "2021-04-01T16:45:10.000005+0200 node1 kernel: ", -1, day(14, 45, 10, 5)},
		{"journalctl -o short-precise", "Apr 01 16:45:10.000005 node1 kernel: ", -1, time.Time{}},
		{"journalctl -o with-unit", "Thu 2021-04-01 16:45:10 UTC node1 kernel[n/a]: ", -1, day(16, 45, 10, 0)},
		{"journalctl --utc -o short-full", "Thu 2021-04-01 16:45:10 UTC node1 kernel: ", -1, day(16, 45, 10, 0)},
		{"dmesg -T, with the caller", "[Thu Apr  1 16:45:10 2021][    T1] ", -1, day(15, 45, 10, 0)},
		{"dmesg -x -T", "kern  :err   : [Thu Apr  1 16:45:10 2021] ", -1, day(15, 45, 10, 0)},
		{"journalctl -o short-full", "Thu 2021-04-01 16:45:10 UTC node1 kernel: ", -1, day(16, 45, 10, 0)},
		{"journalctl -o short-monotonic", "[  261.989567] node1 kernel: ", boot, time.Time{}},
		{"journalctl -o short-unix", "1617295510.000005 node1 kernel: ", -1, time.Time{}},
		{"wall", " kernel:", -1, time.Time{}},
		{"a quote in a mail", "> > [  261.989567] ", boot, time.Time{}},
		{"macOS", "2021-04-01 16:45:10.000005+0200 0x1f0f     Default     0x0                  737    0    com.docker.hyperkit: [  261.989567] ", boot, day(14, 45, 10, 5)},
		{"grep", "/var/log/kern.log:17:Apr  1 16:45:10 node1 kernel: [  261.989567] ", boot, time.Time{}},
		{"a pid", "Apr  1 16:45:10 node1 kernel[0]: ", -1, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, ok := ParseLine(tt.head+text+"\r\n", zone)
			if !ok || r.Text != text || r.Boot != tt.boot || !r.Time.Equal(tt.time) {
				t.Errorf("%v %+v, want %v %v", ok, r, tt.boot, tt.time)
			}
		})
	}
}

// The stamp is the time alone.
func TestStamp(t *testing.T) {
	for head, want := range map[string]string{
		"Apr  1 16:45:10 node1 kernel: ": "Apr 1 16:45:10", "[Thu Apr  1 16:45:10 2021] ": "Thu Apr 1 16:45:10 2021", "[  261.989567] ": "261.989567",
		"Thu 2021-04-01 16:45:10 UTC node1 kernel: ": "Thu 2021-04-01 16:45:10 UTC", "2021-04-01T16:45:10+0200 node1 kernel: ": "2021-04-01T16:45:10+0200",
		"2021-04-01 16:45:10 x: ": "2021-04-01 16:45:10", "node1 ": "", "": "", "node1 kernel: [  261.989567] ": "261.989567", "[Чт апр 1 16:45:10 2021] ": "Чт апр 1 16:45:10 2021",
	} {
		if r, ok := ParseLine(head+"XFS (dm-3): log I/O error", nil); !ok || r.Stamp != want {
			t.Errorf("%q: %v %q, want %q", head, ok, r.Stamp, want)
		}
	}
}

// A line that the kernel printed in pieces is one.
func TestFragments(t *testing.T) {
	var a Assembler
	for _, l := range []string{"4,1,10,c;cgroup: fork rejected by pids ", "4,2,11,+;controller in /docker/" + idA} {
		r, err := ParseRecord([]byte(l))
		if err != nil {
			t.Fatal(err)
		}
		if early := a.Add(r); early != nil {
			t.Errorf("%+v before the end", early)
		}
	}
	if got, want := shorts(a.Flush()), []short{{family: Pids, container: idA}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Events are in the order in which they began.
func TestOrder(t *testing.T) {
	text := "java invoked oom-killer: gfp_mask=0xd0, order=0\nXFS (dm-1): log I/O error\n" + killedLine("x", 5) + "\nsh invoked oom-killer: gfp_mask=0xd0, order=0\nXFS (dm-2): log I/O error"
	want := []short{{family: OOM, process: "x", pid: 5}, {family: FSError, device: "dm-1"}, {family: OOM}, {family: FSError, device: "dm-2"}}
	if got := shorts(read(t, text)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestFolder(t *testing.T) {
	lines := "[ 100.000000] unregister_netdevice: waiting for lo to become free. Usage count = 1\n" +
		"[ 110.000000] unregister_netdevice: waiting for lo to become free. Usage count = 2\n" +
		"[ 111.000000] unregister_netdevice: waiting for eth0 to become free. Usage count = 1\n" +
		"[ 3700.000000] unregister_netdevice: waiting for lo to become free. Usage count = 1\n" + // an hour after the first, less after the last
		"[ 9000.000000] unregister_netdevice: waiting for lo to become free. Usage count = 1\n" +
		"[ 9001.000000] " + killedLine("a", 5) + "\n[ 9002.000000] " + killedLine("a", 5) + "\n"
	var got []string
	for _, e := range read(t, lines) {
		got = append(got, e.Device+e.Process+strings.Repeat("+", e.Times))
	}
	if want := []string{"lo+++", "eth0+", "lo+", "a+", "a+"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	f := Folder{Most: 1}
	for _, e := range read(t, lines) {
		f.Add(e)
	}
	if len(f.Events) != 1 || f.Left != 4 {
		t.Errorf("%d events, %d left", len(f.Events), f.Left)
	}
}
