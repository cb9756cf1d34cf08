package bpfiter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/bpfiter/bpfitertest"
	"sexton.dev/linux/btf"
	"sexton.dev/linux/seccomp"
)

func TestMain(m *testing.M) { bpfitertest.Main(m) }

const many = 1 << 20

// ask asks, where that is possible.
func ask(t testing.TB, q Question) []Keeper {
	t.Helper()
	hosttest.NeedsRoot(t)
	keepers, err := Keepers(t.Context(), q)
	needsBPF(t, err)
	if err != nil {
		t.Fatal(err)
	}
	return keepers
}

// needsBPF skips the test where the kernel has no such programs or does not let us load them.
func needsBPF(t testing.TB, err error) {
	t.Helper()
	lacks := errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EPERM) || errors.Is(err, os.ErrNotExist) || errors.Is(err, btf.ErrNone)
	hosttest.Needs(t, "bpf", !lacks, fmt.Sprintf("Linux 6.7 with CONFIG_DEBUG_INFO_BTF, CAP_BPF and CAP_PERFMON: %v", err))
}

func deviceIn(p bpfitertest.Process) Device { return Device{p.Major, p.Minor} }

// told are the keepers of one process.
func told(all []Keeper, pid int) (of []Keeper) {
	for _, k := range all {
		if k.PID == pid {
			of = append(of, k)
		}
	}
	return of
}

// needsFirstPIDs is for what compares numbers of processes, which the kernel tells as they are
// in the machine's first PID namespace.
func needsFirstPIDs(t testing.TB) {
	t.Helper()
	hosttest.NeedsKernelThreads(t)
}

// Who keeps a file system is told by its device, however it is kept, and nobody else is.
func TestKeepers(t *testing.T) {
	needsFirstPIDs(t)
	all := bpfitertest.Start(t, bpfitertest.Kinds...)
	want := map[string]Reason{
		bpfitertest.File: Descriptor, bpfitertest.LastFile: Descriptor, bpfitertest.Cwd: Directory, bpfitertest.Root: Directory, bpfitertest.Program: Program, bpfitertest.LateProgram: Program, bpfitertest.Mapping: Mapping,
		bpfitertest.ThreadFile: Descriptor, bpfitertest.ThreadCwd: Directory, bpfitertest.Leaderless: Descriptor,
		bpfitertest.Detached: Descriptor, bpfitertest.DetachedMap: Mapping, bpfitertest.Tree: Descriptor,
		bpfitertest.OverlayFile: Descriptor, bpfitertest.OverlayMap: Mapping, bpfitertest.OverlayGone: Descriptor, bpfitertest.OverlayGoneMap: Mapping,
	}
	for _, p := range all {
		t.Run(p.Kind, func(t *testing.T) {
			device, found := deviceIn(p), false
			for _, k := range ask(t, Question{Devices: []Device{device}, Most: many}) {
				if k.Reason == Ring || k.Reason == Unsure {
					continue // see TestInAnyCase
				}
				if k.PID != p.PID || k.Reason != want[p.Kind] || k.Device != device || p.TID != 0 && k.TID != p.TID {
					t.Errorf("told %+v of %+v", k, p)
				}
				found = true
			}
			if reason := want[p.Kind]; (reason != 0) != found {
				t.Errorf("told is %v of %+v, want reason %d", found, p, reason)
			}
		})
	}
}

// Who has an io_uring is told, and of whom not all is seen, whatever is asked about.
func TestInAnyCase(t *testing.T) {
	needsFirstPIDs(t)
	all := bpfitertest.Start(t, bpfitertest.Ring, bpfitertest.Wide, bpfitertest.None, bpfitertest.File)
	q := Question{Devices: []Device{{0, 1<<20 - 1}}, Most: many}
	ask(t, q)
	for _, tt := range []struct {
		name   string
		bounds map[string]uint32
		unsure []string // besides the io_uring
	}{
		{"no bound is met", nil, nil},
		{"of descriptors", map[string]uint32{"most_fds": 1023}, []string{bpfitertest.Wide}},
		{"of mappings", map[string]uint32{"most_mappings": 1}, []string{bpfitertest.Wide, bpfitertest.None, bpfitertest.File}},
		{"of all", map[string]uint32{"most_steps": 0}, []string{bpfitertest.Wide, bpfitertest.None, bpfitertest.File}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keepers, err := keepersOf(t.Context(), q, tt.bounds)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				want := Reason(0)
				switch {
				case slices.Contains(tt.unsure, p.Kind):
					want = Unsure
				case p.Kind == bpfitertest.Ring:
					want = Ring
				}
				got := told(keepers, p.PID)
				if want == 0 && len(got) > 0 || want != 0 && (len(got) == 0 || got[0].Reason != want && p.Kind != bpfitertest.Ring) {
					t.Errorf("%s: told %+v, want reason %d", p.Kind, got, want)
				}
			}
		})
	}
}

