package collect

import (
	"context"
	"errors"
	"strconv"
	"syscall"

	"sexton.dev/collect/door"
	"sexton.dev/linux/cgroupfs"
	"sexton.dev/linux/procfs"
	"sexton.dev/snapshot"
)

// processes reads stat of every process, and its cgroup and threads if a check
// needs them. One after the other: the kernel does most of the work, and more
// workers cost more processor time for less wall time than a sick host has.
func (l *looker) processes(ctx context.Context) {
	names, err := l.ReadDir("/proc")
	if err != nil {
		l.missing(snapshot.Processes, "/proc", cause(err))
		return
	}
	l.places = placeCache{}
	l.h.Processes = make([]snapshot.Process, 0, len(names))
	var walked map[int]*place
	if l.wants(snapshot.Places) {
		walked = l.walkPlaces(len(names))
	}
	first := false
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid < 1 {
			continue
		}
		if ctx.Err() != nil {
			l.missing(snapshot.Processes, "/proc", "the time given by --timeout was over")
			break
		}
		first = first || pid == 1
		l.process(pid, walked[pid])
	}
	if !first {
		l.missing(snapshot.Processes, "/proc", "process 1 is not listed: mounted with hidepid, or not the host's /proc")
	}
	l.h.Sort()
}

// process reads one process. at is where it is, nil if it must be asked itself.
func (l *looker) process(pid int, at *place) {
	dir := "/proc/" + strconv.Itoa(pid)
	s, err := l.stat(dir + "/stat")
	if errors.Is(err, door.ErrNotRecorded) {
		s, err = l.statOfStatus(dir + "/status")
	}
	if err != nil {
		l.unread(snapshot.Processes, dir+"/stat", err)
		return
	}
	p := snapshot.Process{
		PID: pid, PPID: s.PPID, Start: s.Start, State: snapshot.State(s.State), Comm: s.Comm, Session: s.Session, Terminal: s.Terminal != 0,
		Threads: s.Threads, ExitCode: s.ExitCode, Kernel: s.Flags&procfs.FlagKernel != 0,
	}
	if l.wants(snapshot.Places) && !p.Kernel {
		if at == nil {
			at, err = l.places.read(l, dir+"/cgroup")
			l.unread(snapshot.Places, dir+"/cgroup", err)
		}
		if at != nil {
			p.Cgroup, p.Container = at.Path, at.ID
		}
	}
	if l.wants(snapshot.Threads, snapshot.TIDs) && !p.Kernel && p.Threads > 1 {
		l.threads(&p, dir)
	}
	l.h.Processes = append(l.h.Processes, p)
}

// exiting is PF_EXITING of Linux 6.12 include/linux/sched.h, among the flags of stat.
const exiting = 0x4

// threads keeps the threads that a check may ask about: the blocked and
// stopped, and all that outlive their leader.
func (l *looker) threads(p *snapshot.Process, dir string) {
	tids, err := l.ReadDir(dir + "/task")
	l.unread(snapshot.Threads, dir+"/task", err)
	for _, tid := range tids {
		if n, err := strconv.Atoi(tid); err == nil && l.wants(snapshot.TIDs) {
			p.TIDs = append(p.TIDs, n)
		}
		if !l.wants(snapshot.Threads) {
			continue
		}
		s, err := l.stat(dir + "/task/" + tid + "/stat")
		l.unread(snapshot.Threads, dir+"/task/"+tid+"/stat", err)
		if err != nil || s.PID == p.PID {
			continue
		}
		state := snapshot.State(s.State)
		if state == snapshot.Uninterruptible || p.HalfDead() && state != snapshot.Dead {
			p.Tasks = append(p.Tasks, snapshot.Task{TID: s.PID, State: state, Comm: s.Comm, Killed: s.Flags&exiting != 0})
		}
	}
}

func (l *looker) stat(path string) (procfs.Stat, error) {
	b, err := l.ReadFile(path)
	if err != nil {
		return procfs.Stat{}, err
	}
	return procfs.ParseStat(b)
}

// statOfStatus makes do with status, which is all that a sos report has.
func (l *looker) statOfStatus(path string) (procfs.Stat, error) {
	b, err := l.ReadFile(path)
	if err != nil {
		return procfs.Stat{}, err
	}
	return procfs.StatOfStatus(b)
}

// A place is what one text of /proc/PID/cgroup says; many processes share it.
type place struct {
	cgroupfs.Place
	Path     string // in the hierarchy that names the container, else that of pids
	PIDs     string // path in the hierarchy with the pids controller, "" if none
	Freezer  string // path in the hierarchy with the freezer, "" if none
	Memory   string // path in the hierarchy with the memory controller, "" if none
	Unplaced string // why Path is not the host's, "" if it is
}

// A placeCache keeps places by the text they were read from: a host with
// 10,000 processes has a few hundred.
type placeCache map[string]*place

func (c placeCache) read(l *looker, path string) (*place, error) {
	b, err := l.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if p, ok := c[string(b)]; ok {
		return p, nil
	}
	all, err := cgroupfs.ParseMembership(b)
	if err != nil {
		return nil, err
	}
	p := l.cgroups.place(all)
	c[string(b)] = p
	return p, nil
}

// cause returns the innermost reason of an error, without the path that stands beside it.
func cause(err error) string {
	var failed *door.Error
	if errors.As(err, &failed) {
		return failed.Err.Error()
	}
	return err.Error()
}

// isAbsent reports whether a path is no directory or not there.
func isAbsent(err error) bool {
	return door.Gone(err) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENODEV)
}
