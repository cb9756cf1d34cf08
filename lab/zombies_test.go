package lab

import (
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/procfs"
)

// What the kernel shows is what the fault promises, told apart by session,
// threads and name.
func TestZombiesForReal(t *testing.T) {
	o := options(t, zombies)
	st := mustUp(t, "zombies", o)

	init, err := readStat(st.PID)
	if err != nil {
		t.Fatal(err)
	}
	status, err := readStatus(st.PID)
	if err != nil {
		t.Fatal(err)
	}
	const sigchld = 1 << 16 // bit 17-1
	if init.Comm != "sleep" || init.State != 'S' || status.SigIgn&sigchld != 0 || status.SigCgt&sigchld != 0 || status.SigBlk != 0 {
		t.Errorf("first process: %+v, %+v", init, status)
	}
	if n := len(status.NSpid); n < 2 || status.NSpid[n-1] != 1 {
		t.Errorf("first process has the pids %v", status.NSpid)
	}
	feeder, err := readStat(pidOf(t, st, roleFeeder))
	if err != nil {
		t.Fatal(err)
	}
	kinds := func() map[string]int {
		all, err := children(st.PID)
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, c := range all {
			if c.Comm != "sexton-lab:half" && !dead(c) {
				continue // an orphan that just came, maybe without its name
			}
			count[c.Comm]++
			kindOf(t, c, init.Session, feeder.Session)
		}
		return count
	}
	first := kinds()
	if first["sexton-lab:dead"] != 3 || first["sexton-lab:half"] != 1 || first["sexton-lab:orph"] < 3 {
		t.Errorf("children: %v", first)
	}
	hosttest.Until(t, 20*time.Second, "two more arrive, one every 2 s", func() bool {
		return kinds()["sexton-lab:orph"] >= first["sexton-lab:orph"]+2
	})
	if now := kinds(); now["sexton-lab:dead"] != 3 || now["sexton-lab:half"] != 1 {
		t.Errorf("children later: %v", now)
	}
	if outside, err := children(pidOf(t, st, roleFeeder)); err != nil || len(outside) > 1 {
		t.Errorf("the feeder does not wait for its own children: %v, %v", outside, err)
	}
}

// kindOf checks a child against its name.
func kindOf(t *testing.T, c procfs.Stat, init, feeder int) {
	t.Helper()
	switch c.Comm {
	case "sexton-lab:dead":
		if c.State != 'Z' || c.Session != init || c.Threads != 1 {
			t.Errorf("own child: %+v", c)
		}
	case "sexton-lab:half":
		if c.State != 'Z' || c.Session != init || c.Threads < 2 {
			t.Errorf("half-dead: %+v", c)
		}
	case "sexton-lab:orph":
		if c.Session == init || c.Session == feeder || c.Session == c.PID {
			t.Errorf("orphan: %+v; the session of init is %d, of the feeder %d", c, init, feeder)
		}
	default:
		t.Errorf("unknown child: %+v", c)
	}
}
