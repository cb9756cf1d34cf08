package propagation_test

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sexton.dev/propagation"
)

// A trial is a topology, then calls that are predicted and made.
type trial struct {
	flavour      string
	setup, calls []step
}

func (tr trial) String() string { return joinSteps(tr.setup) + " || " + joinSteps(tr.calls) }

func joinSteps(steps []step) string {
	var all []string
	for _, s := range steps {
		all = append(all, s.String())
	}
	return strings.Join(all, "; ")
}

// A result is what a trial gave. It is skipped, missed if there is a difference, or exact.
type result struct {
	calls   []step
	skipped string
	diff    []string
	refused []step // of the setup
	counts  map[string]int
}

// most mounts that a trial may have: a few recursive binds make thousands.
const most = 400

// run makes a trial. If it has no calls yet, choose finds some that fit the topology. What cannot
// be read is skipped.
func (h *host) run(tr trial, choose func(w *world) []step) (result, error) {
	res, err := h.try(tr, choose)
	if errors.Is(err, errCovered) {
		res.skipped, err = err.Error(), nil
	}
	return res, err
}

// build makes a topology. What the kernel refuses is no part of it.
func (h *host) build(steps []step) (refused []step, err error) {
	if err := h.begin(); err != nil {
		return nil, err
	}
	for _, s := range steps {
		h.prepare(s)
		if errno := h.act(s); errno != 0 {
			refused = append(refused, s)
		}
	}
	return refused, nil
}

func (h *host) try(tr trial, choose func(w *world) []step) (res result, err error) {
	res.counts = map[string]int{}
	defer h.end()
	if res.refused, err = h.build(tr.setup); err != nil {
		return res, err
	}
	if res.calls = tr.calls; choose != nil {
		w, err := h.read()
		if err != nil {
			return res, err
		}
		if len(w.mounts) <= most {
			h.probeLocks(w)
			res.calls = choose(w)
		}
	}
	if len(res.calls) == 0 {
		res.skipped = "no call fits, or too many mounts"
	}
	for _, call := range res.calls {
		if err := h.check(call, &res); err != nil || res.skipped != "" || len(res.diff) > 0 {
			return res, err
		}
	}
	return res, nil
}

// check predicts a call, makes it and compares.
func (h *host) check(call step, res *result) error {
	h.prepare(call)
	before, err := h.read()
	if err != nil {
		return err
	}
	known := h.probeLocks(before)
	switch {
	case len(before.mounts) > most:
		res.skipped = "too many mounts"
		return nil
	case call.verb != "rmdir" && call.verb != "rename" && !allKnown(before, known): // those two ask no locks
		res.skipped = "a lock that cannot be known"
		return nil
	}
	if resolved := h.resolved(before, call); resolved != "" {
		res.diff = append(res.diff, resolved)
		return nil
	}
	v := before.predict(call)
	e := v.New
	if call.verb != "=" && h.old || call.verb == "=" && h.keeps {
		e = v.Old
	}
	errno := h.act(call)
	after, err := h.read()
	if err != nil {
		return err
	}
	now := h.probeLocks(after)
	res.count(call, before, v, errno)
	want := &world{mounts: before.mounts, spaces: append(slices.Clone(before.spaces), e.Namespace...), names: before.names}
	if len(e.Namespace) > 0 {
		want.names = append(slices.Clone(before.names), call.space)
	}
	switch {
	case errno == syscall.Errno(e.Errno):
		want.mounts = e.Apply(before.mounts)
		if call.verb == "rename" && errno == 0 {
			t, _ := before.table()
			ns := before.space(call.space).ID
			dir, _ := t.Resolve(ns, path.Dir(call.full(0)))
			want.rename(dir.Join(path.Base(call.full(0))), dir.Join(path.Base(call.full(1))))
		}
	case !ofNoConcern(call, errno):
		res.diff = append(res.diff, fmt.Sprintf("predicted errno %d (%+v), got %d", e.Errno, e.Refused, errno))
	}
	c := comparison{want: want, got: after, last: highest(before.mounts), known: now, wasKnown: known}
	res.diff = append(res.diff, c.compare()...)
	return nil
}

// ofNoConcern reports errors that come from elsewhere: the call then must change nothing.
func ofNoConcern(call step, errno syscall.Errno) bool {
	switch errno {
	case unix.ENOENT, unix.ENOTDIR, unix.ENOTEMPTY, unix.ENOSPC, unix.EEXIST:
		return true
	}
	return call.verb == "beneath" && errno != 0 // it has rules of its own
}

// resolved compares the mount that the kernel and the table find at the path of a call, and
// notes the use that the calling thread makes of its root.
func (h *host) resolved(w *world, call step) string {
	space := h.space(call.space)
	if call.verb == "=" || space == nil {
		return ""
	}
	enter(space.fd)
	defer enter(h.home)
	w.held[h.mountAt("/")] = true
	id := h.mountAt(call.full(0))
	t, _ := w.table()
	if at, _ := t.Resolve(space.id, call.full(0)); id != 0 && at.Mount != id {
		return fmt.Sprintf("%s leads to mount %d, predicted %+v", call.full(0), id, at)
	}
	return ""
}

func (r *result) count(call step, before *world, v propagation.Verdict, errno syscall.Errno) {
	verb := call.verb
	if verb == "=" {
		verb = "clone"
	}
	r.counts[verb]++
	if errno != 0 {
		r.counts[fmt.Sprintf("%s errno %d", verb, errno)]++
	}
	if v.Differ {
		r.counts["old and new differ"]++
	}
	if call.verb != "=" && before.space(call.space).Owner != 1 {
		r.counts["called in a namespace of a user"]++
	}
	r.counts["mounts gone"] += len(v.New.Gone())
	r.counts["mounts made"] += len(v.New.Made)
}

// shrink leaves out steps for as long as the trial still misses.
func (h *host) shrink(tr trial, miss result) (trial, result) {
	tr.calls = miss.calls
	for again := true; again; {
		again = false
		for i := len(tr.setup) - 1; i >= 0; i-- {
			less := trial{tr.flavour, slices.Delete(slices.Clone(tr.setup), i, i+1), tr.calls}
			if res, err := h.run(less, nil); err == nil && len(res.diff) > 0 {
				tr, miss, again = less, res, true
			}
		}
	}
	return tr, miss
}
