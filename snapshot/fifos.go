package snapshot

import "strings"

// RuncInit reports whether a process has the name of runc's init, which prepares a
// container before it executes the container's program.
func RuncInit(comm string) bool { return strings.HasPrefix(comm, "runc:[") }

// A Fifo is the exec.fifo of a container that was created: its init opens it for
// writing when it is ready and waits there, until the runtime that starts it opens
// it for reading.
type Fifo struct {
	Path      string    `json:"path"`                // as the process that waits has it
	Container string    `json:"container,omitempty"` // id
	Device    string    `json:"device,omitempty"`    // of its file system, "0:24"
	Inode     uint64    `json:"inode,omitempty"`     // 0: it could not be looked at
	Reader    *FifoWait `json:"reader,omitempty"`    // who waits in the open for reading, or in the read after it; nil: nobody
	Writer    *FifoWait `json:"writer,omitempty"`    // who waits in the open for writing; nil: nobody
	Init      *ID       `json:"init,omitempty"`      // the container's init, as its state.json says; nil: not known
	Err       string    `json:"err,omitempty"`       // why what the runtime wrote of it could not be read
}

// A FifoWait is a thread that waits for the other side of a fifo.
type FifoWait struct {
	PID      int    `json:"pid"`
	Start    uint64 `json:"start"` // of the process
	TID      int    `json:"tid"`
	Switches uint64 `json:"switches"`         // context switches of the thread, or of all: equal in two looks, it did not run
	Opened   bool   `json:"opened,omitempty"` // it has opened the fifo for reading, as a writer was there, and waits for what that writes
	Held     bool   `json:"held,omitempty"`   // it is stopped or frozen in that open: it goes on with it when it runs again
}

// ID returns the identity of the process.
func (w *FifoWait) ID() ID { return ID{w.PID, w.Start} }
