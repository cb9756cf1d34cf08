package collect

import (
	"slices"
	"strings"

	"sexton.dev/snapshot"
)

// blocks reads what stands on block devices: loop devices' files, device mapper
// names, holders, and which devices have a file system that is mounted somewhere.
//
// Source: Documentation/ABI/testing/sysfs-block, sysfs-fs-ext4, sysfs-fs-xfs.
func (l *looker) blocks(table *snapshot.Mounts) {
	alive := map[string][]string{} // by the device's name
	types, _ := l.ReadDir("/sys/fs")
	for _, kind := range types {
		if !slices.Contains([]string{"ext4", "xfs", "f2fs", "bcachefs", "nilfs2"}, kind) {
			continue
		}
		names, err := l.ReadDir("/sys/fs/" + kind)
		l.unread(snapshot.MountTables, "/sys/fs/"+kind, err)
		for _, name := range names {
			alive[name] = append(alive[name], kind)
		}
	}
	names, err := l.ReadDir("/sys/class/block")
	l.unread(snapshot.MountTables, "/sys/class/block", err)
	for _, name := range names {
		dir := "/sys/class/block/" + name
		b := snapshot.Block{Name: name, Device: l.text(dir + "/dev"), Alive: alive[name]}
		switch {
		case strings.HasPrefix(name, "loop"):
			if b.Backing = l.text(dir + "/loop/backing_file"); b.Backing == "" {
				continue // nothing is set up on it
			}
		case strings.HasPrefix(name, "dm-"):
			b.DM = l.text(dir + "/dm/name")
		}
		b.Holders, _ = l.ReadDir(dir + "/holders") // a partition has it too; none is no lack
		if b.Device != "" {
			table.Blocks = append(table.Blocks, b)
		}
	}
	swaps := strings.Split(l.text("/proc/swaps"), "\n")
	for _, line := range swaps[1:] {
		if path, _, ok := strings.Cut(line, " "); ok {
			table.Swaps = append(table.Swaps, path)
		}
	}
}
