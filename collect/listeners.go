package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/collect/door"
	"sexton.dev/linux/sockdiag"
	"sexton.dev/runtimes"
	"sexton.dev/snapshot"
)

// maxServers bounds of how many daemons and shims the descriptors are read.
const maxServers = 128

// A listenersReply is what the kernel says of listening unix sockets.
type listenersReply struct {
	Sockets []socketAt `json:"sockets,omitempty"`
	Queues  string     `json:"queues,omitempty"` // why their queues are not known
}

// A socketAt is one of them.
type socketAt struct {
	Inode   uint64 `json:"inode"`
	Path    string `json:"path"`
	Pending int    `json:"pending,omitempty"`
	Backlog int    `json:"backlog,omitempty"`
}

// listeners notes on which sockets the daemons and shims of runtimes listen, and
// how many connections wait there.
func (l *looker) listeners() {
	r, err := l.listening()
	l.unread(snapshot.Rungs, "listening unix sockets", err)
	l.h.Ladder.Queues = r.Queues
	byInode := map[string]*snapshot.Listener{}
	for _, s := range r.Sockets {
		byInode["socket:["+strconv.FormatUint(s.Inode, 10)+"]"] = &snapshot.Listener{Path: s.Path, Pending: s.Pending, Backlog: s.Backlog}
	}
	read := 0
	for i := range l.h.Ladder.Layers {
		x := &l.h.Ladder.Layers[i]
		if !serves(x.Rung) || read == maxServers {
			continue
		}
		read++
		for _, link := range l.descriptors(x.PID) {
			if s := byInode[link]; s != nil && !slices.Contains(s.PIDs, x.PID) {
				s.PIDs = append(s.PIDs, x.PID)
			}
		}
	}
	for _, s := range byInode {
		if len(s.PIDs) > 0 {
			l.h.Ladder.Listeners = append(l.h.Ladder.Listeners, *s)
		}
	}
	slices.SortFunc(l.h.Ladder.Listeners, func(a, b snapshot.Listener) int { return strings.Compare(a.Path, b.Path) })
}

// readListeners asks for the sockets on which anybody listens.
func (l *looker) readListeners(ctx context.Context) (listenersReply, error) {
	return askFor[listenersReply](l, "listeners", func() ([]byte, error) { return json.Marshal(l.askListeners(ctx)) })
}

// serves reports whether a rung answers on sockets.
func serves(r snapshot.Rung) bool {
	switch r {
	case snapshot.RungChild, snapshot.RungInit, snapshot.RungProgram, snapshot.RungConmon:
		return false
	}
	return true
}

// descriptors returns where the links of a process's open files lead.
func (l *looker) descriptors(pid int) map[int]string {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	names, err := l.ReadDir(dir)
	l.unread(snapshot.Rungs, dir, err)
	out := map[int]string{}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if link, err := l.ReadLink(dir + "/" + name); err == nil {
			out[fd] = link
		}
	}
	return out
}

// serving returns the pids of who has the socket at a path, as sexton opens it, open.
func (l *looker) serving(at string) []int {
	if l.h.Ladder == nil {
		return nil
	}
	for _, s := range l.h.Ladder.Listeners {
		if samePath(l.Root, s.Path, at) {
			return s.PIDs
		}
	}
	return nil
}

// samePath reports whether a path as a daemon bound it is one as sexton opens it.
func samePath(root, bound, at string) bool {
	if rest, ok := strings.CutPrefix(bound, "/var/run/"); ok && !strings.Contains(at, "/var/run/") {
		bound = "/run/" + rest // the one is a link to the other
	}
	return path.Join("/", root, bound) == at
}

// askListeners asks the kernel, by the way that tells the queues only where that
// loads no module.
func (l *looker) askListeners(ctx context.Context) listenersReply {
	var r listenersReply
	found, err := []sockdiag.Listener(nil), error(nil)
	switch why := l.mayAsk(ctx); {
	case why != "":
		r.Queues = why
	default:
		if found, err = sockdiag.Listeners(); errors.Is(err, unix.ENOENT) {
			r.Queues = "this kernel has no unix_diag"
		} else if err != nil {
			r.Queues = err.Error()
		}
	}
	for _, s := range found {
		if path.IsAbs(s.Name) {
			r.Sockets = append(r.Sockets, socketAt{uint64(s.Inode), s.Name, int(s.Pending), int(s.Backlog)})
		}
	}
	if r.Queues == "" {
		return r
	}
	table, err := runtimes.Listening(l.Root)
	if err != nil {
		r.Queues += "; " + err.Error()
	}
	for inode, at := range table {
		r.Sockets = append(r.Sockets, socketAt{Inode: inode, Path: at})
	}
	slices.SortFunc(r.Sockets, func(a, b socketAt) int { return strings.Compare(a.Path, b.Path) })
	return r
}

// mayAsk says why sock_diag is better not asked, "" if it may be: a kernel without
// /proc/modules loads none. The list of what is built in is on a disk, which may be
// dead, so a child reads it.
func (l *looker) mayAsk(ctx context.Context) string {
	modules, err := readSome(path.Join(l.Proc, "modules"), 1<<20)
	if errors.Is(err, fs.ErrNotExist) || err == nil && sockdiag.Loaded(modules) {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	switch text, err := l.Child(ctx, "has-unix-diag", l.Root); {
	case string(text) == "true\n":
		return ""
	case errors.Is(err, door.ErrDeadline), string(text) == builtInLate:
		return "whether unix_diag is in the kernel was not told in time, and to ask might load it"
	}
	return "unix_diag is not loaded, and to ask would load it"
}

// builtInLate is what the child says where the list cannot be read.
const builtInLate = "late\n"

// childBuiltIn is the child's part.
func childBuiltIn(out io.Writer, root string) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	says := make(chan string, 1)
	go func() {
		list, err := readSome(path.Join("/", root, "lib/modules", unix.ByteSliceToString(u.Release[:]), "modules.builtin"), 4<<20)
		says <- fmt.Sprintln(err == nil && sockdiag.BuiltIn(list))
	}()
	_, err := io.WriteString(out, inTime(says, builtInLate))
	if c, ok := out.(io.Closer); ok {
		c.Close() // the parent need not wait for a thread that cannot be ended
	}
	return err
}
