package harm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/heal"
	"sexton.dev/internal/hosttest"
	"sexton.dev/plan"
	"sexton.dev/snapshot"
)

// TestCrash kills a healer at any moment while it replaces a mount point. Resume
// then leaves one directory, as it was, and nothing beside it; and the journal has
// an end for every beginning.
func TestCrash(t *testing.T) {
	n, seed := hosttest.Trials(t, 20, 400)
	r := ask(t, order{"crash", n, seed.Uint64()}, time.Minute+time.Duration(n)*2*time.Second)
	r.tell(t)
	if r.Counts["cut short after its note"] == 0 || r.Counts["the mount is gone"] == 0 {
		t.Error("nothing was cut short in time")
	}
}

const healerVariable = "SEXTON_HARM_HEALER"

// crashTrials makes, for each, a leaked layer that is locked where it is.
func crashTrials(h *host, o order, r *report) error {
	random := rand.New(rand.NewPCG(o.Seed, 1))
	for range o.N {
		err := h.begin()
		if err == nil {
			err = crash(h, random, r)
		}
		h.end()
		if err != nil {
			return err
		}
	}
	return nil
}

func crash(h *host, random *rand.Rand, r *report) error {
	point := merged(layers[0])
	if err := errors.Join(os.MkdirAll(point, 0o755), os.Chown(point, 12, 34), os.Chmod(point, 0o711|os.ModeSticky), unix.Mount("layer", point, "tmpfs", 0, "size=64k")); err != nil {
		return err
	}
	if h.clone(h.spaces[0], true) == nil {
		return errors.New("clone into a user namespace")
	}
	if err := errors.Join(h.in(h.spaces[1], func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }), unix.Unmount(point, 0)); err != nil {
		return err
	}
	if err := os.Remove(journalFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	healer, err := os.StartProcess("/proc/self/exe", []string{"sexton"}, &os.ProcAttr{Env: append(os.Environ(), healerVariable+"=1"), Files: []*os.File{nil, nil, os.Stderr}})
	if err != nil {
		return err
	}
	if random.IntN(3) == 0 {
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // at any moment
	} else {
		noted(5 * time.Second)
		time.Sleep(time.Duration(random.IntN(150)) * time.Microsecond)
	}
	stop(healer)
	if names, _ := filepath.Glob(filepath.Dir(point) + "/.sexton-*"); len(names) > 0 {
		r.Counts["an unfinished directory was left"]++
	}
	return resume(h, point, r)
}

// noted waits until an act has written down what it is about to change.
func noted(most time.Duration) {
	for end := time.Now().Add(most); time.Now().Before(end); {
		if text, err := os.ReadFile(journalFile); err == nil && bytes.Contains(text, []byte(`"event":"note"`)) {
			return
		}
	}
}

// healing is the healer's part.
func healing(h *host) error {
	journal, err := heal.OpenJournal(journalFile)
	if err != nil {
		return err
	}
	seen, err := h.sight(context.Background())
	if err != nil {
		return err
	}
	_, err = heal.Apply(context.Background(), plan.Make(seen.Host, seen.Findings), heal.Options{Look: h.sight, Glance: h.glance, Journal: journal, MaxRisk: "safe", Told: func(plan.Step) {}, Wait: func(string) {}})
	return err
}

func (h *host) glance(context.Context) (*snapshot.Host, error) {
	now, _, err := h.look()
	return now, err
}

func (h *host) sight(context.Context) (heal.Sight, error) {
	now, found, err := h.look()
	return heal.Sight{Host: now, Findings: found}, err
}

// resume does what sexton heal --resume does, and holds the directory against what it was.
func resume(h *host, point string, r *report) error {
	miss := func(format string, args ...any) { r.Misses = append(r.Misses, fmt.Sprintf(format, args...)) }
	journal, err := heal.OpenJournal(journalFile)
	if err != nil {
		return err
	}
	defer journal.Close()
	entries, _ := heal.ReadJournal(journalFile) // a line that was cut short is told, and left out
	open := heal.Unfinished(entries)
	seen, err := h.sight(context.Background())
	if err != nil {
		return err
	}
	steps, err := heal.Resume(context.Background(), journal, open, seen)
	if err != nil {
		return err
	}
	for _, s := range steps {
		r.Counts["cut short: "+s.Action+" "+string(s.Status)]++
		if s.Status == plan.Failed {
			miss("%s: %s", s.Does, s.Why)
		}
	}
	if len(open) > 1 && open[len(open)-1].Event == "note" {
		r.Counts["cut short after its note"]++
	}
	entries, _ = heal.ReadJournal(journalFile)
	if left := heal.Unfinished(entries); len(left) > 0 {
		miss("the journal has %d entries of acts without an end", len(left))
	}
	names, err := os.ReadDir(filepath.Dir(point))
	if err != nil || len(names) != 1 {
		miss("beside the directory: %v, %v", names, err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(point, &st); err != nil || st.Mode != unix.S_IFDIR|unix.S_ISVTX|0o711 || st.Uid != 12 || st.Gid != 34 {
		miss("the directory is another: %+v, %v", st, err)
	}
	for _, m := range tableOf(seen.Host) {
		if m.Point == point {
			r.Counts["the mount is there"]++
			return nil
		}
	}
	r.Counts["the mount is gone"]++
	return nil
}
