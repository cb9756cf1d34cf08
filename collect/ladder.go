package collect

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"sexton.dev/linux/cgroupfs"
	"sexton.dev/linux/procfs"
	"sexton.dev/snapshot"
)

// maxThreads bounds of how many threads of a runtime's child the waits are read.
const maxThreads = 64

// rungs are where the processes of a runtime stand, by their names. A comm is cut
// to 15 bytes: docker-containerd and its shim, before Docker 18.09, share one.
var rungs = map[string]snapshot.Rung{
	"dockerd": snapshot.RungDockerd, "containerd": snapshot.RungContainerd, "docker-containerd": snapshot.RungContainerd,
	"containerd-shim": snapshot.RungShim, "docker-containerd-shim": snapshot.RungShim,
	"crio": snapshot.RungCRIO, "cri-dockerd": snapshot.RungCRIDockerd, "podman": snapshot.RungPodman, "conmon": snapshot.RungConmon,
	"runc": snapshot.RungChild, "crun": snapshot.RungChild, "youki": snapshot.RungChild, "docker-runc": snapshot.RungChild,
}

// cutName is what the kernel leaves of two names; the command line tells which it is.
const cutName = "docker-containe"

// operations are what a runtime's child may be told to do. Source: OCI runtime
// command line interface; runc(8), crun(1).
var operations = []string{"create", "start", "run", "exec", "kill", "delete", "state", "ps", "events", "update", "pause", "resume", "checkpoint", "restore"}

// layers finds the processes of runtimes and what hangs on them. After the
// command lines are known it is called again, and then names containers.
func (l *looker) layers() {
	if !l.wants(snapshot.Rungs) {
		return
	}
	l.h.Ladder = &snapshot.Ladder{}
	l.h.Unread = slices.DeleteFunc(l.h.Unread, func(u snapshot.Unread) bool { return u.Part == snapshot.Rungs })
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if r := l.rungOf(p); r != "" && p.State != snapshot.Dead {
			l.h.Ladder.Layers = append(l.h.Ladder.Layers, l.layer(p, r))
		}
	}
	l.listeners()
}

// rungOf says where a process stands, "" if on no rung. What runs inside of a
// container is that one's affair, but for runc's init on its way to be the program.
func (l *looker) rungOf(p *snapshot.Process) snapshot.Rung {
	parent := l.h.Process(p.PPID)
	if snapshot.RuncInit(p.Comm) {
		return snapshot.RungInit
	}
	if p.Container != "" || p.Kernel {
		return ""
	}
	name := p.Comm
	if name == cutName && len(p.Argv) > 0 {
		name = path.Base(p.Argv[0])
	}
	r := rungs[name]
	if r != snapshot.RungChild {
		return r
	}
	if parent == nil || parent.Container != "" { // a person's own runc, or one whose caller is gone
		return ""
	}
	if up := rungs[parent.Comm]; up == "" && parent.Comm != cutName {
		return ""
	}
	return r
}

func (l *looker) layer(p *snapshot.Process, r snapshot.Rung) snapshot.Layer {
	x := snapshot.Layer{PID: p.PID, Start: p.Start, Rung: r, Container: p.Container}
	switch r {
	case snapshot.RungShim:
		x.Namespace, x.Container = l.shimOf(p)
	case snapshot.RungConmon:
		x.Container = argument(p.Argv, "-c", "--cid")
	case snapshot.RungChild:
		x.Operation, x.Container = operationOf(p.Argv)
		if exe, err := l.ReadLink("/proc/" + strconv.Itoa(p.PID) + "/exe"); err == nil {
			x.Exe = exe
		}
		if up := l.h.Process(p.PPID); x.Container == "" && up != nil {
			switch rungs[up.Comm] {
			case snapshot.RungShim:
				_, x.Container = l.shimOf(up)
			case snapshot.RungConmon:
				x.Container = argument(up.Argv, "-c", "--cid")
			}
		}
		l.waitOf(&x)
	case snapshot.RungInit:
		l.waitOf(&x)
	}
	return x
}

