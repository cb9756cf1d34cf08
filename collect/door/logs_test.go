package door

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
)

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func xzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// largeDictionary is an xz file with another dictionary than it was made with.
func largeDictionary(t testing.TB, code byte) []byte {
	file := []byte(xzipped(t, "a log"))
	at := bytes.IndexByte(file[12:], 0x21) + 12
	if at < 12 || at > 36 {
		t.Fatalf("no filter: %x", file)
	}
	file[at+2] = code
	return file
}

// logItems are the logs of a sos report, and what must not be taken for one.
func logItems(t testing.TB) []item {
	return []item{
		{name: sosDir + "sos_commands/kernel/dmesg", body: "ring"},
		{name: sosDir + "sos_commands/kernel/dmesg_-T", body: "dated ring"},
		{name: sosDir + "sos_commands/kernel/lsmod", body: "GEHEIM"},
		{name: sosDir + "sos_commands/logs/journalctl_--no-pager", link: "../../sos_strings/logs/journalctl_--no-pager.tailed"},
		{name: sosDir + "sos_commands/logs/journalctl_--no-pager_--boot", body: "this boot"},
		{name: sosDir + "sos_commands/docker/journalctl_--no-pager_--unit_docker", body: "GEHEIM"},
		{name: sosDir + "sos_strings/logs/journalctl_--no-pager.tailed", body: "journal"},
		{name: sosDir + "sos_strings/logs/var.log.secure.tailed", body: "GEHEIM"},
		{name: sosDir + "var/log/messages-20260301.gz", body: gzipped(t, "older")},
		{name: sosDir + "var/log/kern.log.2.xz", body: xzipped(t, "oldest")},
		{name: sosDir + "var/log/syslog.1", body: ""},
		{name: sosDir + "var/log/messages.d/x", body: "GEHEIM"},
		{name: sosDir + "var/log/secure", body: "GEHEIM"},
		{name: sosDir + "etc/var/log/messages", body: "GEHEIM"},
	}
}

var logsOfItems = []string{
	"sos_commands/kernel/dmesg: ring", "sos_commands/kernel/dmesg_-T: dated ring", "sos_commands/logs/journalctl_--no-pager_--boot: this boot",
	"sos_strings/logs/journalctl_--no-pager.tailed: journal", "var/log/kern.log.2.xz: oldest", "var/log/messages-20260301.gz: older", "var/log/syslog.1: ",
}

// given reads all logs that a path leads to, in the order of their names.
func given(path string) (all []string, err error) {
	err = EachLog(path, func(name string, r io.Reader) error {
		text, err := io.ReadAll(r)
		if err != nil {
			text = fmt.Appendf(text, "(%v)", err)
		}
		all = append(all, name+": "+string(text))
		return nil
	})
	slices.Sort(all)
	return all, err
}

