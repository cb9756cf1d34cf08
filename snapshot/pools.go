package snapshot

import (
	"strings"
	"time"
)

// Pools are the devices of device-mapper, and who was told to use a thin pool.
type Pools struct {
	Loaded  bool       `json:"loaded"`            // the kernel has device-mapper: else there is no device
	Devices []Mapped   `json:"devices,omitempty"` // by number
	Partial bool       `json:"partial,omitempty"` // there may be more devices: not all could be asked in time
	Users   []PoolUser `json:"users,omitempty"`
	LVM     *LVM       `json:"lvm,omitempty"`     // nil: the host has no files of LVM
	Timeout *int       `json:"timeout,omitempty"` // no_space_timeout: seconds until a full pool that lets writes wait has them fail; 0: never; nil: not told
}

// A Mapped is one device of device-mapper.
type Mapped struct {
	Name      string   `json:"name"`
	UUID      string   `json:"uuid,omitempty"`
	Device    string   `json:"device"`             // "254:1"; used again after its end
	Open      int      `json:"open,omitempty"`     // mounts, devices on top of it, files
	Deferred  bool     `json:"deferred,omitempty"` // removed as soon as nobody has it open
	Suspended bool     `json:"suspended,omitempty"`
	Type      string   `json:"type,omitempty"`  // of its first target: thin-pool, thin, linear; "": it has no table
	Below     []string `json:"below,omitempty"` // the devices that it stands on
	Pool      *Pool    `json:"pool,omitempty"`
	Thin      *Thin    `json:"thin,omitempty"`
}

// A Pool is what a thin pool says of itself. In mode Fail and Error it says nothing else.
type Pool struct {
	Mode        string `json:"mode"` // rw, ro, out_of_data_space, Fail, Error; "" could not be read
	Transaction uint64 `json:"transaction,omitempty"`
	MetaUsed    uint64 `json:"metaUsed,omitempty"` // blocks of 4 KiB
	MetaTotal   uint64 `json:"metaTotal,omitempty"`
	DataUsed    uint64 `json:"dataUsed,omitempty"` // blocks
	DataTotal   uint64 `json:"dataTotal,omitempty"`
	Block       uint64 `json:"block,omitempty"`    // bytes
	LowWater    uint64 `json:"lowWater,omitempty"` // blocks: it tells when no more are free
	Queues      bool   `json:"queues,omitempty"`   // when it is full writes wait; else they fail
	TimedOut    bool   `json:"timedOut,omitempty"` // it is full and was told to let writes wait, but no_space_timeout is over: they fail
	NeedsCheck  bool   `json:"needsCheck,omitempty"`
	Holds       []Held `json:"holds,omitempty"`  // by id
	Listed      bool   `json:"listed,omitempty"` // Holds was read
}

// A Held is a thin device that a pool holds, mapped or not.
type Held struct {
	ID     uint64 `json:"id"`
	Blocks uint64 `json:"blocks"` // of the pool, shared ones too
}

// Has reports whether a pool whose devices were listed holds this one.
func (p *Pool) Has(id uint64) bool {
	for _, h := range p.Holds {
		if h.ID == id {
			return true
		}
	}
	return false
}

// A Thin is which device of which pool a mapped device is.
type Thin struct {
	Pool   string `json:"pool"` // its number
	ID     uint64 `json:"id"`
	Failed bool   `json:"failed,omitempty"`
}

// A PoolUser is a daemon that was told to use a pool.
type PoolUser struct {
	Daemon string `json:"daemon"`          // docker, containerd
	Pool   string `json:"pool"`            // name of the mapped device
	Said   string `json:"said"`            // where that stands, and how
	Root   string `json:"root,omitempty"`  // directory of what it keeps beside the pool
	Disk   string `json:"disk,omitempty"`  // docker makes the pool on it itself, dm.directlvm_device
	Force  bool   `json:"force,omitempty"` // it wipes the disk for that, dm.directlvm_device_force
	Used   bool   `json:"used,omitempty"`  // Root has records of the driver: it ran before
	PID    int    `json:"pid,omitempty"`   // 0: it does not run
}

// An LVM is what LVM's files say of thin pools.
type LVM struct {
	Threshold int           `json:"threshold,omitempty"` // percent; from which on lvm.conf lets a pool grow; 100 never, 0 it does not say
	Percent   int           `json:"percent,omitempty"`
	Profiles  []LVMProfile  `json:"profiles,omitempty"`
	Groups    []VolumeGroup `json:"groups,omitempty"`
}

// An LVMProfile is settings that a pool can be given by name.
type LVMProfile struct {
	Name      string `json:"name"`
	Threshold int    `json:"threshold,omitempty"`
	Percent   int    `json:"percent,omitempty"`
}

// A VolumeGroup is as LVM wrote it down after its last change of it.
type VolumeGroup struct {
	Name    string    `json:"name"`
	File    string    `json:"file"`
	Written time.Time `json:"written,omitzero"`
	Disks   []string  `json:"disks,omitempty"` // of its physical volumes, as they were named then
	Pools   []LVMPool `json:"pools,omitempty"`
}

// An LVMPool is a logical volume that is a thin pool.
type LVMPool struct {
	Name    string `json:"name"`
	Profile string `json:"profile,omitempty"`
}

// Device returns the device with this number, nil if there is none.
func (p *Pools) Device(number string) *Mapped {
	for i := range p.Devices {
		if p.Devices[i].Device == number {
			return &p.Devices[i]
		}
	}
	return nil
}

// Named returns the device with this name, nil if there is none.
func (p *Pools) Named(name string) *Mapped {
	for i := range p.Devices {
		if p.Devices[i].Name == name {
			return &p.Devices[i]
		}
	}
	return nil
}

// UsersOf returns who was told to use the pool with this name.
func (p *Pools) UsersOf(name string) []PoolUser {
	var out []PoolUser
	for _, u := range p.Users {
		if u.Pool == name {
			out = append(out, u)
		}
	}
	return out
}

// Volume returns the group and pool that LVM gives a mapped device of this name, as
// it wrote them down; nil where it did not.
func (p *Pools) Volume(name string) (*VolumeGroup, *LVMPool) {
	if p.LVM == nil {
		return nil, nil
	}
	for i := range p.LVM.Groups {
		g := &p.LVM.Groups[i]
		for k := range g.Pools {
			mapped := MappedName(g.Name, g.Pools[k].Name)
			if name == mapped || name == mapped+"-tpool" {
				return g, &g.Pools[k]
			}
		}
	}
	return nil, nil
}

// MappedName is the name of the mapped device of a logical volume.
//
// Source: lvm(8); LVM2 libdm/libdm-string.c, dm_build_dm_name: a hyphen is doubled.
func MappedName(group, volume string) string {
	return strings.ReplaceAll(group, "-", "--") + "-" + strings.ReplaceAll(volume, "-", "--")
}

// VolumeOf is the group and volume of a mapped device's name; not ok where LVM gives
// no device such a name.
func VolumeOf(name string) (group, volume string, ok bool) {
	const hyphen = "\x00"
	group, volume, ok = strings.Cut(strings.ReplaceAll(name, "--", hyphen), "-")
	back := func(s string) string { return strings.ReplaceAll(s, hyphen, "-") }
	return back(group), back(volume), ok && group != "" && volume != "" && !strings.Contains(volume, "-")
}
