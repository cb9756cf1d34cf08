package door

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const sosDir = "sosreport-db1-2026-03-04-abcdefg/"

// sosItems are a sos report, cut to what matters and to what must not.
var sosItems = []item{
	{name: sosDir},
	{name: sosDir + "date", link: "sos_commands/date/date"},
	{name: sosDir + "version.txt", body: "sos report: 4.8.0\n\n[general]\n"},
	{name: sosDir + "etc/hostname", body: "not-this\n"},
	{name: sosDir + "etc/shadow", body: "GEHEIM"},
	{name: sosDir + "proc/mounts", link: "self/mounts"},
	{name: sosDir + "proc/cmdline", body: "GEHEIM"},
	{name: sosDir + "proc/10/status", body: "Name:\tsh\n"},
	{name: sosDir + "proc/10/mountinfo", body: mountHead + "rw - cifs //h/s rw,password=GEHEIM\n"},
	{name: sosDir + "proc/9/limits", body: "Limit\n"},
	{name: sosDir + "proc/9/status", body: ""},
	{name: sosDir + "proc/9/smaps", body: "x"},
	{name: sosDir + "proc/9/environ", body: "GEHEIM"},
	{name: sosDir + "proc/10/stack", body: "[<0>] do_wait\n"},
	{name: sosDir + "proc/sys/kernel/random/boot_id", body: "b-o-o-t\n"},
	{name: sosDir + "sys/fs/cgroup/x/pids.max", body: "max\n"},
	{name: sosDir + "sos_commands/host/hostname", body: "db1\n"},
	{name: sosDir + "sos_commands/kernel/uname_-a", body: "Linux db1.example 5.14.0-503.el9.x86_64 #1 SMP PREEMPT_DYNAMIC\n"},
	{name: sosDir + "sos_commands/date/date", body: "Wed Mar  4 06:06:07 CET 2026\n"},
	{name: sosDir + "sos_commands/date/date_--utc", body: "Wed Mar  4 05:06:07 UTC 2026\n"},
	{name: sosDir + "sos_commands/process/ps_auxwwwm", body: "GEHEIM"},
	{name: sosDir + "../../proc/11/status", body: "x"},
}

func sosTree(t testing.TB) string {
	t.Helper()
	files := map[string]string{}
	for _, it := range sosItems {
		switch {
		case strings.Contains(it.name, ".."), strings.HasSuffix(it.name, "/"):
		case it.link != "":
			files[it.name] = "-> " + it.link
		default:
			files[it.name] = it.body
		}
	}
	// None of these may be followed.
	files[sosDir+"proc/12"] = "-> /proc/1"
	files[sosDir+"proc/10/comm"] = "-> /etc/hostname"
	return fakeRoot(t, files)
}

func TestOpenSOS(t *testing.T) {
	dir := sosTree(t)
	file := filepath.Join(t.TempDir(), "sos.tar")
	if err := os.WriteFile(file, archive(t, sosItems...), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"archive": file, "directory": filepath.Join(dir, sosDir), "its parent": dir} {
		t.Run(name, func(t *testing.T) {
			r, err := OpenSOS(path)
			if err != nil {
				t.Fatal(err)
			}
			taken := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
			want := Meta{Version: "sos report: 4.8.0", Created: taken, Root: true, Name: "db1", Kernel: "5.14.0-503.el9.x86_64", BootID: "b-o-o-t"}
			if r.Meta() != want {
				t.Errorf("got %+v\nwant %+v", r.Meta(), want)
			}
			if len(r.Looks()) != 1 {
				t.Fatalf("%d looks", len(r.Looks()))
			}
			d := r.Looks()[0]
			if !d.Taken().Equal(taken) {
				t.Errorf("taken %v", d.Taken())
			}
			if names, err := d.ReadDir("/proc"); !slices.Equal(names, []string{"9", "10"}) || err != nil {
				t.Errorf("%q, %v", names, err)
			}
			for path, want := range map[string]string{
				"/proc/10/status":                 "Name:\tsh\n",
				"/proc/10/mountinfo":              mountHead + "rw - cifs //h/s rw,password=***\n",
				"/proc/10/stack":                  "[<0>] do_wait\n",
				"/proc/9/limits":                  "Limit\n",
				"/proc/sys/kernel/hostname":       "db1\n",
				"/proc/sys/kernel/osrelease":      "5.14.0-503.el9.x86_64\n",
				"/proc/sys/kernel/random/boot_id": "b-o-o-t\n",
				"/sys/fs/cgroup/x/pids.max":       "max\n",
			} {
				if text, err := d.ReadFile(path); string(text) != want || err != nil {
					t.Errorf("%s: %q, %v", path, text, err)
				}
			}
			for _, path := range []string{"/proc/9/status", "/proc/10/stat", "/proc/10/comm", "/proc/11/status", "/proc/loadavg", "/proc/12/status"} {
				if text, err := d.ReadFile(path); !errors.Is(err, ErrNotRecorded) {
					t.Errorf("%s: %q, %v", path, text, err)
				}
			}
			if _, err := d.ReadDir("/sys/fs/cgroup"); !errors.Is(err, ErrNotRecorded) {
				t.Error(err)
			}
			if _, err := d.ReadLink("/proc/10/exe"); !errors.Is(err, ErrNotRecorded) {
				t.Error(err)
			}
			for q, a := range d.(*pastLook).answers {
				if bytes.Contains(a.data, []byte("GEHEIM")) {
					t.Errorf("kept %q", q)
				}
			}
		})
	}
}

