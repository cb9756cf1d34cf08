package collect

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sexton.dev/collect/door"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/snapshot"
)

// What could not be read of one process is told once; a number in a path is no process.
func TestLackOf(t *testing.T) {
	l := &looker{h: &snapshot.Host{}}
	const bound = `mnt:[5], which is bound at "/run/1/x" in mnt:[4]`
	for _, lack := range [][2]string{
		{"fd: 12/fd/7", "readlink 12/fd/7: permission denied"},
		{"mappings: 12/map_files", "open 12/map_files: permission denied"},
		{"open files: 13/task/14/fd", "open 13/task/14/fd: permission denied"},
		{"files registered with the io_uring 15/fdinfo/3", "x: too large"},
		{"/proc/16/fd, root, cwd and map_files", noAnswer},
		{bound, "openat2 of what is in memory: x"},
		{"detached overlays with a layer below /mnt/17/x", "fuse asks a server"},
	} {
		l.lackOf(snapshot.References, lack[0], lack[1])
	}
	const of = "open files, directories and mappings of process "
	want := []snapshot.Unread{
		{Part: snapshot.References, Path: of + "12", Err: "permission denied"},
		{Part: snapshot.References, Path: of + "13", Err: "permission denied"},
		{Part: snapshot.References, Path: of + "15", Err: "too large"},
		{Part: snapshot.References, Path: of + "16", Err: "it waits for a dead file system or a held lock"},
		{Part: snapshot.References, Path: bound, Err: "openat2 of what is in memory: x"},
		{Part: snapshot.References, Path: "detached overlays with a layer below /mnt/17/x", Err: "fuse asks a server"},
	}
	if !slices.Equal(l.h.Unread, want) {
		t.Errorf("%+v", l.h.Unread)
	}
}

// A child that comes to no process is asked once more if it looked for layers and
// stalled, and else not again: it would do the same until time is up.
func TestReadReferencesBeforeAnyProcess(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layers []Layer
		err    error
		calls  int
		want   string
	}{
		{"stalled at layers", []Layer{{Dir: "/l"}}, nil, 2, noAnswer},
		{"failed with layers", []Layer{{Dir: "/l"}}, errors.New("no /proc"), 1, "no /proc"},
		{"failed without", nil, errors.New("no /proc"), 1, "no /proc"},
		{"stalled without", nil, nil, 1, errNotReached.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			child := func(context.Context, ...string) ([]byte, error) {
				if calls++; calls > 3 {
					t.Fatal("asked again and again")
				}
				return []byte("{\"begin\":-1}\n"), tt.err
			}
			text, err := readReferences(context.Background(), child, refQuestion{Layers: tt.layers})
			if err != nil || calls != tt.calls || !strings.Contains(string(text), tt.want) {
				t.Errorf("%d calls, %v: %s", calls, err, text)
			}
		})
	}
}

// A host without another process has nobody to ask, which is not everybody.
func TestOthers(t *testing.T) {
	proc := t.TempDir()
	for _, name := range []string{strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getppid()), "12", "self"} {
		if err := os.Mkdir(filepath.Join(proc, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		pids, skip, want []int
	}{
		{nil, []int{12}, []int{}},
		{nil, nil, []int{12}},
		{[]int{13, os.Getpid(), 14}, []int{14}, []int{13}},
		{[]int{14}, []int{14}, []int{}},
	} {
		q := refQuestion{Proc: proc, PIDs: tt.pids, Skip: tt.skip}
		if pids, err := q.others(); pids == nil || !slices.Equal(pids, tt.want) || err != nil {
			t.Errorf("%v but %v: %v, %v", tt.pids, tt.skip, pids, err)
		}
	}
}

// A process with descriptors of a file with a long path takes no more than its share of the
// answer, and is told to be unknown once; the next one is told whole.
func TestTellerSharesOut(t *testing.T) {
	var out bytes.Buffer
	w := newLineWriter(&out)
	tell := teller{w: w, sieve: newSieve(&refQuestion{})}
	long := "/" + strings.Repeat("d", 4000)
	for fd := range 20_000 {
		if err := tell.visit(holders.Ref{PID: 7, Kind: holders.FD, FD: fd, Link: long}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tell.visit(holders.Ref{PID: 8, Kind: holders.Cwd, Link: long}), w.flush()); err != nil {
		t.Fatal(err)
	}
	text := out.Bytes()
	if n := bytes.Count(text, []byte("lack")); n != 1 || len(text) > mostOfOne*5/4 || len(text) < mostOfOne*3/4 || bytes.Count(text, []byte(`"pid":8`)) != 1 {
		t.Errorf("%d bytes, %d lacks", len(text), n)
	}
}

// Of an answer that is too large, what came is kept.
func TestReadReferencesTooLarge(t *testing.T) {
	const line = `{"ref":{"pid":7,"kind":"cwd","device":"8:1","inode":2,"link":"/"}}` + "\n"
	child := func(context.Context, ...string) ([]byte, error) { return []byte(line + line[:20]), door.ErrTooLarge }
	text, err := readReferences(context.Background(), child, refQuestion{})
	if err != nil || !strings.HasPrefix(string(text), line) || strings.Count(string(text), "\n") != 2 || !strings.Contains(string(text), door.ErrTooLarge.Error()) {
		t.Errorf("%v: %s", err, text)
	}
}
