// Package snapshot holds one host as it stood at one moment, as plain data.
//
// Collect writes a [Host] once; everything after it only reads. Units are
// bytes, [time.Time] and [time.Duration]; a raw kernel unit is named in its
// field's comment. Every string that a process or a container chose (Comm,
// names, paths) may hold any bytes.
package snapshot

import (
	"strings"
	"time"
)

// A Host is all that one look learned.
type Host struct {
	Taken  time.Time `json:"taken"`
	Name   string    `json:"name"`
	Kernel string    `json:"kernel"` // uname -r
	BootID string    `json:"bootID"`
	Uptime float64   `json:"uptime,omitempty"` // seconds since boot
	Root   bool      `json:"root"`             // the reader was root: what it did not see is not there
	Nested bool      `json:"nested,omitempty"` // /proc is that of a PID namespace below the machine's first: who is outside of it is not seen
	Limits Limits    `json:"limits"`
	Unread []Unread  `json:"unread,omitempty"`

	Processes  []Process        `json:"processes"` // by pid
	Cgroups    []Cgroup         `json:"cgroups,omitempty"`
	Containers []Container      `json:"containers,omitempty"` // by id
	Runtimes   []Runtime        `json:"runtimes,omitempty"`
	FUSE       []FUSEConnection `json:"fuse,omitempty"`
	Log        *KernelLog       `json:"log,omitempty"`      // nil where nothing needed it, or where it could not be read
	Fifos      []Fifo           `json:"fifos,omitempty"`    // by path
	Mounts     *Mounts          `json:"mounts,omitempty"`   // nil where nothing needed it
	Settings   *Settings        `json:"settings,omitempty"` // nil where nothing needed them
	Pools      *Pools           `json:"pools,omitempty"`    // nil where nothing needed them, or where they could not be read
	Ladder     *Ladder          `json:"ladder,omitempty"`   // nil where nothing needed it

	index index
}

// Limits are the host's own bounds on processes. 0 means not read.
type Limits struct {
	PIDMax     int `json:"pidMax"`     // /proc/sys/kernel/pid_max: numbers run below it
	ThreadsMax int `json:"threadsMax"` // /proc/sys/kernel/threads-max
	Tasks      int `json:"tasks"`      // threads that exist, zombies too; /proc/loadavg
}

// Max is how many tasks the host can have, 0 if that was not read: numbers run below pid_max.
func (l Limits) Max() int {
	if l.PIDMax == 0 || l.ThreadsMax == 0 {
		return max(l.PIDMax, l.ThreadsMax)
	}
	return min(l.PIDMax, l.ThreadsMax)
}

// An ID is a process that cannot be mistaken for a later one with its number.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot, 100 a second on every Linux we build for
}

// A Process is one thread group.
type Process struct {
	PID      int    `json:"pid"`
	PPID     int    `json:"ppid"`
	Start    uint64 `json:"start"` // clock ticks after boot
	State    State  `json:"state"` // of the thread group's leader
	Comm     string `json:"comm"`
	Session  int    `json:"session,omitempty"`
	Terminal bool   `json:"terminal,omitempty"` // it has a controlling terminal: somebody may have stopped it there
	Threads  int    `json:"threads,omitempty"`  // kernel's count, the leader included
	ExitCode int    `json:"exitCode,omitempty"` // as wait(2) would give it; only root reads it
	Kernel   bool   `json:"kernel,omitempty"`   // a kernel thread

	Cgroup    string `json:"cgroup,omitempty"`    // path in the hierarchy that names its container, else in that of pids
	Container string `json:"container,omitempty"` // id of the innermost container, "" on the host

	TIDs    []int    `json:"tids,omitempty"`    // of all threads, the leader first; nil where not asked for
	Detail  *Detail  `json:"detail,omitempty"`  // nil where no check needed it
	Tasks   []Task   `json:"tasks,omitempty"`   // threads in a state worth a word; see Part Threads
	Argv    []string `json:"argv,omitempty"`    // only of runtimes' processes, unless asked for
	Blocked bool     `json:"blocked,omitempty"` // a read of its command line did not return: its mmap_lock is held
	FUSE    []int    `json:"fuse,omitempty"`    // FUSE connections mounted where a thread of it waits for one
}

// ID returns the process's identity.
func (p *Process) ID() ID { return ID{p.PID, p.Start} }

// Zombie reports whether the whole process is dead and waits for its parent.
func (p *Process) Zombie() bool { return p.State == Dead && p.Threads <= 1 }

