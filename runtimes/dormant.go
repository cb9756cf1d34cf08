package runtimes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// maxUnixTable bounds the table of unix sockets in bytes: 100 a socket.
const maxUnixTable = 64 << 20

// listening is __SO_ACCEPTCON in the table's flags.
const listening = 0x10000

// daemons are how the names of the processes begin that serve these sockets.
var daemons = []string{"docker", "podman", "containerd", "crio", "cri-", "balena"}

// Dormant returns the paths among the sockets on which systemd listens for a
// service that does not run. To connect to one would start that service, which
// no look at a host may do; podman is like this most of the time, docker where
// only its socket unit is enabled.
//
// It reads the table of unix sockets, the name of each process, and where systemd
// has one of the sockets open, the file descriptors of the daemons. Errors are
// those of reading these; without root the descriptors of others are denied.
//
// Source: systemd.socket(5); Linux 6.12 net/unix/af_unix.c, unix_seq_show.
func Dormant(root string, sockets []Socket) (map[string]bool, error) {
	mounts, err := readMounts()
	if err != nil {
		return nil, err
	}
	l := newLookup(root, mounts)
	proc := path.Join(l.root, "proc")
	table, err := readUnixTable(path.Join(proc, "1/net/unix"))
	if err != nil {
		return nil, err
	}
	inodes := bound(l, table, sockets)
	if len(inodes) == 0 {
		return nil, nil
	}
	managers, servers, err := namedProcesses(proc)
	if err != nil {
		return nil, err
	}
	waited, err := opened(proc, managers, inodes)
	if err != nil || len(waited) == 0 {
		return nil, err
	}
	served, err := opened(proc, servers, inodes)
	if err != nil {
		return nil, err
	}
	for p := range served {
		delete(waited, p)
	}
	return waited, nil
}

func readUnixTable(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table, err := io.ReadAll(io.LimitReader(f, maxUnixTable))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return table, nil
}

// bound returns the path of a socket file by the inode of a listening socket
// bound to it. A path in the table is as it was bound, so it is looked up and
// compared by device and inode. A process may forge lines of the table by a
// newline in a path: a file has as many inodes as lines say.
func bound(l *lookup, table []byte, sockets []Socket) map[uint64]string {
	files := make(map[entry]string)
	bases := make(map[string]bool)
	for _, s := range sockets {
		if e, err := lstat(s.Path); err == nil {
			files[entry{dev: e.dev, ino: e.ino}] = s.Path
			bases[path.Base(s.Path)] = true
		}
	}
	inodes := make(map[uint64]string)
	for line := range bytes.Lines(table) {
		inode, at, ok := parseListener(string(line))
		if !ok || !bases[path.Base(at)] {
			continue
		}
		if _, e, err := l.find(at); err == nil {
			if p, ok := files[entry{dev: e.dev, ino: e.ino}]; ok {
				inodes[inode] = p
			}
		}
	}
	return inodes
}

// parseListener reads one line of /proc/net/unix: "Num: RefCount Protocol Flags
// Type St Inode Path". It is ok for a listening socket that is bound to a path.
func parseListener(line string) (inode uint64, at string, ok bool) {
	rest := strings.TrimSuffix(line, "\n")
	var fields [7]string // numbers may be padded with blanks, a path may begin with one
	for i := range fields {
		fields[i], rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	}
	flags, err := strconv.ParseUint(fields[3], 16, 32)
	if err != nil || flags&listening == 0 || !path.IsAbs(rest) {
		return 0, "", false
	}
	inode, err = strconv.ParseUint(fields[6], 10, 64)
	return inode, rest, err == nil
}

// namedProcesses returns the processes that are a systemd, the system's or a
// user's, and those that may be a runtime's daemon.
func namedProcesses(proc string) (managers, servers []string, err error) {
	dir, err := os.Open(proc)
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	all, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range all {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		comm, err := os.ReadFile(path.Join(proc, name, "comm"))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		text := strings.TrimSuffix(string(comm), "\n")
		if text == "systemd" {
			managers = append(managers, name)
			continue
		}
		for _, d := range daemons {
			if strings.HasPrefix(text, d) {
				servers = append(servers, name)
				break
			}
		}
	}
	return managers, servers, nil
}

// opened returns the paths whose sockets one of the processes has open.
func opened(proc string, pids []string, inodes map[uint64]string) (map[string]bool, error) {
	found := make(map[string]bool)
	for _, pid := range pids {
		fds := path.Join(proc, pid, "fd")
		names, err := os.ReadDir(fds)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, fd := range names {
			target, err := os.Readlink(path.Join(fds, fd.Name()))
			if gone(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			number, ok := strings.CutPrefix(target, "socket:[")
			if !ok {
				continue
			}
			inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %q: %w", fds, target, err)
			}
			if p, ok := inodes[inode]; ok {
				found[p] = true
			}
		}
	}
	return found, nil
}

// gone reports that a process, or what it had, ended while it was looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
