package thinpoolspace

import (
	"cmp"
	"fmt"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// grows says whether a pool grows by itself, as far as LVM's files tell, and where that stands.
func grows(h *snapshot.Host, pool string) (string, *check.Evidence) {
	group, volume := h.Pools.Volume(pool)
	if group == nil {
		if lvm := h.Pools.LVM; lvm == nil || len(lvm.Groups) == 0 {
			return "Nothing makes it grow: LVM keeps no volume group here", nil
		}
		return "Nothing makes it grow: no pool of LVM's has this name", nil
	}
	lvm := h.Pools.LVM
	threshold, by, where := lvm.Threshold, lvm.Percent, "/etc/lvm/lvm.conf"
	for _, profile := range lvm.Profiles {
		if profile.Name == volume.Profile {
			threshold, by, where = profile.Threshold, cmp.Or(profile.Percent, by), "/etc/lvm/profile/"+profile.Name+".profile"
		}
	}
	if threshold == 0 || threshold >= 100 {
		said := map[bool]string{true: "not set, so 100", false: "100"}[threshold == 0] // lvm.conf(5)
		return fmt.Sprintf("LVM does not make it grow: thin_pool_autoextend_threshold is %s for %s/%s", said, group.Name, volume.Name),
			&check.Evidence{Source: where, Text: "activation/thin_pool_autoextend_threshold is " + said}
	}
	e := &check.Evidence{Source: where, Text: fmt.Sprintf("activation/thin_pool_autoextend_threshold = %d, thin_pool_autoextend_percent = %d", threshold, cmp.Or(by, 20))}
	text := fmt.Sprintf("LVM is told to make %s/%s grow from %d %% on", group.Name, volume.Name, threshold)
	if !runs(h, "dmeventd") {
		return text + ", but dmeventd, which does it, does not run", e
	}
	return text + ": where it is fuller, its volume group has no room, or it is not monitored", e
}

func runs(h *snapshot.Host, comm string) bool {
	for i := range h.Processes {
		if p := &h.Processes[i]; p.Comm == comm && p.Container == "" && !p.Zombie() {
			return true
		}
	}
	return false
}

// advice is what a person can do.
func advice(h *snapshot.Host, m *snapshot.Mapped, s state) []string {
	volume := "GROUP/POOL"
	group, pool := h.Pools.Volume(m.Name)
	if group != nil {
		volume = group.Name + "/" + pool.Name
	}
	if s.repair {
		return []string{
			"first save what can still be read, and the metadata: stop the daemons that use the pool, unmount its file systems, copy the metadata device (dd) somewhere else",
			"then look at it: thin_check of the metadata device; of an LVM pool: lvchange -an " + volume + ", lvconvert --repair " + volume + ", which keeps the old metadata as a volume of its own",
			"why its metadata could not be written is in the kernel log: sexton kmsg",
		}
	}
	out := []string{"make it larger: lvextend -L +SIZE " + volume + ", and for its metadata lvextend --poolmetadatasize +SIZE " + volume + "; writes that wait go on at once"}
	if group == nil {
		out[0] = "make it larger: grow the device of its data, then load a longer table; writes that wait go on at once; of an LVM pool: lvextend"
	}
	if m.Pool.Mode == "out_of_data_space" {
		out = append(out, "or delete a thin device that nobody needs, with all that is in it: dmsetup message "+m.Name+" 0 'delete ID'; writes that wait go on at once")
		if m.Pool.Queues {
			how := "load its table (dmsetup table " + m.Name + ") with error_if_no_space, suspend and resume it"
			if group != nil {
				how = "lvchange --errorwhenfull y " + volume
			}
			out = append(out, "or let what waits fail now, as no_space_timeout would: "+how+"; file systems on it then turn read-only or lose what was not written")
		}
	}
	out = append(out, "give back what is not used: remove containers and images, and run fstrim on each file system that stays: deleted files are not given back by themselves")
	if group != nil {
		out = append(out, "let it grow by itself: activation/thin_pool_autoextend_threshold = 80 in the pool's profile, with room in "+group.Name+" and lvchange --monitor y "+volume)
	}
	return out
}
