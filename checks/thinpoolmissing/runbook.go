package thinpoolmissing

import (
	"cmp"
	"fmt"
	"strings"

	"sexton.dev/snapshot"
)

// runbook is what a person can do, in the order in which to try it.
func runbook(u snapshot.PoolUser, w place) []string {
	steps := []string{look(u, w), save(u, w)}
	if u.Daemon == "docker" {
		steps = append(steps, renew(u, w), force(u, w), "else leave devicemapper: docker removed it in version 25; overlay2 needs no pool, and an empty data root")
	} else {
		steps = append(steps, "a new pool of that name ends it, and destroys nothing more than is lost already: every snapshot of the old one. Remove "+
			cmp.Or(u.Root, "root_path of the snapshotter")+" with it: its records are of the old pool")
	}
	for i := range steps {
		steps[i] = fmt.Sprintf("%d. %s", i+1, steps[i])
	}
	return append(steps, "sexton does none of this: which data is still wanted no program can tell")
}

// name is how LVM's commands name the volume.
func (w place) name() string {
	if w.group == "" {
		return "GROUP/POOL"
	}
	return w.group + "/" + w.volume
}

// look is what destroys nothing.
func look(u snapshot.PoolUser, w place) string {
	if w.group == "" {
		return "destroys nothing, try it first: make the pool again by the command that made it, with the same devices for metadata and data, and start " + u.Daemon
	}
	text := fmt.Sprintf("destroys nothing, try it first: pvs; lvs -a %s; then vgchange -ay %s, and start %s", w.group, w.group, u.Daemon)
	if u.Daemon == "docker" {
		text += "; if the data root was changed, set it back to the one by which the pool was made"
	}
	if len(w.disks) > 0 {
		text += "; the group was on " + strings.Join(w.disks, " ") + ": is that disk there?"
	}
	return text
}

// save is what to do before any of the rest.
func save(u snapshot.PoolUser, w place) string {
	root := cmp.Or(u.Root, "the snapshotter's root_path")
	text := fmt.Sprintf("save before any of the rest: cp -a %s elsewhere", root)
	if u.Daemon == "docker" {
		text += " (volumes with data are in " + root + "/volumes, the names of images and containers beside them)"
	}
	if w.recorded {
		text += fmt.Sprintf("; vgcfgbackup -f FILE %s; the content of containers is in the pool alone: activate it and copy it out, or copy its disk by dd", w.group)
	}
	return text + "; images can be pulled again, the writable layers of containers cannot"
}

// renew is the first recovery: a new logical volume.
func renew(u snapshot.PoolUser, w place) string {
	return fmt.Sprintf("recovery A, a new pool in the same group: stop docker; move %s aside; lvremove %s; lvcreate --thin -L SIZE --poolmetadatasize 256m %s; start docker. "+
		"It destroys every image, every container's writable layer, and with the directory, were it deleted, the volumes", u.Root, w.name(), w.name())
}

// force is the second recovery: docker makes it.
func force(u snapshot.PoolUser, w place) string {
	disk := cmp.Or(u.Disk, "DISK")
	now := "set"
	if u.Force {
		now = "it is set already:"
	}
	text := fmt.Sprintf("recovery B, docker makes group and pool itself: stop docker; move %s aside; lvremove %s; vgremove %s; %s \"dm.directlvm_device=%s\" and \"dm.directlvm_device_force=true\" in storage-opts, without dm.thinpooldev; start docker, and set force back to false. "+
		"It destroys what A does, every other volume of the group, and whatever is on the disk", u.Root, w.name(), cmp.Or(w.group, "GROUP"), now, disk)
	return text
}
