package collect

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"

	"sexton.dev/collect/door"
	"sexton.dev/linux/cgroupfs"
	"sexton.dev/linux/procfs"
	"sexton.dev/snapshot"
)

// processes reads stat of every process, and its cgroup and threads if a check
// needs them. A few workers share the list; each keeps what it read until the end.
func (l *looker) processes(ctx context.Context) {
	names, err := l.ReadDir("/proc")
	if err != nil {
		l.missing(snapshot.Processes, "/proc", cause(err))
		return
	}
	pids := make([]int, 0, len(names))
	first := false
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
			pids = append(pids, pid)
			first = first || pid == 1
		}
	}
	if !first {
		l.missing(snapshot.Processes, "/proc", "process 1 is not listed: mounted with hidepid, or not the host's /proc")
	}
	workers := min(runtime.GOMAXPROCS(0), 4, 1+len(pids)/256)
	found := make([]walker, workers)
	var wait sync.WaitGroup
	for i := range found {
		wait.Go(func() {
			w := &found[i]
			w.l, w.places = l, placeCache{}
			for j := i; j < len(pids) && ctx.Err() == nil; j += workers {
				w.process(pids[j])
			}
		})
	}
	wait.Wait()
	for _, w := range found {
		l.h.Processes = append(l.h.Processes, w.found...)
		l.h.Unread = append(l.h.Unread, w.unread...)
		l.places.add(w.places)
	}
	if ctx.Err() != nil {
		l.missing(snapshot.Processes, "/proc", "the time given by --timeout was over")
	}
	l.h.Sort()
}

// A walker reads the processes that one worker was given.
type walker struct {
	l      *looker
	places placeCache
	found  []snapshot.Process
	unread []snapshot.Unread
}

func (w *walker) missed(part snapshot.Part, path string, err error) {
	if err != nil && !door.Gone(err) {
		w.unread = append(w.unread, snapshot.Unread{Part: part, Path: path, Err: cause(err)})
	}
}

func (w *walker) process(pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	s, err := w.l.stat(dir + "/stat")
	if err != nil {
		w.missed(snapshot.Processes, dir+"/stat", err)
		return
	}
	p := snapshot.Process{
		PID: pid, PPID: s.PPID, Start: s.Start, State: snapshot.State(s.State), Comm: s.Comm, Session: s.Session, Terminal: s.Terminal != 0,
		Threads: s.Threads, ExitCode: s.ExitCode, Kernel: s.Flags&procfs.FlagKernel != 0,
	}
	if w.l.wants(snapshot.Places) && !p.Kernel {
		place, err := w.places.read(w.l, dir+"/cgroup")
		w.missed(snapshot.Places, dir+"/cgroup", err)
		if place != nil {
			p.Cgroup, p.Container = place.Path, place.ID
		}
	}
	if w.l.wants(snapshot.Threads, snapshot.TIDs) && !p.Kernel && p.Threads > 1 {
		w.threads(&p, dir)
	}
	w.found = append(w.found, p)
}

// threads keeps the threads that a check may ask about: the blocked and
// stopped, and all that outlive their leader.
func (w *walker) threads(p *snapshot.Process, dir string) {
	tids, err := w.l.ReadDir(dir + "/task")
	w.missed(snapshot.Threads, dir+"/task", err)
	for _, tid := range tids {
		if n, err := strconv.Atoi(tid); err == nil && w.l.wants(snapshot.TIDs) {
			p.TIDs = append(p.TIDs, n)
		}
		if !w.l.wants(snapshot.Threads) {
			continue
		}
		s, err := w.l.stat(dir + "/task/" + tid + "/stat")
		w.missed(snapshot.Threads, dir+"/task/"+tid+"/stat", err)
		if err != nil || s.PID == p.PID {
			continue
		}
		state := snapshot.State(s.State)
		if state == snapshot.Uninterruptible || p.HalfDead() && state != snapshot.Dead {
			p.Tasks = append(p.Tasks, snapshot.Task{TID: s.PID, State: state, Comm: s.Comm})
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

// A place is what one text of /proc/PID/cgroup says; many processes share it.
type place struct {
	cgroupfs.Place
	Path     string // in the hierarchy that names the container, else that of pids
	PIDs     string // path in the hierarchy with the pids controller, "" if none
	Freezer  string // path in the hierarchy with the freezer, "" if none
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

func (c *placeCache) add(other placeCache) {
	if *c == nil {
		*c = placeCache{}
	}
	for text, p := range other {
		(*c)[text] = p
	}
}

// cause returns the innermost reason of an error, without the path that stands beside it.
func cause(err error) string {
	var failed *door.Error
	if errors.As(err, &failed) {
		return failed.Err.Error()
	}
	return err.Error()
}
