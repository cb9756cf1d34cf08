package collect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sexton.dev/linux/mounts/holders"
	"sexton.dev/snapshot"
)

const (
	referencesLimit = 8 * time.Second        // for all references of one look
	referencesStall = 500 * time.Millisecond // at one process without an answer: it is blocked
)

// A refQuestion is what the child that reads references is asked.
type refQuestion struct {
	Proc    string   `json:"proc"`
	PIDs    []int    `json:"pids,omitempty"`    // look at these processes alone; none: at all
	Skip    []int    `json:"skip,omitempty"`    // processes at which an earlier child stalled
	Narrow  bool     `json:"narrow,omitempty"`  // references to Devices and Mounts alone, and to overlays below Layers
	Devices []string `json:"devices,omitempty"` // of superblocks
	Mounts  []uint64 `json:"mounts,omitempty"`  // ids; on btrfs and overlays a file may have another device than its mount
	Layers  []Layer  `json:"layers,omitempty"`  // directories of overlays, to prove which one a detached mount is
	Listed  runs     `json:"listed,omitempty"`  // devices that are in the tables, so none of these detached ones
}

// Bounds of a question, which the kernel takes 128 KiB of. Over them it is
// answered as well, but for a file on btrfs below one of over 2,000 mounts, and slower
// where the device numbers have over 1,000 gaps.
const (
	mostMounts = 2000
	mostListed = 1000
)

// A refLine is one line of that child.
type refLine struct {
	Begin int                 `json:"begin,omitempty"` // the process at which the child stalled, or atLayers
	Ref   *snapshot.Reference `json:"ref,omitempty"`
	Link  []byte              `json:"link,omitempty"` // of Ref, if it is not UTF-8: JSON has no such strings
	Lack  string              `json:"lack,omitempty"`
	Why   string              `json:"why,omitempty"`
	Done  bool                `json:"done,omitempty"`
}

// references reads who holds what of which mount, in a child process: a statx of
// what is open on a dead file system may not return.
func (l *looker) references(ctx context.Context, table *snapshot.Mounts, asked *Asked) {
	if !l.wants(snapshot.References) {
		return
	}
	q := refQuestion{Proc: l.Proc}
	if l.Layers != nil {
		q.Layers = l.reachable(table, l.Layers(l.h))
	}
	if asked != nil {
		q.Narrow, q.Devices, q.Mounts = true, asked.Devices, asked.Mounts[:min(len(asked.Mounts), mostMounts)]
		if len(q.Devices)+len(q.Layers) == 0 {
			return // what has no name in the tables and no layers is known by no reference
		}
		if len(q.Layers) > 0 {
			q.Listed = listed(l.devices)
		}
	}
	text, err := l.Ask("mount-references", func() ([]byte, error) { return l.readKept(ctx, table, q, fewProcesses) })
	if err != nil && len(text) == 0 {
		l.missing(snapshot.References, "open files, directories and mappings of processes", cause(err))
		return
	}
	lines := refReader{texts: map[string]string{}}
	table.References = slices.Grow(table.References, bytes.Count(text, []byte("\n")))
	for line := range bytes.Lines(text) {
		if ref, ok := lines.read(line); ok {
			table.References = append(table.References, ref)
			continue
		}
		var r refLine
		switch err := json.Unmarshal(line, &r); {
		case err != nil:
			l.unread(snapshot.References, "references to mounts", err)
			return
		case r.Ref != nil:
			if r.Link != nil {
				r.Ref.Link = string(r.Link)
			}
			table.References = append(table.References, *r.Ref)
		case r.Lack != "":
			l.lackOf(snapshot.References, r.Lack, r.Why)
		}
	}
}

