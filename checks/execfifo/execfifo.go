package execfifo

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "exec-fifo"

const (
	readerOld = 10 * time.Second // a start takes less than 0.1 s
	writerOld = time.Minute
)

// Check reports each exec.fifo in which one side waits for a side that does not come.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Fifos, snapshot.Earlier},
	Uses:  []snapshot.Part{snapshot.Names, snapshot.Frozen, snapshot.Log, snapshot.Threads},
	Run:   run,
}

func run(p check.Pass) (found []check.Finding) {
	if p.Before == nil {
		return nil
	}
	for i := range p.Now.Fifos {
		f := &p.Now.Fifos[i]
		was := before(p.Before, f.Path)
		switch {
		case was == nil || f.Reader != nil && f.Writer != nil && !f.Writer.Held: // about to meet
		case still(was.Reader, f.Reader) && older(p.Now, f.Reader, readerOld):
			found = append(found, waitsForInit(p, f))
		case f.Reader == nil && still(was.Writer, f.Writer) && older(p.Now, f.Writer, writerOld):
			found = append(found, waitsForStart(p, f))
		}
	}
	return found
}

func before(h *snapshot.Host, path string) *snapshot.Fifo {
	for i := range h.Fifos {
		if h.Fifos[i].Path == path {
			return &h.Fifos[i]
		}
	}
	return nil
}

// still reports whether a thread waited in both looks and did not run between them.
func still(was, now *snapshot.FifoWait) bool { return was != nil && now != nil && *was == *now }

// older reports whether a process began longer ago, or when is not known.
func older(h *snapshot.Host, w *snapshot.FifoWait, than time.Duration) bool {
	p := h.Same(w.ID())
	if p == nil {
		return false
	}
	at := h.Started(p)
	return at.IsZero() || h.Taken.Sub(at) > than
}

// waitsForInit is of a runc that starts a container whose init does not come.
func waitsForInit(p check.Pass, fifo *snapshot.Fifo) check.Finding {
	h := p.Now
	reader := h.Same(fifo.Reader.ID())
	f := finding(h, fifo, reader)
	f.Severity = check.Critical
	f.Title = fmt.Sprintf("the start of container %s hangs: %s (pid %d) waits for its init in exec.fifo", f.Subject.Name, reader.Comm, reader.PID)
	f.Harm = "runc start does not end, and the shim, containerd and docker wait for it: docker inspect, stop and exec of this container hang, with docker until 17.10 docker ps too; its pod stays ContainerCreating"
	f.Evidence = append(f.Evidence, wait(fifo.Reader, fifo.Path, "reading"))
	if parent := h.Process(reader.PPID); parent != nil && check.IsRuntime(parent.Comm) {
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/stat", reader.PID), Text: check.Label(h, parent) + " started it, and waits for it"})
	}
	in := initOf(h, fifo)
	f.Cause = in.says
	f.Evidence = append(f.Evidence, in.evidence...)
	if in.process != nil {
		f.Holders = append(f.Holders, check.HolderOf(h, in.process))
	}
	switch {
	case in.remedy != nil:
		f.Remedies = []check.Remedy{*in.remedy}
	case in.ended && !fifo.Reader.Opened: // who has it open for writing is another
		f.Remedies = []check.Remedy{{Action: "unblock-exec-fifo", Risk: "disruptive", Why: "runc start ends with an error, and all that waits for it goes on",
			Targets: []check.Target{{Kind: "fifo", PID: reader.PID, Start: reader.Start, Comm: reader.Comm, Switches: fifo.Reader.Switches,
				Path: fifo.Path, Device: fifo.Device, Inode: fifo.Inode, Container: fifo.Container}}}}
	}
	for _, e := range slices.Backward(check.Kills(h, true)) {
		if e.Container == fifo.Container && snapshot.RuncInit(e.Process) {
			f.Evidence = append(f.Evidence, check.Logged(e))
			break // an earlier one was of an earlier start
		}
	}
	versions, old := versions(h)
	f.Evidence = append(f.Evidence, versions...)
	if old != "" {
		f.Advice = []string{"upgrade " + old + ": a newer runc looks for the init while it waits"}
	}
	return f
}

func finding(h *snapshot.Host, fifo *snapshot.Fifo, waits *snapshot.Process) check.Finding {
	return check.Finding{ID: check.Identity(name+"/"+fifo.Container, waits.ID()), Subject: check.ContainerSubject(h, fifo.Container),
		Holders: []check.Holder{check.HolderOf(h, waits)}, Since: h.Started(waits)}
}

func wait(w *snapshot.FifoWait, path, side string) check.Evidence {
	if w.Opened {
		return check.Evidence{Source: fmt.Sprintf("/proc/%d/fd", w.PID),
			Text: fmt.Sprintf("%s is open for %s in both looks, and no thread had a context switch between them (%d)", path, side, w.Switches)}
	}
	return check.Evidence{Source: fmt.Sprintf("/proc/%d/task/%d/syscall", w.PID, w.TID),
		Text: fmt.Sprintf("in the open of %s for %s in both looks, and no context switch between them (%d)", path, side, w.Switches)}
}

