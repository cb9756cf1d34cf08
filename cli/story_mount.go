package cli

import (
	"fmt"
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
	var names []string
	for _, h := range held[:min(3, len(held))] {
		names = append(names, holding.Who(v.now, h)+" ("+h.Kind+")")
	}
	s := "It is held by " + strings.Join(names, ", ")
	if more := len(held) - 3; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return []string{s + "."}
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
