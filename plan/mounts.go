package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

// unmount plans the end of every copy of a finding's superblock, the deepest ones
// first. What goes along with one by propagation needs no step of its own.
func unmount(h *snapshot.Host, f check.Finding, _ check.Remedy) (out []Step) {
	if h.Mounts == nil {
		return nil
	}
	todo := holding.MapOf(h).OnDevice(f.Subject.Device).Mounts
	if f.Check == "busy-mount" {
		todo = submounts(h, f)
	}
	todo = slices.Clone(todo)
	slices.SortStableFunc(todo, func(a, b holding.Place) int {
		return cmp.Compare(strings.Count(b.Mount.Point, "/"), strings.Count(a.Mount.Point, "/"))
	})
	gone := map[uint64]bool{}
	for _, p := range todo {
		if gone[p.Mount.ID] {
			continue
		}
		s, goes := unmountOne(h, p)
		s = perishing(h, s, goes, todo)
		for _, l := range goes {
			gone[l.Mount.ID] = true
			if l.Mount.ID != p.Mount.ID {
				s.Affects = append(s.Affects, fmt.Sprintf("mount %d on %s in mnt:[%d] goes along by propagation", l.Mount.ID, l.Mount.Point, l.Namespace.Inode))
			}
		}
		out = append(out, s)
	}
	return out
}

// unmountOne plans the end of one mount, and tells what goes by it: nothing if it
// is refused.
func unmountOne(h *snapshot.Host, p holding.Place) (Step, []holding.Loss) {
	s := unmountStep(h, p)
	toll, err := holding.Blast(h, p.Mount.ID, false)
	if s.Refused = barrier(toll, err); s.Refused == "" {
		s.Target.Mounts = ids(toll.Goes)
		return s, toll.Goes
	}
	live := toll.Live()
	if !toll.ByCopy && (len(live) == 0 || live[0].Mount == p.Mount) {
		return s, nil // it is missed, or used, itself
	}
	apart, goes := privateStep(h, p)
	if apart.Refused == "" {
		return apart, goes
	}
	s.Refused += "; and with its parent made private first: " + apart.Refused
	return s, nil
}

// perishing marks a step that takes the last mount of what is only in memory, if it is
// done with those for the rest of a finding.
func perishing(h *snapshot.Host, s Step, goes []holding.Loss, todo []holding.Place) Step {
	if m := holding.MapOf(h).Perishes(goes, todo); m != nil {
		s.Risk = "destructive"
		s.Affects = append(s.Affects, fmt.Sprintf("what is in %s is only in memory (%s), and is lost with its last mount: copy it out first, if anybody needs it", m.Point, m.Type))
	}
	return s
}

func ids(goes []holding.Loss) (out []uint64) {
	for _, l := range goes {
		out = append(out, l.Mount.ID)
	}
	slices.Sort(out)
	return out
}

// renewUnmount plans the end of a step's mount, which is without an action if a plain
// unmount will do.
func renewUnmount(h *snapshot.Host, s Step) []Step {
	m := h.Mount(s.Target.Mount)
	if m == nil {
		return nil
	}
	now, goes := unmountOne(h, holding.Place{Namespace: holding.MapOf(h).In(m), Mount: m})
	now = perishing(h, now, goes, nil)
	now.Action = cmp.Or(now.Action, "unmount-in-namespace")
	return []Step{now}
}

// barrier says why what takes this toll must not be done, "" if it may.
func barrier(toll holding.Toll, err error) string {
	switch live := toll.Live(); {
	case err != nil:
		return err.Error()
	case toll.Refused != "" && toll.Instead != "":
		return toll.Refused + "; " + toll.Instead
	case toll.Refused != "":
		return toll.Refused
	case len(live) > 0:
		l := live[0]
		return fmt.Sprintf("mount %d on %s in mnt:[%d] would go along, and %s; leave it until nobody needs that, or end who does", l.Mount.ID, l.Mount.Point, l.Namespace.Inode, l.Live)
	}
	return ""
}

// submounts are the mounts that keep a mount busy by being on it.
func submounts(h *snapshot.Host, f check.Finding) (out []holding.Place) {
	for _, holder := range f.Holders {
		if m := h.Mount(holder.MountID); holder.Kind == "submount" && m != nil {
			out = append(out, holding.Place{Namespace: holding.MapOf(h).In(m), Mount: m})
		}
	}
	return out
}

func unmountStep(h *snapshot.Host, p holding.Place) Step {
	t := mountTarget(p)
	in := holding.Name(h, holding.Pinned(h, p.Namespace))
	return Step{
		Does:    fmt.Sprintf("unmount %s (%s, mount %d) in the mount namespace of %s", t.Path, t.Device, t.Mount, holding.Who(h, in)),
		Command: inside(h, p.Namespace, "umount "+quote(t.Path)),
		Target:  t,
		Holds: []string{fmt.Sprintf("the mount on that path is still mount %d of %s", t.Mount, t.Device), "nothing uses it and nothing is mounted on it",
			"no mount that somebody uses would go along, in any mount namespace"},
		Then: []string{fmt.Sprintf("mount %d is in no mount namespace", t.Mount)},
	}
}

func mountTarget(p holding.Place) check.Target {
	return check.Target{Kind: "mount", Mount: p.Mount.ID, MountNamespace: p.Namespace.Inode, MountNamespaceID: p.Namespace.ID,
		Path: p.Mount.Point, Device: p.Mount.Device, Root: p.Mount.Root, Super: p.Mount.Super}
}

// inside is how a person does something in a mount namespace, "" where no path leads
// there: without one it would be done where the person is.
func inside(h *snapshot.Host, ns *snapshot.MountNamespace, acts ...string) string {
	var in string
	switch pin := holding.Pinned(h, ns); {
	case pin.Kind == "process":
		in = fmt.Sprintf("nsenter -t %d -m ", pin.PID)
	case pin.Kind == "thread":
		in = fmt.Sprintf("nsenter -m/proc/%d/task/%d/ns/mnt ", pin.PID, pin.TID)
	case pin.Kind == "fd":
		in = fmt.Sprintf("nsenter -m/proc/%d/fd/%d ", pin.PID, pin.FD)
	case pin.Kind == "bind" && pin.PID != 0: // the path is one of that process's namespace
		in = fmt.Sprintf("nsenter -m%s ", quote(fmt.Sprintf("/proc/%d/root%s", pin.PID, pin.Path)))
	default:
		return ""
	}
	return in + strings.Join(acts, " && "+in)
}

// quote is a word as a shell reads it.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:@%+,=", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	shown := func(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) }
	if utf8.ValidString(word) && !strings.ContainsFunc(word, func(r rune) bool { return !shown(r) }) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	var b strings.Builder // as bash reads it, and in one line
	for _, c := range []byte(word) {
		switch {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return "$'" + b.String() + "'"
}

func unmounted(h *snapshot.Host, s Step) (bool, string) {
	if h.Mounts == nil {
		return false, "the mounts were not read"
	}
	return h.Mount(s.Target.Mount) == nil, fmt.Sprintf("mount %d is still mounted", s.Target.Mount)
}
