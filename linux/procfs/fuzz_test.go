package procfs

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzSmall holds the parsers of one line or one number to: no panic, errors
// that wrap ErrFormat, results within their documented range and no larger than the text.
func FuzzSmall(f *testing.F) {
	for _, seed := range []string{"", "12 7 ", "0 -1", "0.28 0.11 0.08 1/83 8726\n", "1644.04 3122.85\n", "nan", "running\n", "-1 0x0 0x0\n",
		"4194304\n", "mnt:[4026531841]", "sh\x00-c\x00\x00", "pos:\t0\nflags:\t02\n:\n", "9223372036.9"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		children, err := ParseChildren(text)
		fail(t, err, "children: ")
		if len(children) > len(text) || slices.ContainsFunc(children, func(pid int) bool { return pid < 1 }) {
			t.Fatalf("children of %q: %v", text, children)
		}
		tasks, err := ParseLoadavg(text)
		fail(t, err, "loadavg: ")
		if tasks < 0 || tasks > math.MaxInt32 {
			t.Fatalf("tasks of %q: %d", text, tasks)
		}
		up, err := ParseUptime(text)
		fail(t, err, "uptime: ")
		if !(up >= 0) || time.Duration(up*float64(time.Second)) < 0 {
			t.Fatalf("uptime of %q: %v", text, up)
		}
		_, running, err := ParseSyscall(text)
		fail(t, err, "syscall: ")
		if running && err != nil {
			t.Fatalf("syscall of %q: running and %v", text, err)
		}
		n, err := ParseNumber(text)
		fail(t, err, "number: ")
		if n > math.MaxInt32 || n < -math.MaxInt32 {
			t.Fatalf("number of %q: %d", text, n)
		}
		kind, _, err := ParseNamespace(string(text))
		fail(t, err, "namespace: ")
		if (kind == "") != (err != nil) {
			t.Fatalf("namespace of %q: %q, %v", text, kind, err)
		}
		if argv := ParseArgv(text); argv != nil && strings.Join(argv, "\x00") != strings.TrimRight(string(text), "\x00") {
			t.Fatalf("argv of %q: %q", text, argv)
		}
		size := 0
		for key, value := range ParseFDInfo(text) {
			size += len(key) + len(value)
		}
		if size > len(text) {
			t.Fatalf("fdinfo of %q has %d bytes", text, size)
		}
	})
}

func fail(t *testing.T, err error, file string) {
	t.Helper()
	if err != nil {
		wantFormat(t, err, file)
	}
}
