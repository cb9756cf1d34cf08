package snapshot

// Mounts are all mounts of all mount namespaces, and who keeps them.
type Mounts struct {
	Way        string           `json:"way"`             // statmount, mountinfo
	BPF        bool             `json:"bpf,omitempty"`   // with the numbers of most read by a BPF program
	NoBPF      string           `json:"noBPF,omitempty"` // why not, on a host large enough for that
	Why        string           `json:"why,omitempty"`   // why not a better way
	Blind      string           `json:"blind,omitempty"` // what this way sees on no host
	Settled    bool             `json:"settled"`         // read twice, and equal
	Namespaces []MountNamespace `json:"namespaces"`      // by inode
	References []Reference      `json:"references,omitempty"`
	Blocks     []Block          `json:"blocks,omitempty"`
	Swaps      []string         `json:"swaps,omitempty"` // files and devices that are swapped to
	Most       int              `json:"most,omitempty"`  // fs.mount-max: mounts that one namespace can have
}

// A MountNamespace is one namespace and what is mounted in it.
type MountNamespace struct {
	Inode  uint64  `json:"inode"`           // as in "mnt:[4026532570]"; used again after its end
	ID     uint64  `json:"id,omitempty"`    // never used again; Linux 6.11
	Owner  uint64  `json:"owner,omitempty"` // inode of its user namespace; 0 not known
	Mounts []Mount `json:"mounts"`
	Pins   []Pin   `json:"pins,omitempty"` // what keeps it; none: nothing that has a name
}

// A Mount is one mount of one namespace. Paths and options may hold any byte.
type Mount struct {
	ID         uint64 `json:"id"` // unique (Linux 6.8), else that of mountinfo
	Parent     uint64 `json:"parent"`
	OldID      int    `json:"oldID,omitempty"`  // as mountinfo has it
	Shared     uint64 `json:"shared,omitempty"` // peer group
	Master     uint64 `json:"master,omitempty"` // peer group that it receives from
	Unbindable bool   `json:"unbindable,omitempty"`
	Device     string `json:"device"`          // of the superblock, "8:16"
	Root       string `json:"root,omitempty"`  // the part of the file system that is mounted
	Point      string `json:"point,omitempty"` // below the root of its namespace
	Type       string `json:"type,omitempty"`
	Source     string `json:"source,omitempty"`
	Super      string `json:"super,omitempty"` // options of the superblock, escaped as mountinfo has them
}

// A Pin is one thing that keeps a mount namespace alive.
type Pin struct {
	Kind      string `json:"kind"` // process, thread, bind, fd
	PID       int    `json:"pid,omitempty"`
	TID       int    `json:"tid,omitempty"`
	FD        int    `json:"fd,omitempty"`
	Path      string `json:"path,omitempty"`      // bind: where the namespace's file is mounted
	Namespace uint64 `json:"namespace,omitempty"` // bind: inode of the namespace that has that mount
}

// A Reference is what a process holds of a mount: an open file, a directory, a mapping.
type Reference struct {
	PID    int    `json:"pid"`
	TID    int    `json:"tid,omitempty"`
	Kind   string `json:"kind"` // fd, cwd, root, exe, mmap, iouring
	FD     int    `json:"fd,omitempty"`
	Mount  uint64 `json:"mount,omitempty"` // as [Mount.ID], or OldID before Linux 6.8
	Device string `json:"device"`
	Inode  uint64 `json:"inode"`
	Link   string `json:"link"`            // path below the root of the mount, or of the process
	Layer  string `json:"layer,omitempty"` // a directory of an overlay that this file was proved to be in
}

// A Block is a block device that something of ours may stand on.
type Block struct {
	Name    string   `json:"name"`              // loop0, dm-3, rbd0
	Device  string   `json:"device"`            // "7:0"
	DM      string   `json:"dm,omitempty"`      // name of device mapper's
	Backing string   `json:"backing,omitempty"` // of a loop device: its file
	Holders []string `json:"holders,omitempty"` // devices that are made of it
	Alive   []string `json:"alive,omitempty"`   // /sys/fs/TYPE/NAME exists: the file system is mounted somewhere
}

// Mount returns the mount with this id, nil if it is in no namespace that was
// read. Ids of mountinfo count, too.
func (h *Host) Mount(id uint64) *Mount {
	at, listed := h.mounts()[id]
	const firstUnique = 1 << 31 // below are those of mountinfo
	if !listed && id < firstUnique {
		at, listed = Derived(h, indexOldIDs)[id]
	}
	if !listed {
		return nil
	}
	return &h.Mounts.Namespaces[at.space].Mounts[at.mount]
}

// MountNamespaceOf returns the mount namespace that a process's first thread is
// in, nil if that was not read.
func (h *Host) MountNamespaceOf(pid int) *MountNamespace { return h.build().spaces[pid] }

// A spot is a mount by its numbers in the tables: small, and nothing for the garbage
// collector to follow.
type spot struct{ space, mount int32 }

// mounts are where each mount is, by id.
func (h *Host) mounts() map[uint64]spot {
	x := &h.index
	x.mountsOnce.Do(func() {
		if h.Mounts != nil {
			x.mounts = h.Mounts.by(func(m *Mount) uint64 { return m.ID })
		}
	})
	return x.mounts
}

// oldIDs are where each mount is, by the id that mountinfo has for it.
type oldIDs map[uint64]spot

func indexOldIDs(h *Host) oldIDs {
	if h.Mounts == nil {
		return nil
	}
	return h.Mounts.by(func(m *Mount) uint64 { return uint64(m.OldID) })
}

// by indexes the mounts that have a number.
func (all *Mounts) by(number func(*Mount) uint64) map[uint64]spot {
	n := 0
	for i := range all.Namespaces {
		n += len(all.Namespaces[i].Mounts)
	}
	out := make(map[uint64]spot, n)
	for i := range all.Namespaces {
		for k := range all.Namespaces[i].Mounts {
			if id := number(&all.Namespaces[i].Mounts[k]); id != 0 {
				out[id] = spot{int32(i), int32(k)}
			}
		}
	}
	return out
}

func indexSpaces(all *Mounts) map[int]*MountNamespace {
	out := map[int]*MountNamespace{}
	if all == nil {
		return out
	}
	for i := range all.Namespaces {
		ns := &all.Namespaces[i]
		for _, p := range ns.Pins {
			if p.Kind == "process" && out[p.PID] == nil {
				out[p.PID] = ns
			}
		}
	}
	return out
}
