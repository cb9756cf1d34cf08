package plan

import (
	"fmt"

	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

const makePrivateThenUnmount = "make-private-then-unmount"

// privateStep plans the unmount of what would take a live mount along: its parent
// is made private first, so that the unmount is told to nobody.
func privateStep(h *snapshot.Host, p holding.Place) (Step, []holding.Loss) {
	s := unmountStep(h, p)
	s.Action, s.Risk = makePrivateThenUnmount, "disruptive"
	parent, toll, err := holding.BlastPrivate(h, p.Mount.ID)
	if s.Refused = barrier(toll, err); s.Refused != "" {
		return s, nil
	}
	on := mountTarget(parent)
	s.Parent = &on
	s.Does = fmt.Sprintf("make mount %d on %s private, so that no other namespace is told; then %s", on.Mount, on.Path, s.Does)
	s.Command = inside(h, p.Namespace, "mount --make-private "+quote(on.Path), "umount "+quote(s.Target.Path))
	s.Target.Mounts = ids(toll.Goes)
	s.Holds = append(s.Holds, fmt.Sprintf("mount %d on %s is still what it is mounted on, and nobody receives from that", on.Mount, on.Path))
	s.Affects = append(s.Affects, fmt.Sprintf("what others mount or unmount on %s is not seen in this namespace any more, until its processes are started anew", on.Path))
	return s, toll.Goes
}