// processNumber finds the process in what could not be read: "fd: 1/fd/7". A path
// in it may belong to a container and have numbers too.
var processNumber = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:[a-z_ ]+:? |/proc/)?([0-9]+)/`) })

// lackOf notes what could not be read of mounts: of one process once, however
// many files of it that were.
func (l *looker) lackOf(part snapshot.Part, what, why string) {
	if m := processNumber().FindStringSubmatch(what); m != nil {
		what = "open files, directories and mappings of process " + m[1]
		if i := strings.LastIndex(why, ": "); i >= 0 {
			why = why[i+2:] // not which of its files was the first
		}
	}
	if !slices.ContainsFunc(l.h.Unread, func(u snapshot.Unread) bool { return u.Part == part && u.Path == what }) {
		l.h.Unread = append(l.h.Unread, snapshot.Unread{Part: part, Path: what, Err: why})
	}
}

const noAnswer = "the kernel did not answer: it waits for a dead file system or a held lock"

// atLayers is where a child is that looks for the layers of overlays, before any process.
const atLayers = -1

// readReferences runs children until one comes to the end: where one stalls at a
// process, the next one leaves that process out.
func readReferences(ctx context.Context, child Child, q refQuestion) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, referencesLimit)
	defer cancel()
	var lacks []byte
	for {
		question, err := json.Marshal(q)
		if err != nil {
			return nil, err
		}
		text, err := child(ctx, "references", string(question))
		kept, at, done := sift(text)
		if done {
			return append(kept, lacks...), nil
		}
		failed := at == atLayers && (err != nil || len(q.Layers) == 0) // it would do so again, and at no process
		if at == 0 || failed || ctx.Err() != nil || slices.Contains(q.Skip, at) {
			return append(append(kept, lacks...), lackLine("open files of some processes", cause(cmp.Or(err, errNotReached)))...), nil
		}
		if at == atLayers {
			q.Layers = nil
			lacks = append(lacks, lackLine("layers of an unmounted overlay on the way of the target", noAnswer)...)
			continue
		}
		q.Skip = append(q.Skip, at)
		lacks = append(lacks, lackLine("/proc/"+strconv.Itoa(at)+"/fd, root, cwd and map_files", noAnswer)...)
	}
}

// sift keeps the whole lines that are answers, and tells at which process the
// child was when it stopped, and whether that was the end. What it keeps is where
// the text was.
func sift(text []byte) (kept []byte, at int, done bool) {
	kept = text[:0]
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(`{"ref":`)) && line[len(line)-1] == '\n' { // nearly all are
			kept = append(kept, line...)
			continue
		}
		var r refLine
		if json.Unmarshal(line, &r) != nil {
			break
		}
		switch {
		case r.Done:
			done = true
		case r.Begin != 0:
			at = r.Begin
		default:
			kept = append(kept, line...)
		}
	}
	return kept, at, done
}

func lackLine(what, why string) []byte {
	line, _ := json.Marshal(refLine{Lack: what, Why: why}) // two strings
	return append(line, '\n')
}

// childReferences is the child's side. It ends itself where it stalls, so that
// its parent learns where.
func childReferences(out io.Writer, text string) error {
	var q refQuestion
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return err
	}
	w := newLineWriter(out)
	w.begin(atLayers)
	stalled := w.watch(referencesStall)
	defer stalled.stop()
	s := newSieve(&q)
	tell := teller{w: w, sieve: s}
	pids, err := q.others()
	if err != nil {
		return err
	}
	req := holders.RefRequest{Proc: q.Proc, PIDs: pids, Begin: func(pid int, _ holders.Kind) {
		stalled.again()
		w.begin(pid)
	}}
	if q.Narrow {
		req.Want, req.Superblock = s.wants, s.superblock
	}
	unknown, err := holders.Refs(context.Background(), req, tell.visit)
	if err != nil {
		return err
	}
	for _, u := range unknown {
		if err := w.write(refLine{Lack: u.What, Why: u.Why}); err != nil {
			return err
		}
	}
	if err := w.write(refLine{Done: true}); err != nil {
		return err
	}
	return w.flush()
}

// A teller writes the references that a question is about.
type teller struct {
	w     *lineWriter
	sieve *sieve
	pid   int // of the last one
	bytes int // that are told of it
}

func (t *teller) visit(r holders.Ref) error {
	ref := snapshot.Reference{PID: r.PID, TID: r.TID, Kind: string(r.Kind), FD: r.FD, Mount: r.MountID,
		Device: r.Device.String(), Inode: r.Inode, Link: r.Link}
	var in []string
	if t.sieve.suspect(r.Device) {
		in = t.sieve.layers.of(t.sieve.proc, &r)
	}
	if len(in) == 0 && !t.sieve.asked(&r) {
		return nil
	}
	if len(in) == 0 {
		return t.write(&ref)
	}
	for _, ref.Layer = range in { // once for each: of several targets each knows its own
		if err := t.write(&ref); err != nil {
			return err
		}
	}
	return nil
}

const mostOfOne = 16 << 20 // bytes that are told of one process; of all it may be maxReply

// write leaves out what is over the share of one process: with some thousand descriptors
// of a file with a long path it would take the whole answer.
func (t *teller) write(ref *snapshot.Reference) error {
	const besides = 100 // the link
	if ref.PID != t.pid {
		t.pid, t.bytes = ref.PID, 0
	}
	before := t.bytes
	t.bytes += besides + len(ref.Link)
	switch {
	case t.bytes <= mostOfOne:
		return t.w.reference(ref)
	case before <= mostOfOne:
		return t.w.write(refLine{Lack: fmt.Sprintf("open files: %d/fd", ref.PID), Why: fmt.Sprintf("more than %d MiB tell", mostOfOne>>20)})
	}
	return nil
}

// others lists the processes to look at, but for those to leave out, and this one and its parent.
func (q *refQuestion) others() ([]int, error) {
	pids := slices.Clone(q.PIDs)
	if len(pids) == 0 {
		names, err := os.ReadDir(q.Proc)
		if err != nil {
			return nil, err
		}
		pids = []int{} // nil would be all
		for _, e := range names {
			if pid, err := strconv.Atoi(e.Name()); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	skip := append(slices.Clone(q.Skip), os.Getpid(), os.Getppid())
	return slices.DeleteFunc(pids, func(pid int) bool { return slices.Contains(skip, pid) }), nil
}