// HalfDead reports whether the leader is dead while other threads live: no
// parent can reap that.
func (p *Process) HalfDead() bool { return p.State == Dead && p.Threads > 1 }

// First reports whether the process is PID 1 of a PID namespace below the
// host's. It needs Detail.
func (p *Process) First() bool {
	return p.Detail != nil && len(p.Detail.NSpid) > 1 && p.Detail.NSpid[len(p.Detail.NSpid)-1] == 1
}

// A State is the letter of proc_pid_stat(5).
type State string

// The states that sexton tells apart. X and x (dead, seen for an instant) are
// given as they are and mean nothing to a check.
const (
	Running         State = "R"
	Sleeping        State = "S"
	Uninterruptible State = "D"
	Stopped         State = "T"
	Traced          State = "t"
	Dead            State = "Z"
	Idle            State = "I"
)

// A Detail is what /proc/PID/status and task/*/children say of a process that
// a check asks about.
type Detail struct {
	UID     int     `json:"uid"`
	NSpid   []int   `json:"nspid,omitempty"` // pid in each PID namespace, outermost first; kernel 4.1
	Ignored Signals `json:"ignored"`
	Caught  Signals `json:"caught"`
	Masked  Signals `json:"masked"`            // blocked in the leader
	Pending Signals `json:"pending"`           // to the leader or the process
	Seccomp int     `json:"seccomp,omitempty"` // 0 none, 1 strict, 2 filter
	Tracer  int     `json:"tracer,omitempty"`
	PIDNS   uint64  `json:"pidns,omitempty"` // nsfs inode; 0 not read
	MountNS uint64  `json:"mountns,omitempty"`

	// Children lists, per thread, the children in the order in which they
	// became its own: fork appends and so does adoption.
	Children []TaskChildren `json:"children,omitempty"`
	Wchan    string         `json:"wchan,omitempty"`    // kernel function that the leader sleeps in; "do_wait" waits for a child
	Exe      string         `json:"exe,omitempty"`      // name of the executable, "" if it could not be read
	Switches uint64         `json:"switches,omitempty"` // context switches of the leader so far: equal in two looks, it did not run
}

// Signals is a set of signals, bit n-1 for signal n, as /proc/PID/status prints it.
type Signals uint64

// Has reports whether signal n is in the set.
func (s Signals) Has(n int) bool { return n >= 1 && n <= 64 && s&(1<<(n-1)) != 0 }

// TaskChildren are the children of one thread. /proc/PID/task/TID/children,
// kernel 3.5 with CONFIG_CHECKPOINT_RESTORE, 4.2 with CONFIG_PROC_CHILDREN.
type TaskChildren struct {
	TID      int   `json:"tid"`
	Children []int `json:"children"`
}

// A Task is a thread that is blocked, stopped or that outlives its leader.
type Task struct {
	TID      int    `json:"tid"`
	State    State  `json:"state"`
	Comm     string `json:"comm,omitempty"`
	Wchan    string `json:"wchan,omitempty"`    // kernel function it sleeps in, "" or "0" if hidden
	Syscall  string `json:"syscall,omitempty"`  // name or number, "" outside of one or unread
	Stack    string `json:"stack,omitempty"`    // kernel stack, root only
	Switches uint64 `json:"switches,omitempty"` // context switches so far: equal in two looks, it did not run
	Killed   bool   `json:"killed,omitempty"`   // it was told to end: SIGKILL is pending, or it is in its exit
}

// Task returns one of the threads that are kept of a process, nil if it is none of them.
func (p *Process) Task(tid int) *Task {
	for i := range p.Tasks {
		if p.Tasks[i].TID == tid {
			return &p.Tasks[i]
		}
	}
	return nil
}

// InFUSE reports whether a thread waits for a FUSE server.
func (t Task) InFUSE() bool {
	return strings.Contains(t.Wchan, "fuse") || t.Wchan == "request_wait_answer" || strings.Contains(t.Stack, "fuse_")
}

// A Cgroup is a control group with a bound on its tasks or memory, or a frozen one.
type Cgroup struct {
	Path      string `json:"path"`
	Container string `json:"container,omitempty"`
	PIDs      int    `json:"pids,omitempty"`     // pids.current
	PIDsMax   int    `json:"pidsMax,omitempty"`  // 0: none
	PIDsFail  uint64 `json:"pidsFail,omitempty"` // pids.events max: forks refused so far
	Frozen    bool   `json:"frozen,omitempty"`
	Freezing  bool   `json:"freezing,omitempty"` // asked to freeze, and not all of its tasks are; version 1
	Freezer   string `json:"freezer,omitempty"`  // of one that is frozen: the file that thaws it
	Inode     uint64 `json:"inode,omitempty"`    // of its directory; 0 not known

	Memory *Memory `json:"memory,omitempty"` // nil where no check needed it, and where there is nothing to say
}

