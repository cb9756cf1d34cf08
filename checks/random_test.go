package checks

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

func newHost() *snapshot.Host {
	h := &snapshot.Host{}
	h.Sort()
	return h
}

// pick returns one of several values.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomHost makes a host of few numbers, so that they meet: parents that are
// missing, their own or each other's, threads that are processes, cgroups within
// each other, servers that are gone.
func randomHost(r *rand.Rand) *snapshot.Host {
	h := &snapshot.Host{Taken: time.Unix(1_700_000_000, 0), Uptime: pick(r, 0, 100.0, 1e6), Root: r.IntN(2) == 0,
		Limits: snapshot.Limits{PIDMax: r.IntN(40), ThreadsMax: r.IntN(40), Tasks: r.IntN(40)}}
	ids := []string{"", "aa", "bb", "cc"}
	groups := []string{"", "/", "/docker", "/docker/aa", "/docker/aa/x", "/system.slice/bb.service", "/docker/cc"}
	for pid := range 24 {
		if r.IntN(4) > 0 {
			h.Processes = append(h.Processes, randomProcess(r, pid+1, pick(r, ids...), pick(r, groups...)))
		}
	}
	for _, path := range groups[2:] {
		if r.IntN(2) == 0 {
			h.Cgroups = append(h.Cgroups, snapshot.Cgroup{Path: path, Container: pick(r, ids...), PIDs: r.IntN(20), PIDsMax: r.IntN(20), PIDsFail: r.Uint64N(4), Frozen: r.IntN(3) == 0, Freezing: r.IntN(4) == 0})
		}
	}
	for _, id := range ids[1:] {
		if r.IntN(3) > 0 {
			h.Containers = append(h.Containers, snapshot.Container{ID: id, Name: pick(r, "", "web\n"), Outer: pick(r, ids...), State: pick(r, "", "running", "paused", "dead"), Pod: pick(r, "", "a/b"), Cgroup: pick(r, groups...), Runtime: pick(r, "", "docker", "containerd"), Health: r.IntN(2) == 0})
		}
	}
	for minor := range 3 {
		if r.IntN(2) == 0 {
			h.FUSE = append(h.FUSE, snapshot.FUSEConnection{Minor: minor, Waiting: r.IntN(4) - 1, Mounts: pick(r, nil, []string{"/mnt"}), Type: pick(r, "", "fuse.x"), Servers: pick(r, nil, []int{1 + r.IntN(24)}, []int{1 + r.IntN(24), 3})})
		}
	}
	h.Settings = pick(r, nil, &snapshot.Settings{}, &snapshot.Settings{MayDetach: "0"})
	if r.IntN(4) > 0 {
		h.Mounts = randomMounts(r)
		settle(r, h)
	}
	h.Kernel = pick(r, "", "3.10.0-1160.el7", "6.1.0")
	h.Sort()
	happen(r, h)
	pool(r, h)
	randomLadder(r, h)
	h.Sort()
	return h
}

func randomProcess(r *rand.Rand, pid int, container, cgroup string) snapshot.Process {
	states := []snapshot.State{"R", "S", "D", "T", "t", "Z", "Z", "Z", "I", "X"}
	p := snapshot.Process{PID: pid, PPID: r.IntN(25), Start: r.Uint64N(3) * 1000, State: pick(r, states...), Comm: pick(r, "", "sh", "runc", "containerd-shim", "tini", "x\x1b[2J", "\xff"),
		Session: r.IntN(25), Terminal: r.IntN(3) == 0, Threads: r.IntN(5), Kernel: r.IntN(8) == 0, Container: container, Cgroup: cgroup,
		Blocked: r.IntN(5) == 0, FUSE: pick(r, nil, []int{1}, []int{1, 2})}
	for tid := range r.IntN(4) {
		p.Tasks = append(p.Tasks, snapshot.Task{TID: pid + tid, State: pick(r, states...), Comm: "t", Switches: r.Uint64N(2), Killed: r.IntN(3) == 0,
			Wchan: pick(r, "", "0", "kernel_clone", "fuse_lookup", "__access_remote_vm", "rpc_wait_bit_killable", "do_wait"), Syscall: pick(r, "", "read"), Stack: pick(r, "", "a < fuse_flush < do_exit")})
	}
	if r.IntN(3) > 0 {
		signals := func() snapshot.Signals { return snapshot.Signals(r.Uint64() & r.Uint64()) }
		p.Detail = &snapshot.Detail{NSpid: pick(r, nil, []int{pid}, []int{pid, 1}, []int{pid, 4, 1}), Ignored: signals(), Caught: signals(), Masked: signals(), Pending: signals(), Tracer: r.IntN(25),
			Wchan: pick(r, "", "do_wait", "do_sigtimedwait"), Exe: pick(r, "", "bash", "busybox"), Children: []snapshot.TaskChildren{{TID: pid, Children: []int{r.IntN(25), r.IntN(25)}}, {TID: 3, Children: []int{r.IntN(25)}}}}
	}
	return p
}

// Whatever a host looks like, no check crashes, hangs, contradicts itself or
// breaks what a report promises.
func TestRandomHosts(t *testing.T) {
	const hosts = 1000
	found := map[string]int{}
	for seed := range uint64(hosts) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := randomHost(r)
		p := check.Pass{Now: now, Before: now, Limits: check.Defaults}
		if r.IntN(2) == 0 {
			p.Before = randomHost(r)
		}
		first, again := check.Run(All(), p), check.Run(All(), p)
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("seed %d: two answers\n%s", seed, diff)
		}
		seen := map[string]bool{}
		for _, f := range first.Findings {
			found[f.Check]++
			if err := broken(f, seen); err != nil {
				t.Fatalf("seed %d: %s: %v\n%s\n%s\n%s", seed, f.ID, err, f.Title, f.Cause, f.Harm)
			}
		}
	}
	for _, c := range All() {
		if found[c.Name] < 100 {
			t.Errorf("%s found only %d things in %d hosts: they are too tame", c.Name, found[c.Name], hosts)
		}
	}
	t.Logf("%d hosts: %v", hosts, found)
}

func broken(f check.Finding, seen map[string]bool) error {
	if seen[f.ID] {
		return fmt.Errorf("id %s comes twice", f.ID)
	}
	seen[f.ID] = true
	if f.Severity.Rank() == 0 || f.Title == "" || f.Cause == "" || f.Harm == "" || len(f.Evidence) == 0 || f.Subject.Kind == "" {
		return fmt.Errorf("something is empty")
	}
	for _, a := range f.Advice {
		if a == "" {
			return fmt.Errorf("empty advice")
		}
	}
	for _, m := range f.Remedies {
		if m.Action == "" || m.Why == "" || m.Risk == "" {
			return fmt.Errorf("a remedy lacks something")
		}
	}
	return nil
}
