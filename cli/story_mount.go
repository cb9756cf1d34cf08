package cli

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/propagation/verdict"
)

// mountStory tells what a mount or device is, who holds it and what an unmount
// in the namespace nearest to the first process would do.
func (v *sight) mountStory(t *holding.Target) string {
	if len(t.Mounts) == 0 {
		return strings.Join(append([]string{fmt.Sprintf("%s is mounted in no mount namespace.", t.Word)}, v.holderStory(t)...), " ")
	}
	spaces := map[uint64]bool{}
	for _, p := range t.Mounts {
		spaces[p.Namespace.Inode] = true
	}
	m := t.Mounts[0].Mount
	s := []string{fmt.Sprintf("%s is %s on device %s (%s), mounted %s in %s.", t.Word, m.Type, m.Device, m.Source,
		check.Count(len(t.Mounts), "time"), check.Count(len(spaces), "mount namespace"))}
	s = append(s, v.holderStory(t)...)
	return strings.Join(append(s, v.unmountStory(t)...), " ")
}

func (v *sight) holderStory(t *holding.Target) []string {
	held := holding.Of(v.now, *t)
	if len(held) == 0 {
		return []string{"Nobody holds it."}
	}
	return []string{"It is " + v.keepers(held, false) + "."}
}

// keepers names the first of those that have a mount in their namespace, and the
// first of those that use it: the many of the one kind do not hide the other. A
// plain unmount fails on who uses it.
func (v *sight) keepers(held []check.Holder, usersFirst bool) string {
	var have, use []check.Holder
	for _, h := range held {
		switch h.Kind {
		case "process", "thread", "bind", "socket", "unknown":
			have = append(have, h)
		default:
			use = append(use, h)
		}
	}
	var parts []string
	for _, part := range []struct {
		verb    string
		holders []check.Holder
	}{{"held by", have}, {"in use by", use}} {
		if len(part.holders) > 0 {
			parts = append(parts, part.verb+" "+v.first(part.holders))
		}
	}
	if usersFirst {
		slices.Reverse(parts)
	}
	return strings.Join(parts, "; ")
}

// first names three holders and counts the rest.
func (v *sight) first(holders []check.Holder) string {
	const most = 3
	var names []string
	for _, h := range holders[:min(most, len(holders))] {
		text := holding.Who(v.now, h) + " (" + h.Kind + ")"
		if h.MountNamespace != 0 {
			text += fmt.Sprintf(" in mnt:[%d]", h.MountNamespace)
		}
		names = append(names, text)
	}
	s := strings.Join(names, ", ")
	if more := len(holders) - most; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// unmountStory is what an unmount in the first namespace that has it would do.
func (v *sight) unmountStory(t *holding.Target) []string {
	q := verdict.Question{Target: t.Word, Sides: hostSides(v.now, *t, t.Word), Complete: true, Older: holding.Older(v.now.Kernel), Unsure: holding.Unsure(v.now.Mounts)}
	if len(q.Sides) < 2 {
		return nil
	}
	q.From = []string{q.Sides[0].Name}
	table, _ := holding.Table(v.now.Mounts)
	goes, stays, why := 0, 0, ""
	for _, p := range verdict.Judge(table, q).Verdicts {
		switch p.Verdict {
		case verdict.Goes:
			goes++
		case verdict.Stays:
			if stays++; why == "" {
				why = fmt.Sprintf("in %s it stays: %s", p.To, p.Why)
			}
		}
	}
	s := fmt.Sprintf("An unmount in %s would take the copies in %d of %d other namespaces along", q.From[0], goes, goes+stays)
	if why != "" {
		s += "; " + why
	}
	return []string{sentence(s), "More: sexton propagation " + t.Word + "."}
}
