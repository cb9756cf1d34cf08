package heal

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"sexton.dev/plan"
	"sexton.dev/runtimes/stackdump"
	"sexton.dev/snapshot"
)

const (
	dumpWithin = 3 * time.Second // for an answer
	readWithin = 8 * time.Second // for all, also where reading of the process blocks
	maxAsked   = 16              // processes in one heal
)

// dump asks the processes that wait for a step's target for their goroutines, all at the
// same time, and writes down where those are kept or why there are none. None of them
// stops the act. Whoever was asked in this heal is not asked again: what hung then hangs
// in that dump.
func (h *healer) dump(ctx context.Context, s *plan.Step) error {
	if len(s.Dumps) == 0 {
		return nil
	}
	if h.asked == nil {
		h.asked = map[snapshot.ID]plan.Dump{}
	}
	var fresh []*plan.Dump
	dumps := make([]plan.Dump, len(s.Dumps)) // the look's own stay as they are
	for i, d := range s.Dumps {
		was, ok := h.asked[idOf(d)]
		dumps[i] = plan.Dump{PID: d.PID, Start: d.Start, Comm: d.Comm, File: was.File, Why: was.Why}
		switch {
		case ok:
		case len(h.asked)+len(fresh) == maxAsked:
			dumps[i].Why = fmt.Sprintf("not asked: %d processes were asked in this heal", maxAsked)
		default:
			fresh = append(fresh, &dumps[i])
		}
	}
	s.Dumps = dumps
	h.ask(ctx, fresh)
	for _, d := range fresh {
		h.asked[idOf(*d)] = *d
	}
	note, err := json.Marshal(struct {
		Dumps []plan.Dump `json:"dumps"`
	}{dumps})
	if err != nil {
		return err
	}
	return h.Journal.append(h.plan, Entry{Event: "note", Step: *s, Note: note})
}

func idOf(d plan.Dump) snapshot.ID { return snapshot.ID{PID: d.PID, Start: d.Start} }

// ask says of each process where its goroutines are, or why there are none. Nobody is
// asked if they could not be kept.
func (h *healer) ask(ctx context.Context, all []*plan.Dump) {
	if len(all) == 0 {
		return
	}
	dir, err := openDumps(h.Journal.path + ".dumps")
	if err == nil {
		defer dir.close()
		err = dir.room(len(all))
	}
	if err != nil {
		for _, d := range all {
			d.Why = "not asked: " + err.Error()
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	var asking sync.WaitGroup
	for _, d := range all {
		asking.Go(func() { d.File, d.Why = dir.take(ctx, *d) })
	}
	asking.Wait()
}

// take asks one process and keeps what it says.
func (d *dumpDir) take(ctx context.Context, of plan.Dump) (file, why string) {
	t, err := stackdump.Take(ctx, of.PID, of.Start, dumpWithin)
	if err != nil {
		return "", err.Error()
	}
	defer t.Close()
	name := fmt.Sprintf("%s-%s-%d.txt", t.Asked.Format("20060102T150405.000Z"), t.Layer, t.PID)
	return d.keep(name, t)
}
