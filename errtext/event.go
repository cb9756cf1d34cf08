// Package errtext reads what daemons and tools say when they are stuck.
//
// An operator pastes text, wrapped and quoted in any way; [Read] gives one
// [Event] for each thing that happened and [Tables] what tables of thin pools
// say. Nothing here looks at a host: an event is what the text says, not what
// is so.
//
// It works in layers. Lines lose their headers (syslog, klog, kernel, JSON) and
// are joined to records; a verdict is found in a record by its words; the words
// around it say what it is about; records about the same thing become one event.
package errtext

import (
	"encoding/json"
)

// Family is the kind of trouble that an error text tells of.
type Family string

// The families. Other is an error that is none of the rest.
const (
	MountBusy   Family = "mount-busy"
	DeviceBusy  Family = "device-busy"
	RuntimeHang Family = "runtime-hang"
	Pids        Family = "zombie-or-pid-exhaustion"
	OOM         Family = "oom"
	ThinPool    Family = "thinpool"
	FIFO        Family = "fifo"
	Config      Family = "config"
	Other       Family = "other"
)

// An Event is one thing that happened, as the text tells it. A field is empty
// where the text does not say.
//
// Every field but Cause and NoLeak holds bytes of the text, which a container
// may control: escape them before they reach a terminal.
type Event struct {
	Family    Family
	Runtime   string // who reports: docker, containerd, cri-o, podman, buildah, runc, crun, kubelet, kernel, lxc, systemd
	Driver    string // graph or snapshot driver, rbd for rbd volumes
	Container string // id of a container or sandbox, 64 hex digits, or the 12 of its short form, which are 13 of crictl
	Path      string // what the failure is about: the source of a rename, the mount point of an unmount
	Device    string // block, dm, rbd or net device, id of a thin device, dataset
	PodUID    string // with dashes, but for a static pod's
	Process   string // victim of the OOM killer or hung task, as the kernel prints it
	PID       int    // of Process; 0: not said

	Cause  string // what it means, in our words
	NoLeak string // why this "busy" is no leaked mount or device; "" if it may be one
	Text   string // the record without its wrapping, at most 2 KiB
	Line   int    // where it begins in the text that was read, from 1
	Times  int    // how often the text tells of it, repeat notes included
}

// MarshalJSON prints the seven fields of the contract always, as null where the
// text does not say, and the rest where there is any.
func (e Event) MarshalJSON() ([]byte, error) {
	orNull := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	return json.Marshal(struct {
		Family    Family  `json:"family"`
		Runtime   *string `json:"runtime"`
		Driver    *string `json:"driver"`
		Container *string `json:"container"`
		Path      *string `json:"path"`
		Device    *string `json:"device"`
		PodUID    *string `json:"podUID"`
		Process   string  `json:"process,omitempty"`
		PID       int     `json:"pid,omitempty"`
		Cause     string  `json:"cause,omitempty"`
		NoLeak    string  `json:"noLeak,omitempty"`
		Text      string  `json:"text,omitempty"`
		Line      int     `json:"line,omitempty"`
		Times     int     `json:"times,omitempty"`
	}{e.Family, orNull(e.Runtime), orNull(e.Driver), orNull(e.Container), orNull(e.Path), orNull(e.Device), orNull(e.PodUID),
		e.Process, e.PID, e.Cause, e.NoLeak, e.Text, e.Line, e.Times})
}
