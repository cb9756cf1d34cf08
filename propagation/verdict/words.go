package verdict

import (
	"cmp"
	"fmt"

	"sexton.dev/propagation"
)

// likely is said of a verdict that other locks would change.
const likely = "; likely only: it depends on which mounts are locked, and no table shows that"

// name is a mount as people find it in mountinfo.
func name(m propagation.Mount) string { return m.Point }

// withGroups is the kind of a mount with its groups.
func withGroups(m propagation.Mount) string {
	text := cmp.Or(propagation.Tags(m.Peer, m.Master), "private")
	if m.Peer == 0 && m.Master != 0 {
		text = "a slave, " + text
	}
	return text
}

func (j *judge) goes(f propagation.Fate, to Side) string {
	by, ok := j.t.Mount(f.By)
	parent, is := j.above(f.Of) // with --detach that may be one below the target
	if !ok || !is || f.Why != propagation.Received {
		return "it goes along with what it is mounted on"
	}
	if by.Peer == parent.Peer {
		return fmt.Sprintf("its parent in %s, %s, is in the peer group of the parent, %d", to.Name, name(by), parent.Peer)
	}
	return fmt.Sprintf("its parent in %s, %s, is %s: it receives from group %d", to.Name, name(by), withGroups(by), parent.Peer)
}

func (j *judge) stays(f propagation.Fate, parent propagation.Mount, to Side) string {
	by, _ := j.t.Mount(f.By)
	switch f.Why {
	case propagation.Private:
		return fmt.Sprintf("the parent, %s, is %s: an unmount on it is told to nobody", name(by), withGroups(by))
	case propagation.NotReceiver:
		return fmt.Sprintf("its parent in %s, %s, is %s: it receives nothing from group %d", to.Name, name(by), withGroups(by), parent.Peer)
	case propagation.Locked:
		is := "is"
		if j.q.Unsure[f.Mount] {
			is = "is likely"
		}
		return fmt.Sprintf("it %s locked to its parent in %s, %s, which stays (another user namespace)", is, to.Name, name(by))
	case propagation.Elsewhere:
		return fmt.Sprintf("in %s it is mounted at another place, as a bind is: an unmount of the original is told to copies at the same place only", to.Name)
	case propagation.Root:
		return fmt.Sprintf("it is the root of %s", to.Name)
	}
	return string(f.Why)
}

func submount(to Side, by propagation.Mount) string {
	return fmt.Sprintf("in %s, %s is mounted on it and stays", to.Name, name(by))
}

func busy(by propagation.Mount) string {
	return fmt.Sprintf("the unmount fails (EBUSY): %s is mounted on it; --detach takes both", name(by))
}

// errnos are the names of the errors that an unmount fails with.
var errnos = map[int]string{1: "EPERM", 16: "EBUSY", 22: "EINVAL"}

// in is " in NAMESPACE", of a mount of a side.
func (j *judge) in(m propagation.Mount) string {
	for _, s := range j.q.Sides {
		if s.Namespace == m.Namespace {
			return " in " + s.Name
		}
	}
	return ""
}

// refused says why the unmount itself fails.
func (j *judge) refused(e propagation.Effect) string {
	const ebusy, einval = 16, 22
	by, _ := j.t.Mount(e.Refused.By)
	about, _ := j.t.Mount(e.Refused.Mount)
	switch {
	case e.Errno == ebusy && e.Refused.Why == propagation.Submount:
		return busy(by)
	case e.Errno == ebusy:
		return fmt.Sprintf("the unmount fails (EBUSY): %s%s is in use by %s; --detach does not ask", name(about), j.in(about), j.q.Users[about.ID])
	case e.Errno == einval && e.Refused.Why == propagation.Locked && j.q.Unsure[e.Refused.Mount]:
		return "the unmount likely fails (EINVAL): it is likely locked, as what comes with its parent from a more privileged user namespace is"
	case e.Errno == einval && e.Refused.Why == propagation.Locked:
		return "the unmount fails (EINVAL): it is locked, it came from a more privileged user namespace with its parent"
	case e.Refused.Why == propagation.Root:
		return "it is the root of its namespace, which sexton never unmounts"
	}
	return fmt.Sprintf("the unmount fails (errno %d): %s", e.Errno, e.Refused.Why)
}
