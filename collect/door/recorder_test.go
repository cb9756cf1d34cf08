package door

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
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

// Whoever asks again gets what is recorded, though the host has moved on.
func TestRecordAskedTwice(t *testing.T) {
	r, path := create(t, Meta{})
	count := 0
	d := r.Look(&fakeDoor{
		read: func(path string) ([]byte, error) { count++; return fmt.Append(nil, path, count), nil },
		dir:  func(string) ([]string, error) { return nil, fmt.Errorf("gone: %w", syscall.ESRCH) },
	})
	for i := range 100 {
		if _, err := d.ReadFile(fmt.Sprintf("/proc/%d/stat", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	d.ReadDir("/proc/1/task")
	for range 3 {
		for _, n := range []int{7, 100, 1} {
			path := fmt.Sprintf("/proc/%d/stat", n)
			want := fmt.Sprint(path, n)
			text, err := d.ReadFile(path)
			if string(text) != want || err != nil {
				t.Errorf("%q, %v; want %q", text, err, want)
			}
			text[0] = 'X' // the caller's own copy
		}
		if _, err := d.ReadDir("/proc/1/task"); !errors.Is(err, syscall.ESRCH) || err.Error() != "readdir /proc/1/task: gone: no such process" {
			t.Error(err)
		}
	}
	if count != 100 {
		t.Errorf("the host was asked %d times", count)
	}
	rec := finish(t, r, path)
	if text, err := rec.Looks()[0].ReadFile("/proc/7/stat"); string(text) != "/proc/7/stat7" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// However many ask for the same, all get one answer, and it is the recorded one.
func TestRecordConcurrent(t *testing.T) {
	r, path := create(t, Meta{})
	var mu sync.Mutex
	count := 0
	live := &fakeDoor{read: func(path string) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		count++
		return fmt.Append(nil, path, count), nil
	}}
	var got [2][8][60]string
	var wg sync.WaitGroup
	for look := range got {
		d := r.Look(live)
		for g := range got[look] {
			wg.Go(func() {
				for i := range got[look][g] {
					text, err := d.ReadFile(fmt.Sprintf("/proc/%d/stat", i))
					if err != nil {
						t.Error(err)
					}
					got[look][g][i] = string(text)
				}
			})
		}
	}
	wg.Wait()
	rec := finish(t, r, path)
	for look, d := range rec.Looks() {
		for g := range got[look] {
			wg.Go(func() {
				for i, live := range got[look][g] {
					if text, err := d.ReadFile(fmt.Sprintf("/proc/%d/stat", i)); string(text) != live || err != nil {
						t.Errorf("look %d file %d: live %q, replayed %q, %v", look, i, live, text, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// Two that ask at the same moment are told the same, though the host gave them
// two answers.
func TestRecordRace(t *testing.T) {
	r, path := create(t, Meta{})
	var both, done sync.WaitGroup
	both.Add(2)
	answers := make(chan string, 2)
	answers <- "first"
	answers <- "second"
	d := r.Look(&fakeDoor{read: func(string) ([]byte, error) {
		both.Done()
		both.Wait()
		return []byte(<-answers), nil
	}})
	var got [2]string
	for i := range got {
		done.Go(func() {
			text, err := d.ReadFile("/proc/1/stat")
			if err != nil {
				t.Error(err)
			}
			got[i] = string(text)
		})
	}
	done.Wait()
	text, err := finish(t, r, path).Looks()[0].ReadFile("/proc/1/stat")
	if err != nil || got[0] != got[1] || got[0] != string(text) {
		t.Errorf("live %q, replayed %q, %v", got, text, err)
	}
}

// A brokenStore fails after some bytes.
type brokenStore struct {
	*os.File
	room int
}

func (b *brokenStore) Write(p []byte) (int, error) {
	if b.room -= len(p); b.room < 0 {
		return 0, syscall.ENOSPC
	}
	return b.File.Write(p)
}

func TestRecordBroken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRecorder(&brokenStore{file, 200 << 10}, Meta{})
	if err != nil {
		t.Fatal(err)
	}
	d := r.Look(&fakeDoor{read: func(path string) ([]byte, error) { return randomBytes(path, 32<<10), nil }})
	for range 2 { // the second time, what is recorded cannot be read back
		for i := range 40 {
			path := fmt.Sprintf("/proc/%d/stat", i)
			if text, err := d.ReadFile(path); err != nil || !bytes.Equal(text, randomBytes(path, 32<<10)) {
				t.Fatalf("read %d: %v", i, err)
			}
		}
	}
	for range 2 {
		if err := r.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Close: %v", err)
		}
	}
	if text, err := d.ReadFile("/proc/99/stat"); err != nil || len(text) != 32<<10 {
		t.Errorf("after Close: %d bytes, %v", len(text), err)
	}
	if err := r.Abort(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Abort: %v", err)
	}
}

// What could not be read back is not recorded in the first place.
func TestRecordTooLarge(t *testing.T) {
	r, _ := create(t, Meta{})
	r.written = maxBytes - 10<<10
	d := r.Look(&fakeDoor{read: func(string) ([]byte, error) { return make([]byte, 20<<10), nil }})
	if text, err := d.ReadFile("/proc/1/stat"); len(text) != 20<<10 || err != nil {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if err := r.Close(); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

// tar lists and unpacks a recording without a word on stderr.
func TestRecordWithTar(t *testing.T) {
	program, err := exec.LookPath("tar")
	if err != nil {
		t.Skip(err)
	}
	r, path := create(t, Meta{})
	d := r.Look(&fakeDoor{
		read: func(path string) ([]byte, error) {
			if path == "/proc/2/stat" {
				return nil, &Error{opRead, path, syscall.ESRCH}
			}
			return []byte("text of " + path), nil
		},
		link: func(string) (string, error) { return "/bin/sh", nil },
		dir:  func(string) ([]string, error) { return []string{"1", "self"}, nil },
	})
	d.ReadDir("/proc")
	d.ReadLink("/proc/self")
	for _, path := range []string{"/proc/1/stat", "/proc/2/stat", "/proc/self/stat", "/sys/fs/x"} {
		d.ReadFile(path)
	}
	d.ReadLink("/proc/1/exe")
	d.Ask("docker/a", func() ([]byte, error) { return []byte("{}"), nil })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	plain, dir := filepath.Join(t.TempDir(), "r.tar"), t.TempDir()
	if err := os.WriteFile(plain, decompress(t, path), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "-xf", plain, "-C", dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("tar -xf: %s%v", out, err)
	}
	for name, want := range map[string]string{
		"look-1/proc/1/stat":       "text of /proc/1/stat",
		"look-1/proc/2/stat.error": "no such process\n",
		"look-1/proc/.names":       "1\nself\n",
		"look-1/proc/self/stat":    "text of /proc/self/stat",
		"look-1/ask/docker/a":      "{}",
	} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if link, err := os.Readlink(filepath.Join(dir, "look-1/proc/1/exe")); link != "/bin/sh" {
		t.Errorf("%q, %v", link, err)
	}
	if _, err := OpenRecording(plain); err != nil {
		t.Errorf("decompressed: %v", err)
	}
}

// Any answers to any questions come back from a recording as they were given.
func TestRecordProperty(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		path := filepath.Join(dir, fmt.Sprint(runs))
		r, err := Create(path, Meta{})
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		defer r.Abort()
		type said struct {
			look int
			q    question
			a    answer
		}
		var all []said
		looks := rapid.IntRange(1, 3).Draw(t, "looks")
		var live answer
		doors := make([]Door, looks)
		for i := range doors {
			doors[i] = r.Look(&fakeDoor{
				read: func(string) ([]byte, error) { return live.data, live.err },
				link: func(string) (string, error) { return string(live.data), live.err },
				dir:  func(string) ([]string, error) { return live.names, live.err },
			})
		}
		for range rapid.IntRange(0, 30).Draw(t, "questions") {
			q := drawQuestion(t)
			live = drawAnswer(t, q)
			look := rapid.IntRange(0, looks-1).Draw(t, "look")
			all = append(all, said{look, q, put(doors[look], q, live)})
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		rec, err := OpenRecording(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			got := put(rec.Looks()[s.look], s.q, answer{err: errors.New("the host was asked")})
			if !sameAnswer(got, s.a) {
				t.Fatalf("look %d %q: said %v, replayed %v", s.look+1, s.q, s.a, got)
			}
		}
	})
}

// put asks d.
func put(d Door, q question, live answer) answer {
	var a answer
	switch q.op {
	case opRead:
		a.data, a.err = d.ReadFile(q.path)
	case opLink:
		var text string
		text, a.err = d.ReadLink(q.path)
		a.data = []byte(text)
	case opDir:
		a.names, a.err = d.ReadDir(q.path)
	case opAsk:
		a.data, a.err = d.Ask(q.path, func() ([]byte, error) { return live.data, live.err })
	}
	return a
}

func sameAnswer(a, b answer) bool {
	if !bytes.Equal(a.data, b.data) || !slices.Equal(a.names, b.names) || (a.err == nil) != (b.err == nil) {
		return false
	}
	if a.err == nil {
		return true
	}
	if a.err.Error() != b.err.Error() || Gone(a.err) != Gone(b.err) {
		return false
	}
	for _, s := range sentinels {
		if errors.Is(a.err, s.err) != errors.Is(b.err, s.err) {
			return false
		}
	}
	for no := syscall.Errno(1); no < 140; no++ {
		if errors.Is(a.err, no) != errors.Is(b.err, no) {
			return false
		}
	}
	return true
}

var drawByte = rapid.SampledFrom([]byte("a/\n\xff .\x01\\=%é"))

func drawQuestion(t *rapid.T) question {
	op := rapid.SampledFrom([]string{opRead, opLink, opDir, opAsk}).Draw(t, "op")
	name := string(rapid.SliceOfN(drawByte, 1, 200).Draw(t, "name"))
	if op == opAsk {
		return question{op, name}
	}
	fixed := []string{
		"/proc", "/proc/1", "/proc/1/stat", "/proc/1/mountinfo", "/proc/1/environ", "/proc/1/fd", "/proc/1/fd/2", "/proc/1/exe",
		"/proc/self", "/proc/self/stat", "/sys/.names", "/sys/x/.names", "/sys/x.error", "/sys/look.json", "/sys/" + name, "/sys/a/" + name,
	}
	return question{op, rapid.SampledFrom(fixed).Draw(t, "path")}
}

func drawAnswer(t *rapid.T, q question) answer {
	var a answer
	a.data = rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "data")
	switch q.op {
	case opLink:
		a.data = bytes.ReplaceAll(a.data, []byte{0}, []byte{1})
	case opDir:
		for _, name := range rapid.SliceOf(rapid.SliceOfN(drawByte, 1, 20)).Draw(t, "names") {
			a.names = append(a.names, strings.ReplaceAll(string(name), "/", "_"))
		}
	}
	switch rapid.IntRange(0, 5).Draw(t, "kind of error") {
	case 0:
		a.err = syscall.Errno(rapid.IntRange(1, 140).Draw(t, "errno"))
	case 1:
		a.err = &Error{q.op, q.path, rapid.SampledFrom(sentinels).Draw(t, "sentinel").err}
	case 2:
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		no := syscall.Errno(rapid.IntRange(1, 140).Draw(t, "errno"))
		a.err = errors.Join(errors.New(text), no, rapid.SampledFrom(sentinels).Draw(t, "sentinel").err)
	}
	if a.err != nil {
		if q.op != opAsk {
			a.data = nil
		}
		a.names = nil
	}
	return a
}

// A busy host must fit into a few megabytes, and so must the recorder.
func TestRecordSize(t *testing.T) {
	busy := syntheticHost(3000)
	runtime.GC()
	before, start := peakRSS(t), time.Now()
	r, path := create(t, Meta{})
	reads, raw := 0, 0
	for range 2 {
		d := r.Look(busy)
		names, err := d.ReadDir("/proc")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			for _, file := range []string{"stat", "status", "cgroup", "comm", "wchan", "task/" + name + "/children"} {
				text, err := d.ReadFile("/proc/" + name + "/" + file)
				if err != nil {
					t.Fatal(err)
				}
				reads, raw = reads+1, raw+len(text)
			}
		}
		for i := range 40 {
			if _, err := d.ReadFile(fmt.Sprintf("/proc/%s/mountinfo", names[i])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d reads of %.1f MB: %.2f MB in %v (making the texts included), peak RSS %.1f MB, %+.1f by this",
		reads, float64(raw)/1e6, float64(info.Size())/1e6, took.Round(time.Millisecond), float64(peakRSS(t))/1024, float64(peakRSS(t)-before)/1024)
	if info.Size() > 5e6 {
		t.Errorf("%d bytes", info.Size())
	}
	start = time.Now()
	if _, err := OpenRecording(path); err != nil {
		t.Fatal(err)
	}
	t.Logf("opened in %v", time.Since(start).Round(time.Millisecond))
}

func peakRSS(t testing.TB) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return usage.Maxrss
}

func BenchmarkRecord(b *testing.B) {
	file, err := os.OpenFile(filepath.Join(b.TempDir(), "r"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	r, err := newRecorder(&discardStore{file}, Meta{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Abort()
	text := []byte(strings.Repeat("1234 (x) S 1 2 3 4 5 ", 15))
	d := r.Look(&fakeDoor{read: func(string) ([]byte, error) { return text, nil }})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%maxEntries == 0 {
			r.written, r.has = 0, map[lookQuestion]struct{}{}
		}
		if _, err := d.ReadFile(fmt.Sprintf("/proc/%d/stat", i%(maxEntries/4))); err != nil {
			b.Fatal(err)
		}
	}
}

type discardStore struct{ *os.File }

func (discardStore) Write(p []byte) (int, error) { return io.Discard.Write(p) }
