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
	kinds := func() map[string]int {
		all, err := children(st.PID)
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, c := range all {
			if c.State != 'Z' {
				continue // an orphan that just came
			}
			count[c.Comm]++
			check(t, c, init.Session)
		}
		return count
	}
	first := kinds()
	if first["sexton-lab:dead"] != 3 || first["sexton-lab:half"] != 1 || first["sexton-lab:orph"] < 3 {
		t.Errorf("children: %v", first)
	}
	hosttest.Until(t, 7*time.Second, "two more arrive, one every 2 s", func() bool {
		return kinds()["sexton-lab:orph"] >= first["sexton-lab:orph"]+2
	})
	if now := kinds(); now["sexton-lab:dead"] != 3 || now["sexton-lab:half"] != 1 || now["sexton-lab:orph"] > first["sexton-lab:orph"]+4 {
		t.Errorf("children later: %v", now)
	}
	if outside, err := children(pidOf(t, st, roleFeeder)); err != nil || len(outside) > 1 {
		t.Errorf("the feeder does not wait for its own children: %v, %v", outside, err)
	}
}

func check(t *testing.T, c procfs.Stat, session int) {
	t.Helper()
	own := c.Session == session
	switch c.Comm {
	case "sexton-lab:dead":
		if !own || c.Threads != 1 {
			t.Errorf("own child: %+v", c)
		}
	case "sexton-lab:half":
		if !own || c.Threads < 2 {
			t.Errorf("half-dead: %+v", c)
		}
	case "sexton-lab:orph":
		if own || c.Session == c.PID || c.Threads != 1 {
			t.Errorf("orphan: %+v, init's session %d", c, session)
		}
	default:
		t.Errorf("unknown child: %+v", c)
	}
}
