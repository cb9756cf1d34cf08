package collect

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/procfs"
	"sexton.dev/snapshot"
)

const sigkill = 9

// maxStack bounds the lines of a kernel stack that are kept: the deepest frames say what it waits for.
const maxStack = 12

// waits reads what each thread in D waits for, and who serves the FUSE file
// systems that they or a stopped server may have to do with.
func (l *looker) waits(ctx context.Context) {
	if !l.wants(snapshot.Threads) {
		return
	}
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if p.Kernel {
			continue
		}
		if p.State == snapshot.Uninterruptible || p.State == snapshot.Traced || p.State == snapshot.Stopped {
			p.Tasks = slices.Insert(p.Tasks, 0, snapshot.Task{TID: p.PID, State: p.State, Comm: p.Comm})
		}
		for j := range p.Tasks {
			l.wait(p.PID, &p.Tasks[j])
		}
	}
	l.fuse(ctx)
}

func (l *looker) wait(pid int, t *snapshot.Task) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(t.TID)
	t.Wchan = l.text(dir + "/wchan")
	if text, err := l.ReadFile(dir + "/syscall"); err == nil {
		n, running, err := procfs.ParseSyscall(text)
		l.unread(snapshot.Threads, dir+"/syscall", err)
		if !running && n >= 0 {
			t.Syscall = procfs.SyscallName(l.machineName(), n)
			if t.Syscall == "" {
				t.Syscall = strconv.Itoa(n)
			}
		}
	}
	if text, err := l.ReadFile(dir + "/status"); err == nil {
		s, err := procfs.ParseStatus(text)
		l.unread(snapshot.Threads, dir+"/status", err)
		t.Switches = s.Switches()
		t.Killed = t.Killed || snapshot.Signals(s.SigPnd|s.ShdPnd).Has(sigkill)
	}
	if text, err := l.ReadFile(dir + "/stack"); err == nil {
		t.Stack = strings.Join(procfs.ParseStack(text, maxStack), " < ")
		t.Killed = t.Killed || strings.Contains(t.Stack, "do_exit") // where KILL is no longer pending
	}
}

// fuse finds the FUSE connections behind blocked threads: the mounts from the
// blocked process's own mount table, the unanswered requests from fusectl, the
// servers from who holds /dev/fuse open. Descriptors are only walked if a
// thread waits for FUSE, or of stopped processes.
func (l *looker) fuse(ctx context.Context) {
	blocked := false
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if i := slices.IndexFunc(p.Tasks, snapshot.Task.InFUSE); i >= 0 {
			blocked = true
			p.FUSE = l.fuseMounts(p.PID, p.Tasks[i].TID)
		}
	}
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if ctx.Err() == nil && !p.Kernel && p.State != snapshot.Dead && (blocked || p.State == snapshot.Stopped) {
			l.fuseServed(p)
		}
	}
}

// fuseMounts notes the FUSE mounts that a thread sees, and returns their minor
// numbers. A dead leader sees none while its threads still do.
func (l *looker) fuseMounts(pid, tid int) []int {
	path := "/proc/" + strconv.Itoa(pid) + "/mountinfo"
	if tid != pid {
		path = "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid) + "/mountinfo"
	}
	text, err := l.ReadFile(path)
	if err != nil {
		l.unread(snapshot.Threads, path, err)
		return nil
	}
	table, err := mounts.ParseMountinfo(text)
	l.unread(snapshot.Threads, path, err)
	var minors []int
	for _, m := range table {
		if m.Type != "fuse" && m.Type != "fuseblk" && !strings.HasPrefix(m.Type, "fuse.") {
			continue
		}
		c := l.connection(int(m.Minor))
		c.Type, c.Source = m.Type, m.Source
		if !slices.Contains(c.Mounts, m.MountPoint) {
			c.Mounts = append(c.Mounts, m.MountPoint)
		}
		if !slices.Contains(minors, c.Minor) {
			minors = append(minors, c.Minor)
		}
	}
	return minors
}

// fuseServed notes which connections a process serves. Kernels before 6.16 do
// not say which; the connection is 0 then.
func (l *looker) fuseServed(p *snapshot.Process) {
	dir := "/proc/" + strconv.Itoa(p.PID)
	fds, err := l.ReadDir(dir + "/fd")
	if err != nil {
		return // another user's, or gone: it is not named as a server
	}
	for _, fd := range fds {
		link, err := l.ReadLink(dir + "/fd/" + fd)
		if err != nil || link != "/dev/fuse" {
			continue
		}
		minor := 0
		if text, err := l.ReadFile(dir + "/fdinfo/" + fd); err == nil {
			minor, _ = strconv.Atoi(procfs.ParseFDInfo(text)["fuse_connection"])
		}
		if c := l.connection(minor); !slices.Contains(c.Servers, p.PID) {
			c.Servers = append(c.Servers, p.PID)
		}
	}
}

// connection returns the connection with this number, made and asked for its
// unanswered requests when it is new.
func (l *looker) connection(minor int) *snapshot.FUSEConnection {
	for i := range l.h.FUSE {
		if l.h.FUSE[i].Minor == minor {
			return &l.h.FUSE[i]
		}
	}
	c := snapshot.FUSEConnection{Minor: minor, Waiting: -1}
	if minor != 0 {
		if text, err := l.ReadFile("/sys/fs/fuse/connections/" + strconv.Itoa(minor) + "/waiting"); err == nil {
			if c.Waiting, err = procfs.ParseNumber(text); err != nil {
				c.Waiting = -1
				l.unread(snapshot.Threads, "fuse connection "+strconv.Itoa(minor), err)
			}
		}
	}
	l.h.FUSE = append(l.h.FUSE, c)
	return &l.h.FUSE[len(l.h.FUSE)-1]
}

// machineName is the machine's architecture as uname -m prints it.
func (l *looker) machineName() string {
	if l.machine != "" {
		return l.machine
	}
	if l.machine = l.text("/proc/sys/kernel/arch"); l.machine == "" { // kernel 6.1
		machine, err := l.Ask("machine", uname)
		l.unread(snapshot.Threads, "uname", err)
		l.machine = string(machine)
	}
	return l.machine
}

// uname returns the machine's architecture, where the kernel has no file for it.
func uname() ([]byte, error) {
	var u unix.Utsname
	err := unix.Uname(&u)
	return []byte(unix.ByteSliceToString(u.Machine[:])), err
}