// A Container is what cgroup paths and runtimes know of a container.
type Container struct {
	ID      string `json:"id"`
	Runtime string `json:"runtime,omitempty"` // docker, containerd, cri-o, podman; "" if only the id is known
	Name    string `json:"name,omitempty"`
	Image   string `json:"image,omitempty"`
	State   string `json:"state,omitempty"` // as the runtime says
	Pod     string `json:"pod,omitempty"`   // namespace/name
	PodUID  string `json:"podUID,omitempty"`
	Cgroup  string `json:"cgroup,omitempty"`
	Outer   string `json:"outer,omitempty"` // id of the container that this one runs in
	Init    int    `json:"init,omitempty"`  // pid of its first process; 0 if none or unknown
	Health  bool   `json:"health,omitempty"`
	Sandbox bool   `json:"sandbox,omitempty"`
	Bundle  string `json:"bundle,omitempty"`
	RootFS  string `json:"rootfs,omitempty"`

	ListedBy []string `json:"listedBy,omitempty"` // the runtimes that know it
}

// A Runtime is one socket that was asked, and whether it answered.
type Runtime struct {
	Kind    string `json:"kind"`
	Socket  string `json:"socket"`
	Version string `json:"version,omitempty"`
	Err     string `json:"err,omitempty"`    // "" if it answered
	Silent  bool   `json:"silent,omitempty"` // it accepted and did not answer in time

	Components map[string]string `json:"components,omitempty"` // versions of what it runs, as it says: containerd, runc
	Said       []Said            `json:"said,omitempty"`
	Ran        bool              `json:"ran,omitempty"` // it, or containerd below it, was at work while it was silent
}

// A FUSEConnection is a FUSE mount that a blocked process may wait for.
type FUSEConnection struct {
	Minor   int      `json:"minor"`            // the superblock's device is 0:Minor
	Waiting int      `json:"waiting"`          // requests without an answer; -1 if fusectl is not mounted
	Mounts  []string `json:"mounts,omitempty"` // mount points, as the blocked process sees them
	Type    string   `json:"type,omitempty"`   // fuse.sshfs and so on
	Source  string   `json:"source,omitempty"`
	Servers []int    `json:"servers,omitempty"` // processes that hold /dev/fuse open for it
}

// Unread is a part of the host that exists and could not be read.
type Unread struct {
	Part  Part   `json:"part"`
	Path  string `json:"path"`
	Err   string `json:"err"`
	Whole bool   `json:"whole,omitempty"` // the whole part is missing, not one entry of it
}

// A Part names what a check may depend on.
type Part string

// The parts of a look. Collect reads a part only if a selected check needs it.
const (
	Processes   Part = "processes"  // stat of every process
	Places      Part = "places"     // cgroup of every process, hence containers
	Threads     Part = "threads"    // stat of every thread; wchan, syscall and stack of the blocked
	Reaping     Part = "reaping"    // signals and children of the parents of the dead
	Inits       Part = "inits"      // signals of each container's PID 1
	Budgets     Part = "budgets"    // pids limits of the host and of every cgroup
	Frozen      Part = "frozen"     // freezer state of every cgroup that has processes
	Names       Part = "names"      // what runtimes call their containers
	Commands    Part = "commands"   // command lines of runtimes' own processes
	TIDs        Part = "tids"       // numbers of all threads
	MountTables Part = "mounts"     // every mount of every mount namespace, and what keeps those
	References  Part = "references" // open files, directories and mappings of processes, by mount
	Configured  Part = "settings"   // what units, docker and the kernel were told of mounts
	Log         Part = "log"        // the kernel's log
	MemoryUse   Part = "memory"     // limit and use of each container's memory, and of the cgroups around it
	Fifos       Part = "fifos"      // who waits in the exec.fifo of a container that is started
	Storage     Part = "storage"    // device-mapper's devices, and who was told to use a thin pool
	Rungs       Part = "rungs"      // what each layer of a runtime waits for, and what it answers
	Earlier     Part = "earlier"    // the look before this one
)
