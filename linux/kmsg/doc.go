// Package kmsg reads the kernel log and turns what it tells of trouble into events.
//
// It works in layers. A line becomes a [Record], from the format of /dev/kmsg or
// from what dmesg, syslog and journald make of it; the grammar reads one message;
// an [Assembler] puts the messages of one out-of-memory report together. All of
// that is pure: bytes in, events out, no clock. [Open] alone reads the host, and
// it never clears or writes anything.
//
// What a container chooses (comm, cgroup names, net device names) stands raw in
// the messages. The grammar anchors on what the kernel prints around it, and a
// record that a process wrote to /dev/kmsg is no message of the kernel's.
package kmsg

import (
	"errors"
	"fmt"
	"time"
)

// ErrFormat is wrapped by errors that mean a record was not as documented.
var ErrFormat = errors.New("unexpected format")

func bad(what, text string) error {
	return fmt.Errorf("kmsg: %w: %s %q", ErrFormat, what, text[:min(len(text), 40)])
}

// A Record is one message of the kernel's log.
type Record struct {
	Seq     int64         // number of the record since boot; -1 if the format has none
	Boot    time.Duration // since boot, time asleep left out; -1 if not said
	Time    time.Time     // zero if the format has no full date
	Stamp   string        // the time as the line has it; "" in /dev/kmsg
	Caller  string        // T and a thread id or C and a CPU, where the kernel was built to tell (CONFIG_PRINTK_CALLER)
	Device  string        // of the continuation line DEVICE=, as "8:16"
	Text    string        // the message; may hold any byte
	Kernel  bool          // the kernel's own: its facility is 0, or the text does not say
	Partial bool          // the line is not ended, or goes on an earlier one (flags c and +)

	order int // among the records of an assembler
}

// Family is the kind of trouble.
type Family string

// The families. Stalls of RCU and hard lockups are in SoftLockup: a CPU that does
// not come back; errors of block devices are in FSError.
const (
	OOM          Family = "oom"
	HungTask     Family = "hung-task"
	SoftLockup   Family = "soft-lockup"
	ThinDelete   Family = "thin-delete-failed"
	ThinPool     Family = "thinpool"
	FSError      Family = "fs-error"
	NetDevice    Family = "netdevice"
	OverlayInUse Family = "overlay-in-use"
	Pids         Family = "pid-exhaustion"
)

// An Event is one thing that went wrong, as the log tells it. A field is empty
// where the log does not say. Strings are bytes of the log, which a container may
// choose in part: escape them before they reach a terminal.
type Event struct {
	Family    Family
	Container string   // id, 64 hex digits; of an OOM's victim, or of the cgroup whose limit it was
	Outer     []string // ids of the containers around it, outermost first
	PodUID    string
	Process   string // comm of the victim of an OOM, or of the stuck task
	PID       int    // of Process, in the host's PID namespace
	Device    string // block device or number, id of a thin device, net device
	Cgroup    string // path of the victim's cgroup
	Global    bool   // an OOM of the host, not of a cgroup
	Limit     uint64 // bytes of the memory cgroup's limit; 0 if not said

	Seq   int64         // of its first record; -1 if not said
	Boot  time.Duration // since boot; -1 if not said
	Time  time.Time
	Stamp string
	Text  string // the messages that tell of it, at most 4 KiB, a line each
	Times int    // how often the log tells of it
	Log   string // the name of the log that tells of it, where there are several

	Last     time.Duration // since boot, of the last that a [Folder] put into it; -1 if not said
	lastTime time.Time
	order    int // of its first record
}
