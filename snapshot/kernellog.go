package snapshot

import "time"

// A KernelLog is what the kernel's log tells of trouble, and how far back it goes.
type KernelLog struct {
	From   time.Time  `json:"from,omitzero"`    // of its oldest record; zero: not known
	PIDs   bool       `json:"pids,omitempty"`   // its process numbers are those of this look, not of another PID namespace
	Events []LogEvent `json:"events,omitempty"` // the oldest first
}

// The families of events that checks ask for; sexton kmsg has more.
const (
	LogOOM        = "oom"
	LogHungTask   = "hung-task"
	LogThinDelete = "thin-delete-failed"
	LogThinPool   = "thinpool"
)

// A LogEvent is one thing that went wrong, as the kernel tells it. A field is empty
// where the log does not say.
type LogEvent struct {
	Family    string    `json:"family"`
	Time      time.Time `json:"time,omitzero"`
	Container string    `json:"container,omitempty"` // of the victim, else of the cgroup whose limit it was
	PodUID    string    `json:"podUID,omitempty"`
	Process   string    `json:"process,omitempty"` // comm of the victim, or of the stuck task
	PID       int       `json:"pid,omitempty"`     // see [KernelLog.PIDs]
	Cgroup    string    `json:"cgroup,omitempty"`  // of the victim
	Global    bool      `json:"global,omitempty"`  // the host had no memory, not a cgroup
	Limit     uint64    `json:"limit,omitempty"`   // of the memory cgroup, in bytes
	Device    string    `json:"device,omitempty"`  // that failed; thin-delete-failed: the id of the thin device
	Text      string    `json:"text,omitempty"`    // a line a message
	Times     int       `json:"times,omitempty"`   // how often the log tells of it, if more than once
	Last      time.Time `json:"last,omitzero"`     // when it did so last; zero: once, or not known
}

// A Memory is what a memory cgroup allows and how that went.
type Memory struct {
	Limit   uint64 `json:"limit,omitempty"`   // bytes; 0: none
	Used    uint64 `json:"used,omitempty"`    // bytes
	Kills   uint64 `json:"kills,omitempty"`   // processes that were killed in it for want of memory; version 1: Linux 4.13
	Reached uint64 `json:"reached,omitempty"` // how often the limit was reached
	Waiting bool   `json:"waiting,omitempty"` // version 1: it is out of memory, and set to let its tasks wait instead of killing one
}
