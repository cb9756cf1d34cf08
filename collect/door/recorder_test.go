package door

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A fakeDoor answers as told; a nil function means that nothing is there.
type fakeDoor struct {
	read  func(string) ([]byte, error)
	link  func(string) (string, error)
	dir   func(string) ([]string, error)
	taken time.Time
}

func (d *fakeDoor) Taken() time.Time { return d.taken }

func (d *fakeDoor) ReadFile(path string) ([]byte, error) {
	if d.read == nil {
		return nil, &Error{opRead, path, syscall.ENOENT}
	}
	return d.read(path)
}

func (d *fakeDoor) ReadLink(path string) (string, error) {
	if d.link == nil {
		return "", &Error{opLink, path, syscall.ENOENT}
	}
	return d.link(path)
}

func (d *fakeDoor) ReadDir(path string) ([]string, error) {
	if d.dir == nil {
		return nil, &Error{opDir, path, syscall.ENOENT}
	}
	return d.dir(path)
}

func (d *fakeDoor) Ask(_ string, live func() ([]byte, error)) ([]byte, error) { return live() }

// randomBytes returns n bytes that do not compress, the same for the same seed.
func randomBytes(seed string, n int) []byte {
	var out []byte
	for i := 0; len(out) < n; i++ {
		sum := sha256.Sum256(fmt.Append(nil, seed, i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

func create(t testing.TB, meta Meta) (*Recorder, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.tar.zst")
	r, err := Create(path, meta)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Abort() })
	return r, path
}

func finish(t testing.TB, r *Recorder, path string) *Recording {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	rec, err := OpenRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestRecordRoundTrip(t *testing.T) {
	taken := time.Date(2026, 3, 4, 5, 6, 7, 89, time.FixedZone("x", 3600))
	meta := Meta{Version: "v1.2", Created: taken.UTC(), Interval: 1500 * time.Millisecond, Root: true, Name: "host", Kernel: "6.18", BootID: "b"}
	r, path := create(t, meta)
	files := map[string]string{
		"/proc/1/stat":        "1 (a\nb) S",
		"/proc/1/status":      "",
		"/sys/fs/cgroup/\xff": "\x00\xff\n",
		"/sys/fs/.names/x":    "in a directory that is named like a list",
		"/sys/fs/x.error":     "named like an error",
		"/sys/fs/x.link":      "named like a link",
		"/sys/fs/" + strings.Repeat("long/", 300) + "x": "deep",
		"/proc/self/stat": "self",
	}
	door := &fakeDoor{
		taken: taken,
		read: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, &Error{opRead, path, syscall.ESRCH}
		},
		link: func(path string) (string, error) {
			return map[string]string{"/proc/self": "1", "/proc/1/exe": "/a\nb\xff (deleted)", "/sys/block/sda": "../x", "/proc/1/fd/1": ""}[path], nil
		},
		dir: func(path string) ([]string, error) {
			return map[string][]string{"/proc": {"1", "self"}, "/sys/fs": {"a\nb", "\xff", " "}, "/proc/1/fd": {}}[path], nil
		},
	}
	check := func(d Door) {
		t.Helper()
		for path, want := range files {
			if got, err := d.ReadFile(path); string(got) != want || err != nil {
				t.Errorf("%q: %q, %v", path, got, err)
			}
		}
		if _, err := d.ReadFile("/proc/2/stat"); !Gone(err) || !errors.Is(err, syscall.ESRCH) || err.Error() != "read /proc/2/stat: no such process" {
			t.Errorf("%#v", err)
		}
		for path, want := range map[string]string{"/proc/self": "1", "/proc/1/exe": "/a\nb\xff (deleted)", "/sys/block/sda": "../x", "/proc/1/fd/1": ""} {
			if got, err := d.ReadLink(path); got != want || err != nil {
				t.Errorf("%q: %q, %v", path, got, err)
			}
		}
		for path, want := range map[string][]string{"/proc": {"1", "self"}, "/sys/fs": {"a\nb", "\xff", " "}, "/proc/1/fd": nil} {
			if got, err := d.ReadDir(path); !slices.Equal(got, want) || err != nil {
				t.Errorf("%q: %q, %v", path, got, err)
			}
		}
		for _, name := range []string{"docker", "a/b", "../x", "/", "x/", ".names", "a\x00b\n\xff", "look.json"} {
			got, err := d.Ask(name, func() ([]byte, error) { return []byte("answer to " + name), nil })
			if string(got) != "answer to "+name || err != nil {
				t.Errorf("%q: %q, %v", name, got, err)
			}
		}
		got, err := d.Ask("half", func() ([]byte, error) { return []byte("half"), fmt.Errorf("cut: %w", ErrDeadline) })
		if string(got) != "half" || !errors.Is(err, ErrDeadline) || err.Error() != "ask half: cut: no answer in time" {
			t.Errorf("half: %q, %v", got, err)
		}
		if !d.Taken().Equal(taken) || d.Taken().Location() != time.UTC {
			t.Errorf("taken %v", d.Taken())
		}
	}
	check(r.Look(door))
	r.Look(door)
	rec := finish(t, r, path)
	if rec.Meta() != meta {
		t.Errorf("got %+v\nwant %+v", rec.Meta(), meta)
	}
	looks := rec.Looks()
	if len(looks) != 2 {
		t.Fatalf("%d looks", len(looks))
	}
	check(looks[0])
	if _, err := looks[1].ReadFile("/proc/1/stat"); !errors.Is(err, ErrNotRecorded) || Gone(err) {
		t.Errorf("not read in the second look: %v", err)
	}
	if _, err := looks[0].ReadDir("/proc/1/task"); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("not listed: %v", err)
	}
	if _, err := looks[1].Ask("x", func() ([]byte, error) { panic("a recording asks nobody") }); !errors.Is(err, ErrNotRecorded) {
		t.Error(err)
	}
}

func TestCreate(t *testing.T) {
	old := syscall.Umask(0)
	r, path := create(t, Meta{})
	syscall.Umask(old)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Create(path, Meta{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing file: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(link, Meta{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("through a link: %v", err)
	}
	if _, err := OpenRecording(path); err == nil || !strings.Contains(err.Error(), "ends early: it was not finished") {
		t.Errorf("unfinished: %v", err)
	}
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Abort: %v", err)
	}
	if err := r.Close(); err == nil {
		t.Error("Close after Abort says that there is a recording")
	}
}

func TestAbort(t *testing.T) {
	r, path := create(t, Meta{})
	r.Look(&fakeDoor{})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRecording(path); err != nil {
		t.Errorf("Abort took a finished recording: %v", err)
	}

	r, path = create(t, Meta{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); string(text) != "another's" {
		t.Errorf("Abort took a file that is not its own: %v", err)
	}
}

// Nobody finds a secret in a recording, whatever is asked.
func TestRecordKeepsSecretsOut(t *testing.T) {
	const geheim = "GEHEIM"
	r, path := create(t, Meta{})
	d := r.Look(&fakeDoor{
		read: func(path string) ([]byte, error) {
			if strings.HasSuffix(path, "/mountinfo") {
				return []byte(mountHead + "rw,token=" + geheim + " - cifs http://u:" + geheim + "@h/ rw,password=" + geheim + "\n"), nil
			}
			return []byte(geheim), nil
		},
		link: func(string) (string, error) { return geheim, nil },
		dir:  func(string) ([]string, error) { return []string{geheim}, nil },
	})
	for _, path := range []string{
		"/proc/1/environ", "/proc/1/mem", "/proc/1/auxv", "/proc/1/cmdline", "/proc/1/maps", "/proc/1/task/1/environ", "/proc/1/root/x",
		"/proc/kcore", "/etc/shadow", "/sys/kernel/debug/x", "/proc/1/mounts", "/proc/1/mountstats",
	} {
		if text, err := d.ReadFile(path); !errors.Is(err, ErrSecret) || len(text) > 0 {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		if text, err := d.ReadLink(path); !errors.Is(err, ErrSecret) || text != "" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		if names, err := d.ReadDir(path); !errors.Is(err, ErrSecret) || names != nil {
			t.Errorf("%s: %q, %v", path, names, err)
		}
	}
	want := mountHead + "rw,token=*** - cifs http://u:***@h/ rw,password=***\n"
	for _, path := range []string{"/proc/1/mountinfo", "/proc/self/mountinfo", "/proc/1/task/2/mountinfo"} {
		if text, err := d.ReadFile(path); string(text) != want || err != nil {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	text, err := d.Ask("child/1/mountinfo", func() ([]byte, error) { return []byte(mountHead + "rw - x y pass=" + geheim), nil })
	if err != nil || bytes.Contains(text, []byte(geheim)) {
		t.Errorf("%q, %v", text, err)
	}
	rec := finish(t, r, path)
	if text, err := rec.Looks()[0].ReadFile("/proc/1/mountinfo"); string(text) != want || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if plain := decompress(t, path); bytes.Contains(plain, []byte(geheim)) {
		t.Errorf("found near %q", plain[bytes.Index(plain, []byte(geheim))-40:][:60])
	}
}

func decompress(t testing.TB, path string) []byte {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer zip.Close()
	plain, err := zip.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