func TestSOSDate(t *testing.T) {
	written := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	file := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	utc := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		texts map[string]string
		want  time.Time
	}{
		{"utc wins", map[string]string{"sos_commands/date/date": "Wed Mar  4 23:06:07 UTC 2026\n", "sos_commands/date/date_--utc": "Wed Mar  4 05:06:07 UTC 2026\n"}, utc},
		{"twelve hours", map[string]string{"sos_commands/date/date_--utc": "Wed Mar  4 05:06:07 AM UTC 2026\n"}, utc},
		{"the host runs on UTC", map[string]string{"sos_commands/date/date": "Wed Mar  4 05:06:07 UTC 2026\n"}, utc},
		{"sos 3", map[string]string{"sos_commands/general/date": "Wed Mar  4 05:06:07 GMT 2026\n"}, utc},
		{"zone in letters", map[string]string{"sos_commands/date/date": "Wed Mar  4 05:06:07 CST 2026\n"}, written},
		{"another language", map[string]string{"sos_commands/date/date": "Mi 4. Mär 05:06:07 CET 2026\n"}, written},
		{"none", nil, file},
	} {
		s := newSOS()
		for name, text := range tt.texts {
			s.take(name, written, []byte(text))
		}
		if got := s.date(file); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestOpenSOSRefuses(t *testing.T) {
	unreadable := sosTree(t)
	if err := os.Remove(filepath.Join(unreadable, sosDir, "proc/10/status")); err != nil {
		t.Fatal(err)
	}
	cut := archive(t, sosItems...)
	for _, tt := range []struct {
		name string
		path string
		want string
	}{
		{"nothing there", filepath.Join(unreadable, "none"), "no such file"},
		{"another directory", t.TempDir(), "is neither a recording nor a sos report"},
		{"two reports", fakeRoot(t, map[string]string{"a/sos_commands/x": "", "b/sos_commands/x": ""}), "is neither"},
		{"cut", fakeFile(t, cut[:len(cut)/2]), "ends early"},
		{"xz", fakeFile(t, []byte("\xfd7zXZ\x00")), "is damaged"},
		{"other archive", fakeFile(t, archive(t, item{name: "a/proc/1/status", body: "x"})), "is neither"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := OpenSOS(tt.path)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

func TestOpenSOSUnreadable(t *testing.T) {
	asNobody(t, func() {
		dir, err := os.MkdirTemp("", "sos") // t.TempDir is root's
		if err != nil {
			t.Error(err)
			return
		}
		defer os.RemoveAll(dir)
		for _, err := range []error{
			os.MkdirAll(filepath.Join(dir, "sos_commands"), 0o700),
			os.MkdirAll(filepath.Join(dir, "proc/1"), 0o700),
			os.WriteFile(filepath.Join(dir, "proc/1/status"), []byte("x"), 0),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		if _, err := OpenSOS(dir); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "cannot be read as a sos report") {
			t.Errorf("a file that may not be read: %v", err)
		}
	})
}

func fakeFile(t testing.TB, text []byte) string {
	t.Helper()
	return filepath.Join(fakeRoot(t, map[string]string{"file": string(text)}), "file")
}