func TestEachLog(t *testing.T) {
	items := logItems(t)
	files := map[string]string{sosDir + "var/log/messages": "-> /etc/hostname", sosDir + "sos_commands/kernel/dmesg_out": "-> ../../../../secret", "secret": "GEHEIM"}
	for _, it := range items {
		if files[it.name] = it.body; it.link != "" {
			files[it.name] = "-> " + it.link
		}
	}
	dir := fakeRoot(t, files)
	if err := unix.Mkfifo(filepath.Join(dir, sosDir, "var/log/dmesg"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := string(archive(t, items...))
	for name, path := range map[string]string{
		"directory": filepath.Join(dir, sosDir), "its parent": dir, "tar": fakeFile(t, []byte(text)), "tar.gz": fakeFile(t, []byte(gzipped(t, text))),
		"tar.xz": fakeFile(t, []byte(xzipped(t, text))), "tar.zst": fakeFile(t, zip(t, []byte(text))),
	} {
		t.Run(name, func(t *testing.T) {
			if all, err := given(path); err != nil || !slices.Equal(all, logsOfItems) {
				t.Errorf("%v\ngot  %q\nwant %q", err, all, logsOfItems)
			}
		})
	}
	for name, file := range map[string]string{"plain": "a log", "gz": gzipped(t, "a log"), "xz": xzipped(t, "a log"), "zst": string(zip(t, []byte("a log"))), "two in one": gzipped(t, "a ") + gzipped(t, "log")} {
		t.Run(name, func(t *testing.T) {
			if all, err := given(fakeFile(t, []byte(file))); err != nil || !slices.Equal(all, []string{": a log"}) {
				t.Errorf("%q, %v", all, err)
			}
		})
	}
}

// The order is that of how far back the logs go.
func TestOrderLogs(t *testing.T) {
	var names []string
	for _, it := range logItems(t) {
		if name := strings.TrimPrefix(it.name, sosDir); placeOf(name) >= 0 && it.link == "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, OrderLogs)
	want := []string{"sos_commands/logs/journalctl_--no-pager_--boot", "sos_strings/logs/journalctl_--no-pager.tailed", "var/log/kern.log.2.xz",
		"var/log/messages-20260301.gz", "var/log/syslog.1", "sos_commands/kernel/dmesg_-T", "sos_commands/kernel/dmesg"}
	if !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestEachLogHostile(t *testing.T) {
	log := item{name: sosDir + "var/log/messages", body: "a log"}
	whole := archive(t, logItems(t)...)
	var many []item
	for i := range mostLogs + 1 {
		many = append(many, item{name: fmt.Sprintf("%svar/log/messages-%d", sosDir, i)})
	}
	bomb := gzipped(t, strings.Repeat("\x00", 1<<20))
	for _, tt := range []struct {
		name string
		file []byte
		want string   // part of the error, "" for none
		logs []string // what was given all the same
	}{
		{"a damaged log", archive(t, item{name: sosDir + "var/log/messages.gz", body: "\x1f\x8bxxxx"}, log), "", []string{"var/log/messages.gz: (var/log/messages.gz is damaged: unexpected EOF)", "var/log/messages: a log"}},
		{"a log that is cut", archive(t, item{name: sosDir + "var/log/messages.gz", body: bomb[:len(bomb)-9]}, log), "", nil},
		{"cut in a log", whole[:bytes.Index(whole, []byte("dated ring"))+5], "ends early", []string{"sos_commands/kernel/dmesg: ring", "sos_commands/kernel/dmesg_-T: dated(unexpected EOF)"}},
		{"cut between logs", whole[:bytes.Index(whole, []byte("dated ring"))-512], "", []string{"sos_commands/kernel/dmesg: ring"}},
		{"too many", archive(t, many...), "over 200 logs", nil},
		{"a recording", archive(t, item{name: "manifest.json", body: goodHead}), "is a recording", nil},
		{"another archive", archive(t, item{name: "a/b", body: "x"}), "is no log and no sos report", nil},
		{"a report without logs", archive(t, item{name: sosDir + "sos_commands/date/date", body: "x"}), "without a log of the kernel", nil},
		{"out of the report", archive(t, item{name: "a/../../var/log/messages", body: "x"}, log), "", []string{"var/log/messages: a log"}},
		{"a damaged archive", append(archive(t, log)[:1024], bytes.Repeat([]byte("x"), 1024)...), "is damaged", []string{"var/log/messages: a log"}},
		{"a damaged compression", []byte("\xfd7zXZ\x00xxxxxxxxxxxx"), "is damaged", nil},
		{"a dictionary of 4 GiB", largeDictionary(t, 40), "a dictionary of 4095 MiB", nil},
		{"a dictionary as of xz -9", largeDictionary(t, 28), "", []string{": (xz: checksum error for block header)"}}, // as it was changed
		{"empty", nil, "", []string{": "}},
		{"the beginning of a magic", []byte("\xfd7z"), "", []string{": \xfd7z"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := given(fakeFile(t, tt.file))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if slices.Sort(tt.logs); tt.logs != nil && !slices.Equal(all, tt.logs) {
				t.Errorf("%q, want %q", all, tt.logs)
			}
		})
	}
	if _, err := given(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no log and no sos report") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := given(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

// What all logs unpack to is bounded, and an error of who takes them ends it.
func TestEachLogBounded(t *testing.T) {
	l := logs{room: 1<<20 + 10, take: func(_ string, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }}
	bomb := gzipped(t, strings.Repeat("\x00", 1<<20))
	if err := l.give("first", strings.NewReader(bomb)); err != nil {
		t.Fatal(err)
	}
	if err := l.give("second", strings.NewReader(bomb)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	stop := errors.New("stop")
	n := 0
	file := fakeFile(t, archive(t, logItems(t)...))
	if err := EachLog(file, func(string, io.Reader) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

// Any bytes: no panic, and no name but of a log of the kernel.
func FuzzEachLog(f *testing.F) {
	whole := archive(f, logItems(f)...)
	f.Add(whole)
	f.Add([]byte(gzipped(f, string(whole))))
	f.Add(zip(f, whole))
	f.Add([]byte(xzipped(f, "[ 1.0] x")))
	f.Add(archive(f, item{name: "manifest.json", body: goodHead}))
	f.Fuzz(func(t *testing.T, file []byte) {
		EachLogOf("FILE", bytes.NewReader(file), func(name string, r io.Reader) error {
			if name != "" && placeOf(name) < 0 {
				t.Errorf("%q was given", name)
			}
			io.Copy(io.Discard, io.LimitReader(r, 1<<20))
			return nil
		})
	})
}
