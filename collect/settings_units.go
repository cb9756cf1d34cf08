package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sexton.dev/collect/door"
	"sexton.dev/linux/systemd"
	"sexton.dev/runtimes"
	"sexton.dev/snapshot"
)

// systemdWithin bounds the question to systemd, which takes 20 ms and 3 ms a unit
// on a slow machine. A hung one costs this once an hour.
const (
	systemdWithin = time.Second
	startWithin   = 2 * time.Second // to start a child on a busy host
)

// A unitsQuestion is what the child that asks systemd is asked.
type unitsQuestion struct {
	Root  string   `json:"root"`
	Units []string `json:"units"`
}

// A unitsReply is its answer.
type unitsReply struct {
	Units  []systemd.Unit `json:"units,omitempty"`
	Err    string         `json:"err,omitempty"` // why units are missing
	Silent bool           `json:"silent,omitempty"`
}

// loadedUnits asks the host's systemd what it has loaded of services. Where it does
// not tell, that is a lack, and what the files say is what is left. Like a runtime
// that was silent it is not asked again, but for an hour only: it is the same process
// until the host boots, and may have been busy.
func (l *looker) loadedUnits(ctx context.Context, units []string) []systemd.Unit {
	if len(units) == 0 {
		return nil
	}
	r, err := askFor[unitsReply](l, "systemd", func() ([]byte, error) {
		s := runtimes.Socket{Kind: "systemd", Path: strings.TrimSuffix(l.Root, "/") + systemd.Socket}
		quiet := silentSockets{file: silentFile, identity: map[runtimes.Kind]string{s.Kind: l.initNow()}}
		if !l.AskAgain && quiet.has(s) {
			return json.Marshal(unitsReply{Err: "not asked: it was silent before; --ask-again asks all the same"})
		}
		r := l.askSystemd(ctx, units)
		if r.Silent {
			quiet.add(s)
		}
		return json.Marshal(r)
	})
	if err == nil && r.Err != "" {
		err = errors.New(r.Err)
	}
	if err != nil && !errors.Is(err, door.ErrNotRecorded) { // a recording of before it was asked
		l.unread(snapshot.Configured, "what systemd has loaded", err)
	}
	return r.Units
}

// initNow is the host's first process, in this hour.
func (l *looker) initNow() string {
	var start uint64 // 0 if it is not known
	if p := l.h.Process(1); p != nil {
		start = p.Start
	}
	return fmt.Sprintf("1.%d.%d", start, l.h.Taken.Truncate(time.Hour).Unix())
}

func (l *looker) askSystemd(ctx context.Context, units []string) unitsReply {
	text, err := l.Child.ask(ctx, systemdWithin+startWithin, unitsQuestion{strings.TrimSuffix(l.Root, "/"), units}, "units")
	var r unitsReply
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return unitsReply{Err: cause(err)} // the child is late, which says nothing of systemd
	}
	return r
}

// childUnits is the child's part.
func childUnits(out io.Writer, text string) error {
	var q unitsQuestion
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), systemdWithin)
	defer cancel()
	units, err := systemd.Loaded(ctx, q.Root, q.Units)
	r := unitsReply{Units: units}
	if err != nil && !errors.Is(err, systemd.ErrNotRunning) {
		r.Err, r.Silent = err.Error(), errors.Is(err, context.DeadlineExceeded) && len(units) == 0 // else it is slow, or there are many
		if errors.Is(err, context.DeadlineExceeded) {
			r.Err = strings.ReplaceAll(r.Err, context.DeadlineExceeded.Error(), door.ErrDeadline.Error())
		}
	}
	return json.NewEncoder(out).Encode(r)
}

// mergeUnits joins what files say and what systemd has loaded, which holds.
func mergeUnits(files []snapshot.UnitSettings, loaded []systemd.Unit) []snapshot.UnitSettings {
	byName := map[string]snapshot.UnitSettings{}
	for _, u := range files {
		byName[u.Name] = u
	}
	for i := range loaded {
		byName[loaded[i].Name] = mergeUnit(byName[loaded[i].Name], &loaded[i])
	}
	var out []snapshot.UnitSettings
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, byName[name])
	}
	return out
}

// mergeUnit is a service as systemd has it, with the places in its files where that
// stands; u is what the files say, which is not what holds if they were changed since.
func mergeUnit(u snapshot.UnitSettings, loaded *systemd.Unit) snapshot.UnitSettings {
	out := snapshot.UnitSettings{Name: loaded.Name, From: "systemd", Active: loaded.Active, Reload: loaded.NeedReload}
	told := map[string][]snapshot.Directive{}
	for _, d := range u.Directives {
		told[d.Name] = append(told[d.Name], d)
	}
	has := map[string]bool{}
	for _, d := range loaded.Directives {
		has[d.Name] = true
		one := snapshot.Directive{Name: d.Name, Value: d.Value}
		all := told[d.Name]
		if len(all) > 0 && systemd.Same(d.Name, d.Value, values(all)) {
			one.File, one.Line = all[0].File, all[0].Line
		} else if loaded.NeedReload {
			out.Pending = append(out.Pending, pending(d.Name, all)...)
		}
		out.Directives = append(out.Directives, one)
	}
	for _, d := range u.Directives {
		if loaded.NeedReload && !has[d.Name] {
			out.Pending = append(out.Pending, d)
		}
	}
	return out
}

// pending is what the files say in another way than systemd has it: nothing any more, or all of it.
func pending(name string, all []snapshot.Directive) []snapshot.Directive {
	if len(all) == 0 {
		return []snapshot.Directive{{Name: name}}
	}
	return all
}

func values(all []snapshot.Directive) string {
	var texts []string
	for _, d := range all {
		texts = append(texts, d.Value)
	}
	return strings.Join(texts, " ")
}
