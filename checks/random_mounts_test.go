package checks

import (
	"math/rand/v2"

	"sexton.dev/snapshot"
)

// randomMounts makes mount tables of few devices and places, so that they meet:
// parents that are missing, in other namespaces or each other's, namespaces that
// nothing keeps, references to what is nowhere.
func randomMounts(r *rand.Rand) *snapshot.Mounts {
	const layer = "/overlay2/4e09fa6803feab9d96fe72a44fb83d757c1788812ff60071ac2e62a5cf14cd97/merged"
	devices := []string{"8:3", "0:1", "0:2", "0:3", "252:0", ""}
	points := []string{"/", "/", "/var/lib/docker" + layer, "/host/var/lib/docker" + layer, "/containers/4e09fa6803feab9d96fe72a44fb83d757c1788812ff60071ac2e62a5cf14cd97/shm", "/dev/shm", "/x\x1b[2J\n", "",
		"/var/lib/kubelet/pods/1b2c3d4e-1111-2222-3333-444455556666/volumes/kubernetes.io~csi/pv/mount"}
	all := &snapshot.Mounts{Way: "statmount", Settled: r.IntN(2) == 0, Most: r.IntN(30)}
	id := uint64(100)
	for inode := range uint64(r.IntN(6)) {
		ns := snapshot.MountNamespace{Inode: inode + 1, ID: inode * r.Uint64N(2), Owner: 0xEFFFFFFD - r.Uint64N(2)}
		first := id
		for range r.IntN(9) {
			id++
			m := snapshot.Mount{ID: id, Parent: pick(r, first+1, id-1, id, 100+r.Uint64N(40)), OldID: r.IntN(3) * int(id), Shared: r.Uint64N(4), Master: r.Uint64N(4),
				Device: pick(r, devices...), Root: pick(r, "/", "/", "/sub", "/a//deleted"), Point: pick(r, points...),
				Type: pick(r, "overlay", "tmpfs", "nsfs", "ext4"), Source: pick(r, "", "overlay", "/dev/rbd0"), Super: pick(r, "", "rw,lowerdir=/a:/b,upperdir=/x/y/diff")}
			ns.Mounts = append(ns.Mounts, m)
			for range r.IntN(2) * r.IntN(6) { // the same again, on itself
				id++
				m.ID, m.Parent = id, id-1
				ns.Mounts = append(ns.Mounts, m)
			}
		}
		for range r.IntN(4) {
			ns.Pins = append(ns.Pins, snapshot.Pin{Kind: pick(r, "process", "process", "process", "thread", "bind", "fd", "socket", "?"), PID: r.IntN(25), TID: r.IntN(3), FD: r.IntN(3), Path: pick(r, "", "/run/ns"), Namespace: r.Uint64N(6)})
		}
		all.Namespaces = append(all.Namespaces, ns)
	}
	for range r.IntN(12) {
		all.References = append(all.References, snapshot.Reference{PID: r.IntN(25), TID: r.IntN(2), Kind: pick(r, "fd", "cwd", "root", "exe", "mmap", "iouring"), FD: r.IntN(4),
			Mount: pick(r, 0, 100+r.Uint64N(40), 9000+r.Uint64N(3)), Device: pick(r, "0:2", "0:9", "252:0", "7:1"), Link: pick(r, "/", "/held", "\xff")})
	}
	for _, name := range []string{"rbd0", "loop1", "dm-0"} {
		if r.IntN(2) == 0 {
			all.Blocks = append(all.Blocks, snapshot.Block{Name: name, Device: pick(r, "252:0", "7:1", "8:3"), DM: pick(r, "", "pool"), Backing: pick(r, "", "/sub/disk", "/x (deleted)"), Holders: pick(r, nil, []string{"dm-1"}), Alive: pick(r, nil, []string{"ext4"})})
		}
	}
	all.Swaps = pick(r, nil, []string{"/swap", "/dev/rbd0"})
	return all
}