// Who keeps what is in no mount table is told where the tables are given, and not
// who has memory, pipes and the like.
func TestUnlisted(t *testing.T) {
	needsFirstPIDs(t)
	all := bpfitertest.Start(t, bpfitertest.OverlayGone, bpfitertest.OverlayGoneMap, bpfitertest.Detached, bpfitertest.File, bpfitertest.None)
	listed := listedBut(t, all, bpfitertest.OverlayGone, bpfitertest.OverlayGoneMap, bpfitertest.Detached)
	keepers := ask(t, Question{Unlisted: listed, Most: many})
	for _, p := range all {
		got := told(keepers, p.PID)
		switch p.Kind {
		case bpfitertest.OverlayGone, bpfitertest.OverlayGoneMap, bpfitertest.Detached:
			if len(got) != 1 || got[0].Device != deviceIn(p) {
				t.Errorf("%s: told %+v of %+v", p.Kind, got, p)
			}
		default:
			if len(got) != 0 {
				t.Errorf("%s: told %+v", p.Kind, got)
			}
		}
	}
}

// listedBut are the devices of the mounts of all processes, but for those of some kinds.
func listedBut(t *testing.T, all []bpfitertest.Process, kinds ...string) (listed []Device) {
	t.Helper()
	tables, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tables {
		text, _ := os.ReadFile("/proc/" + e.Name() + "/mountinfo")
		for line := range strings.Lines(string(text)) {
			var d Device
			var id, parent int
			if _, err := fmt.Sscanf(line, "%d %d %d:%d", &id, &parent, &d.Major, &d.Minor); err == nil {
				listed = append(listed, d)
			}
		}
	}
	for _, kind := range kinds {
		gone := deviceIn(bpfitertest.Of(t, all, kind))
		for _, d := range listed {
			if d == gone {
				t.Fatalf("%v of %s is mounted", d, kind)
			}
		}
	}
	return listed
}

// What fits into no read of the kernel's piece is told in the next: of more threads than are
// in one none is lost. A dead process keeps nothing.
func TestAllAreTold(t *testing.T) {
	needsFirstPIDs(t)
	dead := exec.Command("true")
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	defer dead.Wait()
	hosttest.Until(t, 20*time.Second, "true ends", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", dead.Process.Pid))
		return err == nil && strings.Contains(string(text), ") Z ")
	})
	const threads = 3000 // a piece of 32 KiB holds 2,048 records
	crowd := bpfitertest.Crowd(t, threads)
	var stat unix.Stat_t
	if err := unix.Stat("/", &stat); err != nil {
		t.Fatal(err)
	}
	keepers := ask(t, Question{Devices: []Device{{unix.Major(stat.Dev), unix.Minor(stat.Dev)}, deviceIn(crowd)}, Most: many})
	tids := map[int]bool{}
	for _, k := range told(keepers, crowd.PID) {
		tids[k.TID] = true
	}
	if len(tids) < threads {
		t.Errorf("told of %d threads, want %d", len(tids), threads)
	}
	if len(told(keepers, os.Getppid())) == 0 {
		t.Error("the process that runs this test has its root directory there")
	}
	if of := told(keepers, os.Getpid()); len(of) > 0 {
		t.Errorf("this process: %+v", of)
	}
	if of := told(keepers, dead.Process.Pid); len(of) > 0 {
		t.Errorf("a dead process: %+v", of)
	}
}

func TestTooMany(t *testing.T) {
	all := bpfitertest.Start(t, bpfitertest.File, bpfitertest.Cwd)
	q := Question{Devices: []Device{deviceIn(all[0]), deviceIn(all[1])}, Most: many}
	ask(t, q)
	q.Most = 1
	if keepers, err := Keepers(t.Context(), q); !errors.Is(err, ErrMany) {
		t.Errorf("%v, %v", keepers, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if keepers, err := Keepers(ctx, q); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v, %v", keepers, err)
	}
	if keepers, err := Keepers(t.Context(), Question{Most: many}); err == nil {
		t.Errorf("about nothing: %v", keepers)
	}
}

// A program that sees nothing gives no answer.
func TestBlind(t *testing.T) {
	q := Question{Devices: []Device{{0, 1<<20 - 1}}, Most: many}
	ask(t, q)
	if keepers, err := keepersOf(t.Context(), q, map[string]uint32{"most_fds": 1}); !errors.Is(err, ErrBlind) {
		t.Errorf("%v, %v", keepers, err)
	}
}

// Below a filter of system calls, which may kill at this one, it is not tried.
func TestFiltered(t *testing.T) {
	hosttest.NeedsRoot(t)
	if os.Getenv("SEXTON_FILTERED") == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestFiltered$", "-test.v")
		cmd.Env = append(os.Environ(), "SEXTON_FILTERED=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_BPF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		t.Fatal(errno)
	}
	keepers, err := Keepers(t.Context(), Question{Devices: []Device{{0, 1}}, Most: many})
	if !errors.Is(err, seccomp.ErrFiltered) || keepers != nil {
		t.Errorf("%v, %v", keepers, err)
	}
}

// Without the right to it there is an error, and no answer.
func TestWithoutRight(t *testing.T) {
	hosttest.NeedsRoot(t)
	keepers, err := bpfitertest.AsNobody(func() ([]Keeper, error) {
		return Keepers(t.Context(), Question{Devices: []Device{{0, 1}}, Most: many})
	})
	if err == nil || keepers != nil {
		t.Errorf("%v, %v", keepers, err)
	}
}
