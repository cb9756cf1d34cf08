package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/bpfiter/bpfitertest"
	"sexton.dev/linux/btf"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/census"
	"sexton.dev/snapshot"
)

// questionOf is what is asked of the file system of a process, and the mounts that
// are known of it.
func questionOf(p bpfitertest.Process) (refQuestion, *snapshot.Mounts) {
	device := mounts.Device{Major: p.Major, Minor: p.Minor}.String()
	q := refQuestion{Proc: "/proc", Narrow: true, Devices: []string{device}}
	table := &snapshot.Mounts{}
	switch p.Kind {
	case bpfitertest.Detached, bpfitertest.DetachedMap, bpfitertest.OverlayGone, bpfitertest.OverlayGoneMap, bpfitertest.Tree:
	default:
		q.Mounts = []uint64{p.Mount}
		table.Namespaces = []snapshot.MountNamespace{{Mounts: []snapshot.Mount{{ID: p.Mount, Device: device}}}}
	}
	return q, table
}

// needsBPF skips where there is no such program.
func needsBPF(t *testing.T, err error) {
	t.Helper()
	lacks := errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EPERM) || errors.Is(err, os.ErrNotExist) || errors.Is(err, btf.ErrNone)
	hosttest.Needs(t, "bpf", !lacks, fmt.Sprintf("Linux 6.7 with CONFIG_DEBUG_INFO_BTF, CAP_BPF and CAP_PERFMON: %v", err))
}

// referencesTo are what a question finds, in some order.
func referencesTo(t *testing.T, q refQuestion) []string {
	t.Helper()
	text, err := readReferences(t.Context(), Self, q)
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(`{"ref":`)) {
			refs = append(refs, string(line))
		}
	}
	slices.Sort(refs)
	return refs
}

// sameEitherWay compares what all processes tell with what those tell that the kernel names.
// Other processes come and go meanwhile, so it is tried more than once.
func sameEitherWay(t *testing.T, q refQuestion, table *snapshot.Mounts, listed []mounts.Device) (refs []string, pids []int) {
	t.Helper()
	diff := ""
	for range 5 {
		pids, err := keepersOf(t.Context(), table, listed, q, 0)
		needsBPF(t, err)
		if err != nil {
			t.Fatal(err)
		}
		narrowed := q
		narrowed.PIDs = pids
		got, want := referencesTo(t, narrowed), referencesTo(t, q)
		if diff = cmp.Diff(want, got); diff == "" {
			return got, pids
		}
	}
	t.Errorf("(-all +those of the kernel)\n%s", diff)
	return nil, nil
}

// of are the references that a process has. Others may have an io_uring, whose files
// cannot be told: those are in each answer.
func of(p bpfitertest.Process, refs []string) []string {
	return slices.DeleteFunc(slices.Clone(refs), func(line string) bool { return !strings.Contains(line, fmt.Sprintf(`"pid":%d,`, p.PID)) })
}

// Of the processes that the kernel names the same references are found as of all.
func TestKeepersHaveAllReferences(t *testing.T) {
	hosttest.NeedsRoot(t)
	hosttest.NeedsKernelThreads(t)
	for _, p := range bpfitertest.Start(t, bpfitertest.Kinds...) {
		t.Run(p.Kind, func(t *testing.T) {
			q, table := questionOf(p)
			refs, pids := sameEitherWay(t, q, table, nil)
			has := len(of(p, refs)) > 0
			nothing := []string{bpfitertest.None, bpfitertest.Wide, bpfitertest.OverlayGone, bpfitertest.OverlayGoneMap} // of the last two statx tells another device
			if want := !slices.Contains(nothing, p.Kind); has != want {
				t.Errorf("%+v is in the answer: %v, want %v: %q", p, has, want, refs)
			}
			if len(pids) > 100 {
				t.Errorf("%d processes are looked at", len(pids))
			}
		})
	}
}

