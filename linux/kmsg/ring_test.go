package kmsg

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

func kmsgKill(seq int, pid int) string {
	return fmt.Sprintf("3,%d,%d,-;%s\n", seq, seq*1000, killedLine("sh", pid))
}

// What a copy keeps is what an assembler makes events of, and nothing that a program wrote.
func TestCopier(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []any
		head    string
		records string
	}{
		{"nothing", nil, "", ""},
		{"a kill among others", []any{"6,0,1,-;Linux version 6.18\n", kmsgKill(7, 5), "5,8,9,-;audit: type=1327 proctitle=7365637265740a\n"}, "# first 0 1\n", kmsgKill(7, 5)},
		{"a program's word", []any{"12,7,1,-;" + killedLine("sh", 5) + "\n"}, "# first 7 1\n", ""},
		{"lost", []any{unix.EPIPE, kmsgKill(7, 5), unix.EPIPE, kmsgKill(19, 6)}, "# lost 0\n# first 7 7000\n# lost 11\n", kmsgKill(7, 5) + kmsgKill(19, 6)},
		{"no record", []any{"x", kmsgKill(7, 5)}, "# first 7 7000\n", kmsgKill(7, 5)},
		{"keys and values", []any{"3,7,1,-;XFS (dm-1): log I/O error\n SUBSYSTEM=block\n DEVICE=b8:16\n"}, "# first 7 1\n", "3,7,1,-;XFS (dm-1): log I/O error\n SUBSYSTEM=block\n DEVICE=b8:16\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := copier{log: fake(tt.answers...)}
			if err := c.copy(context.Background()); err != nil || string(c.head) != tt.head || string(c.records) != tt.records {
				t.Errorf("%v\n%s%s\nwant\n%s%s", err, c.head, c.records, tt.head, tt.records)
			}
			p := ReadCopy(append(c.head, c.records...))
			if want := strings.Count(tt.records, "Killed") + strings.Count(tt.records, "XFS"); len(p.Events) != want || p.Unread != nil {
				t.Errorf("%+v, want %d events", p, want)
			}
		})
	}
	failing := copier{log: fake(unix.EPERM)}
	if err := failing.copy(context.Background()); err == nil {
		t.Error("an error is no end")
	}
}

// The newest records are kept, whole.
func TestNewest(t *testing.T) {
	text := kmsgKill(7, 5) + kmsgKill(8, 6)
	if got := string(newest([]byte(text), len(text))); got != text {
		t.Errorf("%q", got)
	}
	if got := string(newest([]byte(text), len(text)-1)); got != kmsgKill(8, 6) {
		t.Errorf("%q", got)
	}
	var many strings.Builder
	for i := range mostEvents + 3 {
		many.WriteString(kmsgKill(i, i+1))
	}
	p := ReadCopy([]byte(many.String()))
	if len(p.Events) != mostEvents || p.Left != 3 || p.Events[0].PID != 4 {
		t.Errorf("%d events from pid %d, %d left", len(p.Events), p.Events[0].PID, p.Left)
	}
}

// A log of the past may be a file; anything else is none.
func TestCopyPath(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "kmsg")
	if err := os.WriteFile(file, []byte("6,1,1,-;hello\n"+kmsgKill(7, 5)), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := Copy(t.Context(), file, time.Now)
	if err != nil || string(text) != kmsgKill(7, 5) {
		t.Errorf("%v: %s", err, text)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir + "/none": "no such file", "/dev/null": "not the kernel's log", fifo: "not the kernel's log"} {
		if _, err := Copy(t.Context(), path, time.Now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The machine's own log is read to its end, at once, twice with the same result.
func TestCopyLive(t *testing.T) {
	hosttest.NeedsRoot(t)
	began := time.Now()
	text, err := Copy(t.Context(), Device, time.Now)
	hosttest.Needs(t, "kmsg", err == nil, "a readable /dev/kmsg")
	p := ReadCopy(text)
	t.Logf("%d bytes, %d events in %v", len(text), len(p.Events), time.Since(began))
	if p.Clock == 0 || p.First < 0 || p.Unread != nil || time.Since(p.Time) > time.Minute {
		t.Errorf("%+v", p)
	}
	again, err := Copy(t.Context(), Device, time.Now)
	if q := ReadCopy(again); err != nil || len(p.Events) > 0 && len(q.Events) == 0 { // some may be overwritten meanwhile
		t.Errorf("%v: %d events, and before %d", err, len(q.Events), len(p.Events))
	}
}

// Whatever a copy holds, reading it ends, bounded, and tells the same twice.
func FuzzReadCopy(f *testing.F) {
	f.Add([]byte("# clock 4000000000 2026-01-02T03:04:06Z\n# first 7 1\n# lost 3\n" + kmsgKill(7, 5)))
	f.Add([]byte("# clock x\n# lost -1\n 3\n# first 9999999999999999999 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, b := ReadCopy(text), ReadCopy(text)
		if len(a.Events) != len(b.Events) || len(a.Events) > mostEvents || a.First < -1 || a.Clock < 0 {
			t.Errorf("%+v", a)
		}
	})
}
