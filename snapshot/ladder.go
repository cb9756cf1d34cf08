package snapshot

import (
	"slices"
	"time"
)

// A Ladder is what the layers of a host's container runtimes showed: from the
// daemons that people ask down to the programs that their containers run.
type Ladder struct {
	Layers    []Layer    `json:"layers,omitempty"`    // by pid
	Listeners []Listener `json:"listeners,omitempty"` // sockets of daemons and shims
	Queues    string     `json:"queues,omitempty"`    // why the accept queues are not known, "" if they are
	Inspected []Inspect  `json:"inspected,omitempty"`
}

// A Rung names a place on the ladder.
type Rung string

// The rungs, the highest first.
const (
	RungClient     Rung = "client"
	RungDockerd    Rung = "dockerd"
	RungCRIO       Rung = "crio"
	RungCRIDockerd Rung = "cri-dockerd"
	RungPodman     Rung = "podman"
	RungContainerd Rung = "containerd"
	RungShim       Rung = "shim"
	RungConmon     Rung = "conmon"
	RungChild      Rung = "runc" // or crun: what a shim, conmon or daemon started to do one thing
	RungInit       Rung = "init" // of runc: the container's first process before it is the program
	RungProgram    Rung = "program"
	RungKernel     Rung = "kernel"
)

// A Layer is one process of a runtime, or a program that waits for one.
type Layer struct {
	PID       int    `json:"pid"`
	Start     uint64 `json:"start"` // clock ticks after boot
	Rung      Rung   `json:"rung"`
	Container string `json:"container,omitempty"` // full id of whom it serves; "" for a daemon, or if it could not be read
	Namespace string `json:"namespace,omitempty"` // of a shim: containerd's; moby, k8s.io, default
	Operation string `json:"operation,omitempty"` // of a child: exec, start, kill, ...
	Exe       string `json:"exe,omitempty"`       // of a child: path of its executable

	// Of a child, an init and a program that waits. What a daemon's threads wait in
	// says nothing: they all sleep.
	Wait     *Task  `json:"wait,omitempty"`     // the thread that tells most
	Switches uint64 `json:"switches,omitempty"` // context switches of all threads so far; of a program, of the one that waits
	Runs     bool   `json:"runs,omitempty"`     // one of its threads was in R
	On       string `json:"on,omitempty"`       // where the link of the descriptor that it waits on leads
	Readers  []int  `json:"readers,omitempty"`  // of a program that writes to a pipe: who else has that open
	Pipe     string `json:"pipe,omitempty"`     // where the shim hands on what it reads from there
	Beyond   []int  `json:"beyond,omitempty"`   // who besides the shim has Pipe open

	Said []Said `json:"said,omitempty"` // of a shim, to what it was asked
	Ran  bool   `json:"ran,omitempty"`  // it was at work while it was silent
}

// ID returns the process's identity.
func (l *Layer) ID() ID { return ID{l.PID, l.Start} }

// A Listener is a listening socket of a runtime.
type Listener struct {
	Path    string `json:"path"` // as it was bound
	PIDs    []int  `json:"pids"` // who has it open
	Pending int    `json:"pending,omitempty"`
	Backlog int    `json:"backlog,omitempty"`
}

// A Said is how one question to a daemon or shim went.
type Said struct {
	Question string        `json:"question"`
	Took     time.Duration `json:"took"`
	Failed   bool          `json:"failed,omitempty"` // it hung up, or its answer was none
	Silent   bool          `json:"silent,omitempty"` // no answer in time
	Full     bool          `json:"full,omitempty"`   // of a silent one: its queue of connections was full
}

// An Inspect is how a question for one container went.
type Inspect struct {
	Container string `json:"container"`
	Runtime   string `json:"runtime"`
	Socket    string `json:"socket"`
	Said      []Said `json:"said,omitempty"`
	Ran       bool   `json:"ran,omitempty"` // the daemon was at work while it was silent
	Why       string `json:"why"`           // why it was asked
	Err       string `json:"err,omitempty"`
}

// Silent returns the first question without an answer, nil if each had one.
func Silent(said []Said) *Said {
	if i := slices.IndexFunc(said, func(s Said) bool { return s.Silent }); i >= 0 {
		return &said[i]
	}
	return nil
}

// Layer returns the layer that is this process, nil if it is none.
func (l *Ladder) Layer(id ID) *Layer {
	if l == nil {
		return nil
	}
	if i := slices.IndexFunc(l.Layers, func(x Layer) bool { return x.ID() == id }); i >= 0 {
		return &l.Layers[i]
	}
	return nil
}

// Of returns the layers on a rung.
func (l *Ladder) Of(r Rung) (out []*Layer) {
	for i := range l.Layers {
		if l.Layers[i].Rung == r {
			out = append(out, &l.Layers[i])
		}
	}
	return out
}

// Told is what [Host.Above] says of a daemon whose socket the one below was told.
const Told = 3

// Above says how sure it is that a daemon is the one above a shim or another daemon: up
// to [Told], 0 if nothing speaks for it. A host may have several, each in a container of
// its own with docker in it.
func (h *Host) Above(daemon, below *Process) int {
	switch {
	case h.listens(daemon.PID, addressOf(below.Argv)):
		return Told
	case below.PPID == daemon.PID:
		return 2
	case below.PPID == daemon.PPID && below.PPID != 1:
		return 1
	}
	return 0
}

// addressOf is the socket of containerd that a shim was told: -address PATH.
func addressOf(argv []string) string {
	if i := slices.Index(argv, "-address"); i >= 0 && i+1 < len(argv) {
		return argv[i+1]
	}
	return ""
}

func (h *Host) listens(pid int, path string) bool {
	return path != "" && h.Ladder != nil && slices.ContainsFunc(h.Ladder.Listeners, func(l Listener) bool { return l.Path == path && slices.Contains(l.PIDs, pid) })
}