// An other is the init that a reader waits for.
type other struct {
	says     string
	ended    bool              // nothing will ever come
	process  *snapshot.Process // nil if it has ended, or nothing is known of it
	remedy   *check.Remedy     // what lets it come
	evidence []check.Evidence
}

// initOf says how the init of a fifo's container is.
func initOf(h *snapshot.Host, fifo *snapshot.Fifo) other {
	if fifo.Init == nil {
		for i := range h.Processes {
			if p := &h.Processes[i]; snapshot.RuncInit(p.Comm) && p.Container == fifo.Container && p.State != snapshot.Dead {
				o := other{}
				o.alive(h, p)
				return o
			}
		}
		return other{says: "Whether its init lives cannot be told: " + cmp.Or(fifo.Err, "the container's state.json was not read")}
	}
	id := *fifo.Init
	o := other{evidence: []check.Evidence{{Source: "state.json beside " + fifo.Path, Text: fmt.Sprintf("init_process_pid %d, init_process_start %d", id.PID, id.Start)}}}
	switch p := h.Process(id.PID); {
	case p == nil:
		o.ended, o.says = true, fmt.Sprintf("The container's init (pid %d) has ended before it opened the fifo, and this runc did not notice", id.PID)
	case p.Start != id.Start:
		o.ended, o.says = true, fmt.Sprintf("The container's init (pid %d) has ended before it opened the fifo: the number is another process's by now", id.PID)
	case p.State == snapshot.Dead:
		o.ended, o.says = true, fmt.Sprintf("The container's init (pid %d) is dead, and its parent (pid %d) has not waited for it", id.PID, p.PPID)
	case !snapshot.RuncInit(p.Comm):
		o.ended, o.says = true, fmt.Sprintf("The container's init is not there: its number and start time in state.json are those of %s, which never opens the fifo", check.Label(h, p))
	default:
		o.alive(h, p)
	}
	return o
}

// alive says why an init that lives does not come.
func (o *other) alive(h *snapshot.Host, p *snapshot.Process) {
	o.process = p
	o.evidence = append(o.evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/stat", p.PID), Text: fmt.Sprintf("%s, state %s", p.Comm, p.State)})
	switch g := h.Frozen(p); {
	case g != nil:
		o.says = fmt.Sprintf("The container's init (pid %d) lives and is frozen: it comes when it is thawed", p.PID)
		o.remedy = &check.Remedy{Action: "thaw", Risk: "disruptive", Why: "the init opens the fifo, and the container starts", Targets: []check.Target{{Kind: "cgroup", Cgroup: g.Path}}}
	case p.State == snapshot.Stopped:
		o.says = fmt.Sprintf("The container's init (pid %d) lives and is stopped: it comes when it gets SIGCONT", p.PID)
		o.remedy = &check.Remedy{Action: "resume-process", Risk: "safe", Why: "the init opens the fifo, and the container starts", Targets: []check.Target{check.ProcessTarget(p)}}
	default:
		o.says = fmt.Sprintf("The container's init (pid %d) lives, in state %s, and does not come to the fifo: see what it waits for", p.PID, p.State)
	}
}

// waitsForStart is of an init that nobody starts.
func waitsForStart(p check.Pass, fifo *snapshot.Fifo) check.Finding {
	h := p.Now
	init := h.Same(fifo.Writer.ID())
	f := finding(h, fifo, init)
	f.Severity = check.Info
	f.Title = fmt.Sprintf("container %s was created and never started: its init (pid %d) waits in exec.fifo", f.Subject.Name, init.PID)
	f.Cause = "Whoever created it has not started it: a person may yet (ctr, podman and the CRI create so), or the call that should have was killed"
	f.Harm = "None but a process and its namespaces, which stay as long as it waits"
	f.Evidence = []check.Evidence{wait(fifo.Writer, fifo.Path, "writing")}
	f.Advice = []string{"start or remove it by its runtime, as runc delete --force does; do not read the fifo: that starts the container"}
	if !leftBehind(h, fifo) {
		return f
	}
	f.Severity = check.Warning
	f.Title = fmt.Sprintf("the init of container %s (pid %d) was left behind: docker does not know the container", f.Subject.Name, init.PID)
	f.Cause = "Its start was given up and the container removed from docker, while its init lived and waited in exec.fifo"
	f.Harm = "A process, its namespaces and a task of containerd stay for ever; a container of the same name may fail to start"
	f.Advice = nil
	f.Remedies = []check.Remedy{{Action: "unblock-exec-fifo", Risk: "disruptive", Why: "the init is ended and its task deleted, which nobody can start any more",
		Targets: []check.Target{{Kind: "init", PID: init.PID, Start: init.Start, Comm: init.Comm, Switches: fifo.Writer.Switches, Path: fifo.Path, Device: fifo.Device, Inode: fifo.Inode,
			Runtime: "containerd", Socket: containerd(h), Container: fifo.Container}}}}
	return f
}