// What is on a detached overlay is found by its layers.
func TestKeepersOfLayers(t *testing.T) {
	hosttest.NeedsRoot(t)
	hosttest.NeedsKernelThreads(t)
	all := bpfitertest.Start(t, bpfitertest.OverlayGone, bpfitertest.OverlayGoneMap, bpfitertest.OverlayFile, bpfitertest.None)
	c, err := census.Read(t.Context(), census.Request{Passes: 1, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{bpfitertest.OverlayGone, bpfitertest.OverlayGoneMap} {
		t.Run(kind, func(t *testing.T) {
			p := bpfitertest.Of(t, all, kind)
			q := refQuestion{Proc: "/proc", Narrow: true, Layers: []Layer{{p.PID, p.Layer}}, Listed: listed(slices.Clone(c.Devices))}
			refs, pids := sameEitherWay(t, q, &snapshot.Mounts{}, c.Devices)
			if len(of(p, refs)) == 0 {
				t.Errorf("%+v is not in the answer: %q", p, refs)
			}
			for _, other := range all {
				if named := slices.Contains(pids, other.PID); named != (other.Kind == bpfitertest.OverlayGone || other.Kind == bpfitertest.OverlayGoneMap) {
					t.Errorf("%s is named: %v", other.Kind, named)
				}
			}
		})
	}
}

// A device that files have and no superblock has is known to statx alone: all are looked at.
func TestKeepersOfNoSuperblock(t *testing.T) {
	hosttest.NeedsRoot(t)
	hosttest.NeedsKernelThreads(t)
	p := bpfitertest.Start(t, bpfitertest.OverlayFile)[0]
	q, table := questionOf(p)
	refs, _ := sameEitherWay(t, q, table, nil)
	refs = of(p, refs)
	var line refLine
	if len(refs) != 1 || json.Unmarshal([]byte(refs[0]), &line) != nil || line.Ref.Device == q.Devices[0] {
		t.Fatalf("%q, want one file that has not its mount's device %s", refs, q.Devices)
	}
	q.Devices, q.Mounts = []string{line.Ref.Device}, nil
	if pids, err := keepersOf(t.Context(), table, nil, q, 0); err == nil {
		t.Errorf("%s: the kernel names %v", line.Ref.Device, pids)
	}
	if again := of(p, referencesTo(t, q)); !slices.Equal(again, refs) {
		t.Errorf("by its own device: %q", again)
	}
}

// Mounts are asked about by their superblocks, which their tables tell.
func TestSuperblocks(t *testing.T) {
	table := &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{{Mounts: []snapshot.Mount{{ID: 7, Device: "0:40"}, {ID: 8, Device: "0:41"}}}, {Mounts: []snapshot.Mount{{ID: 9, Device: "8:16"}}}}}
	for _, tt := range []struct {
		name    string
		q       refQuestion
		want    []string
		wantErr string
	}{
		{"both", refQuestion{Devices: []string{"8:16"}, Mounts: []uint64{8, 9}}, []string{"0:41", "8:16"}, ""},
		{"a mount that is in no table", refQuestion{Mounts: []uint64{8, 10}}, nil, "1 mounts are in no table"},
		{"no device", refQuestion{Devices: []string{"8"}}, nil, `not all are devices: ["8"]`},
		{"none", refQuestion{}, nil, ""},
	} {
		got, err := tt.q.superblocks(table)
		if !slices.Equal(got, devicesOf(tt.want)) || (err == nil) != (tt.wantErr == "") || err != nil && err.Error() != tt.wantErr {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

// The child is asked about the processes that the kernel names; about all where it names too
// many or is not asked; and not at all where it names none.
func TestReadKept(t *testing.T) {
	hosttest.NeedsRoot(t)
	hosttest.NeedsKernelThreads(t)
	p := bpfitertest.Start(t, bpfitertest.Cwd)[0]
	mine, err := os.Open(fmt.Sprintf("/proc/%d/cwd", p.PID)) // so this process keeps it too
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	q, table := questionOf(p)
	_, err = keepersOf(t.Context(), table, nil, q, 0)
	needsBPF(t, err)
	unused := q
	unused.Devices, unused.Mounts = []string{"4095:1048575"}, nil
	wide := q
	wide.Narrow = false
	asks := func(q refQuestion, few uint64) (asked *refQuestion) {
		l := &looker{Options: Options{Child: func(_ context.Context, args ...string) ([]byte, error) {
			asked = new(refQuestion)
			if err := json.Unmarshal([]byte(args[1]), asked); err != nil {
				t.Fatal(err)
			}
			return []byte("{\"done\":true}\n"), nil
		}}}
		if text, err := l.readKept(t.Context(), table, q, few); len(text) != 0 || err != nil {
			t.Errorf("%s, %v", text, err)
		}
		return asked
	}
	if asked := asks(q, 0); asked == nil || !slices.Contains(asked.PIDs, p.PID) || slices.Contains(asked.PIDs, os.Getpid()) {
		t.Errorf("of one process: %+v", asked)
	}
	for range 5 { // somebody may have an io_uring
		asked := asks(unused, 0)
		if asked == nil {
			break
		}
		if len(asked.PIDs) == 0 {
			t.Errorf("of none: %+v", asked)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if asked := asks(q, 1<<40); asked == nil || asked.PIDs != nil {
		t.Errorf("few processes: %+v", asked)
	}
	if asked := asks(wide, 0); asked == nil || asked.PIDs != nil {
		t.Errorf("of all mounts: %+v", asked)
	}
}
