package thinpoolspace

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

const (
	timeoutFile  = "/sys/module/dm_thin_pool/parameters/no_space_timeout"
	manyWaiters  = 3  // that are shown
	mostWaiters  = 50 // that are listed
	fullErrors   = "Each write that needs a new block fails: file systems on it turn read-only or lose data"
	waitsAnyway  = "Writes that need a new block wait, their processes in state D, where no kill helps"
	timeoutNever = "no_space_timeout is 0: they wait until there is room, if need be for ever"
)

// queueHarm says what a full pool that lets writes wait does to them, and until when.
func queueHarm(timeout *int, full, now time.Time) string {
	switch {
	case timeout == nil:
		return waitsAnyway + "; after no_space_timeout (60 s unless it was set to 0, for ever) they fail"
	case *timeout <= 0:
		return waitsAnyway + "; " + timeoutNever
	}
	after := check.Age(time.Duration(*timeout) * time.Second)
	if full.IsZero() {
		return fmt.Sprintf("%s; no_space_timeout has them fail %s after it became full, which is not known when", waitsAnyway, after)
	}
	at := full.Add(time.Duration(*timeout) * time.Second)
	if !at.After(now) {
		return fmt.Sprintf("%s; no_space_timeout (%s) has them fail any moment", waitsAnyway, after)
	}
	return fmt.Sprintf("%s; in %s, at %s, no_space_timeout (%s) has them fail", waitsAnyway, check.Age(at.Sub(now)), at.Format(time.TimeOnly+" MST"), after)
}

// fullSince is when the kernel's log says that a pool that is full now became so, or
// began to have writes fail. Of what it logs of a pool nothing comes after that while
// nothing changes.
func fullSince(h *snapshot.Host, m *snapshot.Mapped) (at time.Time, said *check.Evidence) {
	if h.Log == nil {
		return at, nil
	}
	words := []string{"out-of-data-space (error IO)", "out-of-data-space mode"} // the second until Linux 4.1
	if m.Pool.Queues {
		words[0] = "out-of-data-space (queue IO)"
	}
	for _, e := range slices.Backward(h.Log.Events) {
		lines := strings.Split(e.Text, "\n")
		i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, words[0]) || strings.Contains(l, words[1]) })
		if e.Family != snapshot.LogThinPool || e.Device != m.Device || i < 0 {
			continue
		}
		if at = e.Last; at.IsZero() {
			at = e.Time
		}
		e.Time, e.Text = at, lines[i]
		logged := check.Logged(e)
		return at, &logged
	}
	return at, nil
}

// waits adds to the finding of a full pool who waits for room in it, and for how long.
func waits(f *check.Finding, p check.Pass, m *snapshot.Mapped) {
	full, said := fullSince(p.Now, m)
	f.Since = full
	if said != nil {
		f.Evidence = append(f.Evidence, *said)
	}
	if !m.Pool.Queues {
		return
	}
	timeout := p.Now.Pools.Timeout
	f.Harm = queueHarm(timeout, full, p.Now.Taken)
	if timeout != nil {
		f.Evidence = append(f.Evidence, check.Evidence{Source: timeoutFile, Text: fmt.Sprint(*timeout)})
	}
	all := holding.WaitersOn(p.Before, p.Now, m.Device)
	if len(all) == 0 {
		return
	}
	var labels []string
	for i, w := range all[:min(len(all), mostWaiters)] {
		f.Holders = append(f.Holders, check.HolderOf(p.Now, w.Process))
		labels = append(labels, check.Label(p.Now, w.Process))
		if i < manyWaiters {
			f.Evidence = append(f.Evidence, wait(w, p.Before != nil))
		}
	}
	f.Title += ": " + inLine(labels, len(all)) + map[bool]string{true: " waits", false: " wait"}[len(all) == 1] + " for room"
}

// wait shows where a waiter stands in the kernel.
func wait(w holding.Waiter, twice bool) check.Evidence {
	t := w.Tasks[0]
	text := map[bool]string{true: "state D in both looks", false: "state D"}[twice]
	if at := check.Wait(t); at != "" {
		text += ", in " + at
	}
	if t.Stack != "" {
		text += ": " + t.Stack
	}
	return check.Evidence{Source: fmt.Sprintf("/proc/%d/task/%d", w.Process.PID, t.TID), Text: text + "; it uses " + w.On.Name}
}

// inLine names the first of all.
func inLine(labels []string, all int) string {
	shown := labels[:min(len(labels), manyWaiters)]
	text := strings.Join(shown, ", ")
	if more := all - len(shown); more > 0 {
		text += " and " + check.Number(more) + " more"
	}
	return text
}
