package collect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/census"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/probe"
	"sexton.dev/snapshot"
)

const (
	probeLimit   = 2 * time.Second  // for one child that asks for locks
	ruleLimit    = 10 * time.Second // for the one that mounts: it copies a host's mounts twice
	mostQuestion = 96 << 10         // bytes; the kernel takes 128 KiB of an argument
)

// A lockQuestion is what the child that asks for locks is asked.
type lockQuestion struct {
	Proc   string         `json:"proc"`
	Inode  uint64         `json:"inode"`
	ID     uint64         `json:"id"`
	Pins   []snapshot.Pin `json:"pins"`
	Mounts []lockMount    `json:"mounts"`
}

type lockMount struct {
	ID    uint64 `json:"id"`
	Point []byte `json:"point"` // base64: any bytes
}

// A lockLine is one line of that child.
type lockLine struct {
	ID     uint64 `json:"id"`
	Locked bool   `json:"locked,omitempty"`
	Err    string `json:"err,omitempty"`
}

// AskLocks asks the kernel which of these mounts, all of namespace ns, are locked.
// That is more than looking: a child process enters the namespace and tries an
// unmount that cannot succeed ([probe.Locked]). It is abandoned where it blocks.
// What got no answer is in lacks.
func AskLocks(ctx context.Context, child Child, proc string, ns *snapshot.MountNamespace, of []*snapshot.Mount) (locked map[uint64]bool, lacks []snapshot.Unread) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	locked = map[uint64]bool{}
	lack := func(m *snapshot.Mount, why string) {
		lacks = append(lacks, snapshot.Unread{Part: snapshot.MountTables, Path: fmt.Sprintf("whether %s is locked in mnt:[%d]", m.Point, ns.Inode), Err: why})
	}
	q := lockQuestion{Proc: proc, Inode: ns.Inode, ID: ns.ID, Pins: ways(ns.Pins)}
	size := 0
	var asked []*snapshot.Mount
	for _, m := range of {
		if size += 2*len(m.Point) + 64; size > mostQuestion {
			lack(m, "too many mounts to ask about")
			continue
		}
		q.Mounts = append(q.Mounts, lockMount{m.ID, []byte(m.Point)})
		asked = append(asked, m)
	}
	question, err := json.Marshal(q)
	if err != nil {
		return locked, append(lacks, snapshot.Unread{Part: snapshot.MountTables, Path: "locks", Err: err.Error()})
	}
	text, err := child(ctx, "locks", string(question))
	answers := map[uint64]lockLine{}
	for line := range bytes.Lines(text) {
		var l lockLine
		if json.Unmarshal(line, &l) == nil {
			answers[l.ID] = l
		}
	}
	for _, m := range asked {
		switch l, ok := answers[m.ID]; {
		case !ok:
			lack(m, cause(cmp.Or(err, errNotReached)))
		case l.Err != "":
			lack(m, l.Err)
		default:
			locked[m.ID] = l.Locked
		}
	}
	return locked, lacks
}

// ways are the first few pins by which a namespace can be opened. Paths, which a
// container may have made long, are not needed for that.
func ways(pins []snapshot.Pin) (out []snapshot.Pin) {
	const most = 8
	for _, p := range pins {
		if len(out) < most && slices.Contains([]string{"process", "thread", "fd"}, p.Kind) {
			out = append(out, snapshot.Pin{Kind: p.Kind, PID: p.PID, TID: p.TID, FD: p.FD})
		}
	}
	return out
}

// childLocks is the child's side.
func childLocks(out io.Writer, text string) error {
	var q lockQuestion
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return err
	}
	var pins []holders.Pin
	for _, p := range q.Pins {
		pins = append(pins, holders.Pin{Kind: holders.Kind(p.Kind), PID: p.PID, TID: p.TID, FD: p.FD})
	}
	fd, err := census.Open(context.Background(), q.Proc, mounts.Namespace{Inode: q.Inode, ID: q.ID}, pins)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	e := json.NewEncoder(out)
	return nsfs.Inside(fd, func() error {
		for _, m := range q.Mounts {
			l := lockLine{ID: m.ID}
			var err error
			if l.Locked, err = probe.Locked(probe.Mount{ID: m.ID, Point: string(m.Point)}); err != nil {
				l.Err = err.Error()
			}
			if err := e.Encode(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// AskRule finds out whether this kernel unmounts as before Linux 6.17. That is more
// than looking: a child process mounts and unmounts in a mount namespace of its own
// ([probe.Older]).
func AskRule(ctx context.Context, child Child, proc string) (older bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, ruleLimit)
	defer cancel()
	text, err := child(ctx, "unmount-rule", proc)
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, &older); err != nil {
		return false, fmt.Errorf("the answer of a child process: %w", err)
	}
	return older, nil
}

// childRule is the child's side.
func childRule(out io.Writer, proc string) error {
	older, err := probe.Older(proc)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(older)
}
