package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sexton.dev/holding"
	"sexton.dev/propagation/verdict"
	"sexton.dev/snapshot"
)

// hostPropagation answers from a host's own mounts, all of them.
func (s *session) hostPropagation(ctx context.Context, f *propagationFlags, q verdict.Question, r *propagationReport) error {
	f.host.interval = 0
	parts := []snapshot.Part{snapshot.MountTables, snapshot.References, snapshot.Processes, snapshot.Places}
	_, now, err := s.look(ctx, &f.host, parts)
	if err != nil {
		return err
	}
	if now.Mounts == nil {
		why := "the recording has no mounts"
		for _, u := range now.Unread {
			if u.Part == snapshot.MountTables {
				why = u.Err
			}
		}
		return withHint(errors.New("the mounts of this host cannot be read: "+why), "as root; or --mountinfo NAME=FILE")
	}
	t := search(now, q.Target, f.host.follow).In(now)
	if len(t.Mounts) == 0 {
		return withHint(fmt.Errorf("%q is not mounted in any of %d mount namespaces", q.Target, len(now.Mounts.Namespaces)), "sexton holders "+q.Target)
	}
	q.Complete = true
	q.Sides = hostSides(now, t, t.Word)
	if q.From, err = chosenSides(now, q.Sides, q.From); err != nil {
		return err
	}
	if r.Rule == nil {
		q.Older = holding.Older(now.Kernel)
		r.Rule = ruleOf(q.Older, "release")
	}
	table, problems := holding.Table(now.Mounts)
	q.Unsure = holding.Unsure(now.Mounts)
	q.Users = usersOf(now, t)
	var unasked []snapshot.Unread
	if f.probe.locks {
		table, unasked = probeLocks(ctx, &f.host, now.Mounts, table, &q)
	}
	r.Answer = verdict.Judge(table, q)
	if !now.Mounts.Settled {
		r.Unknown = append(r.Unknown, "mounts came and went while they were read: the answer is of no one moment")
	}
	if now.Mounts.Blind != "" {
		r.Unknown = append(r.Unknown, now.Mounts.Blind)
	}
	for _, p := range problems[:min(5, len(problems))] {
		r.Unknown = append(r.Unknown, fmt.Sprintf("mount %d: %s", p.Mount, p.Text))
	}
	for _, u := range append(now.Unread, unasked...) {
		lack := u.Path + ": " + u.Err
		if (u.Part == snapshot.MountTables || u.Part == snapshot.References && !f.lazy || u.Part == snapshot.Processes && u.Whole) && !slices.Contains(r.Unknown, lack) {
			r.Unknown = append(r.Unknown, lack)
		}
	}
	return nil
}

// usersOf says who uses each mount of a target: what is open on it, and for the
// host's own also what stands on a file of it, which is known by its path alone.
func usersOf(h *snapshot.Host, t holding.Target) map[uint64]string {
	out := map[uint64]string{}
	for i, p := range t.Mounts {
		var users []string
		for _, u := range holding.Of(h, holding.Target{Word: t.Word, Mounts: []holding.Place{p}}) {
			on := u.MountID == p.Mount.ID && slices.Contains([]string{"fd", "cwd", "root", "mmap", "iouring"}, u.Kind)
			if on || i == 0 && (u.Kind == "loop" || u.Kind == "swap") {
				who := u.Path // of what the kernel itself keeps open
				if u.PID != 0 {
					who = holding.Who(h, u)
				}
				users = append(users, who+" ("+u.Kind+")")
			}
		}
		if n := len(users); n > 0 {
			out[p.Mount.ID] = strings.Join(users[:min(3, n)], ", ")
			if n > 3 {
				out[p.Mount.ID] += fmt.Sprintf(" and %d more", n-3)
			}
		}
	}
	return out
}

// hostSides are the namespaces that have the target, the host's own first.
func hostSides(h *snapshot.Host, t holding.Target, word string) []verdict.Side {
	var sides []verdict.Side
	for _, p := range t.Mounts {
		i := slices.IndexFunc(sides, func(s verdict.Side) bool { return s.Namespace == p.Namespace.Inode })
		if i < 0 {
			i = len(sides)
			sides = append(sides, verdict.Side{Name: sideName(h, p.Namespace), Namespace: p.Namespace.Inode, Whole: true})
		}
		sides[i].Targets = append(sides[i].Targets, p.Mount.ID)
		if last := len(sides[i].Targets) - 1; p.Mount.Point != word && last > 0 { // what the path means is the last
			sides[i].Targets[last], sides[i].Targets[0] = sides[i].Targets[0], sides[i].Targets[last]
		}
	}
	lowest := func(s verdict.Side) int {
		for i := range h.Mounts.Namespaces {
			if ns := &h.Mounts.Namespaces[i]; ns.Inode == s.Namespace {
				if p := holding.Pinned(h, ns); p.Kind == "process" {
					return p.PID
				}
			}
		}
		return 1 << 30
	}
	slices.SortStableFunc(sides, func(a, b verdict.Side) int { return cmp.Compare(lowest(a), lowest(b)) })
	return sides
}

// sideName is a namespace with who lives in it.
func sideName(h *snapshot.Host, ns *snapshot.MountNamespace) string {
	name := fmt.Sprintf("mnt:[%d]", ns.Inode)
	p := holding.Pinned(h, ns)
	if process := h.Process(p.PID); process != nil {
		name += fmt.Sprintf(" (%s %d)", process.Comm, p.PID)
	}
	return name
}

// chosenSides finds the sides that --in names: by inode or by a process in it.
func chosenSides(h *snapshot.Host, sides []verdict.Side, words []string) ([]string, error) {
	var out []string
	for _, word := range words {
		number, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(word, "mnt:["), "]"), 10, 64)
		if err != nil {
			return nil, withHint(wrongUse{fmt.Errorf("--in %q", word)}, "--in PID, or the number of mnt:[NUMBER]")
		}
		inode := number
		for i := range h.Mounts.Namespaces {
			ns := &h.Mounts.Namespaces[i]
			if slices.ContainsFunc(ns.Pins, func(p snapshot.Pin) bool { return p.Kind == "process" && uint64(p.PID) == number }) {
				inode = ns.Inode
			}
		}
		i := slices.IndexFunc(sides, func(s verdict.Side) bool { return s.Namespace == inode })
		if i < 0 {
			return nil, withHint(fmt.Errorf("in the mount namespace of %s it is not mounted", word), "one of "+sides[0].Name+" and "+fmt.Sprint(len(sides)-1)+" more")
		}
		out = append(out, sides[i].Name)
	}
	return out, nil
}