// shimOf is whose a shim is: by its directory, which is its bundle's, else by its
// command line. Source: containerd v1.6 runtime/v2/shim/util.go, Command.
func (l *looker) shimOf(p *snapshot.Process) (namespace, id string) {
	if cwd, err := l.ReadLink("/proc/" + strconv.Itoa(p.PID) + "/cwd"); err == nil {
		kept := strings.TrimSuffix(cwd, " (deleted)")
		if task := path.Dir(path.Dir(kept)); strings.HasPrefix(path.Base(task), "io.containerd.runtime.v") {
			return path.Base(path.Dir(kept)), path.Base(kept)
		}
	}
	return argument(p.Argv, "-namespace"), argument(p.Argv, "-id")
}

// argument returns what stands behind a flag.
func argument(argv []string, flags ...string) string {
	for i, a := range argv {
		if slices.Contains(flags, a) && i+1 < len(argv) {
			return argv[i+1]
		}
	}
	return ""
}

// operationOf says what a runtime's child was told to do, and with which container.
func operationOf(argv []string) (operation, id string) {
	for i, a := range argv {
		if i > 0 && operation == "" && slices.Contains(operations, a) {
			operation = a
		}
		if cgroupfs.IsID(a) {
			id = a
		}
	}
	if id == "" && len(argv) > 1 && operation != "" && operation != "kill" { // ctr's names are no such ids; kill has a signal behind it
		if last := argv[len(argv)-1]; last != operation && !strings.HasPrefix(last, "-") {
			id = last
		}
	}
	return operation, id
}

// waitOf reads what the threads of a short-lived process wait in, and keeps the
// one that tells most: a Go program has many that wait for work.
func (l *looker) waitOf(x *snapshot.Layer) {
	dir := "/proc/" + strconv.Itoa(x.PID) + "/task"
	tids, err := l.ReadDir(dir)
	l.unread(snapshot.Rungs, dir, err)
	for _, tid := range tids[:min(len(tids), maxThreads)] {
		n, err := strconv.Atoi(tid)
		if err != nil {
			continue
		}
		s, err := l.statOfStatus(dir + "/" + tid + "/status") // which the wait needs too
		if err != nil {
			l.unread(snapshot.Rungs, dir+"/"+tid+"/status", err)
			continue
		}
		t := snapshot.Task{TID: n, State: snapshot.State(s.State), Comm: s.Comm}
		l.wait(x.PID, &t)
		x.Switches += t.Switches
		x.Runs = x.Runs || t.State == snapshot.Running
		if x.Wait == nil || telling(t) > telling(*x.Wait) {
			x.Wait, x.On = &t, l.waitsOn(x.PID, t)
		}
	}
}

// telling ranks what a thread waits in.
func telling(t snapshot.Task) int {
	switch {
	case t.State == snapshot.Uninterruptible || t.State == snapshot.Stopped:
		return 3
	case slices.Contains([]string{"futex", "epoll_wait", "epoll_pwait", "nanosleep", "clock_nanosleep", ""}, t.Syscall):
		return 0
	case t.Syscall == "wait4" || t.Syscall == "waitid":
		return 1 // for a child, which has a wait of its own
	}
	return 2
}

// onFile are the system calls whose first argument is the descriptor that they wait for.
var onFile = []string{"read", "write", "writev", "readv", "pread64", "pwrite64", "recvmsg", "recvfrom", "accept", "ioctl", "fsync", "flock", "getdents64"}

// waitsOn returns what a thread waits on, "" if that is no open file.
func (l *looker) waitsOn(pid int, t snapshot.Task) string {
	if !slices.Contains(onFile, t.Syscall) {
		return ""
	}
	dir := "/proc/" + strconv.Itoa(pid)
	text, err := l.ReadFile(dir + "/task/" + strconv.Itoa(t.TID) + "/syscall")
	if err != nil {
		return ""
	}
	fd, ok := procfs.ParseArgument(text, 0)
	if !ok || fd > 1<<20 {
		return ""
	}
	link, err := l.ReadLink(dir + "/fd/" + strconv.FormatUint(fd, 10))
	if err != nil {
		return ""
	}
	return link
}
