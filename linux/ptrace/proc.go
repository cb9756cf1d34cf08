package ptrace

import (
	"bytes"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A proc reads files of /proc into the same memory again and again: in a burst
// nothing is allocated.
type proc struct {
	dir  int // descriptor of the directory
	path [64]byte
	buf  []byte
}

// most bytes of a file: 65536 groups, before the rest of status, are under half of it.
const most = 1 << 20

func openProc(dir string) (*proc, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &proc{dir: fd, buf: make([]byte, most)}, nil
}

func (p *proc) close() { unix.Close(p.dir) }

// read reads PID/name, or PID/task/TID/name if tid is not 0. What it returns is good until the next read.
func (p *proc) read(pid, tid int, name string) ([]byte, unix.Errno) {
	path := strconv.AppendInt(p.path[:0], int64(pid), 10)
	if tid != 0 {
		path = append(path, "/task/"...)
		path = strconv.AppendInt(path, int64(tid), 10)
	}
	path = append(append(append(path, '/'), name...), 0)
	fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(p.dir), uintptr(unsafe.Pointer(&path[0])), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	defer unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
	n := 0
	for n < len(p.buf) {
		got, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&p.buf[n])), uintptr(len(p.buf)-n))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return nil, errno
		}
		if got == 0 {
			return p.buf[:n], 0
		}
		n += int(got)
	}
	return nil, unix.EFBIG
}

// A stat is what is needed of /proc/PID/stat.
type stat struct {
	state   byte
	ppid    int
	flags   uint64
	threads int
	start   uint64 // clock ticks after boot
	status  int    // as waitpid(2) gives it
}

func (p *proc) stat(pid, tid int) (stat, unix.Errno) {
	text, errno := p.read(pid, tid, "stat")
	if errno != 0 {
		return stat{}, errno
	}
	s, ok := parseStat(text)
	if !ok {
		return stat{}, unix.EPROTO
	}
	return s, 0
}

// parseStat is a small sister of procfs.ParseStat that allocates nothing and has field 52.
//
// Source: proc_pid_stat(5).
func parseStat(text []byte) (s stat, ok bool) {
	text = text[bytes.LastIndexByte(text, ')')+1:]
	for field := 3; ; field++ {
		var word []byte
		if word, text = cutWord(text); len(word) == 0 {
			return s, field > 52
		}
		if field == 3 {
			s.state = word[0]
			continue
		}
		n, valid := number(word)
		switch field {
		case 4:
			s.ppid = int(n)
		case 9:
			s.flags = n
		case 20:
			s.threads = int(n)
		case 22:
			s.start = n
		case 52:
			s.status = int(n)
		default:
			continue
		}
		if !valid {
			return s, false
		}
	}
}

// A status is what is needed of /proc/PID/status.
type status struct {
	tracer, seccomp int
	switches        uint64 // voluntary context switches

	pending, blocked, caught uint64 // signals: of the thread and of the process; of the thread; with a handler

	pids  [32]int // in the PID namespaces, from that of /proc to its own; the kernel nests 32
	depth int     // how many of them
}

func (p *proc) status(pid, tid int) (status, unix.Errno) {
	text, errno := p.read(pid, tid, "status")
	if errno != 0 {
		return status{}, errno
	}
	s := parseStatus(text)
	if s.depth == 0 {
		return s, unix.EPROTO
	}
	return s, 0
}

// parseStatus reads the lines by their names: no process can have a line break in its own name there.
//
// Source: proc_pid_status(5).
func parseStatus(text []byte) (s status) {
	for len(text) > 0 {
		var line []byte
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			line, text = text, nil
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			continue
		}
		word, rest := cutWord(line[colon+1:])
		n, _ := number(word)
		switch string(line[:colon]) {
		case "TracerPid":
			s.tracer = int(n)
		case "Seccomp":
			s.seccomp = int(n)
		case "SigPnd", "ShdPnd":
			s.pending |= hex(word)
		case "SigBlk":
			s.blocked = hex(word)
		case "SigCgt":
			s.caught = hex(word)
		case "voluntary_ctxt_switches":
			s.switches = n
		case "NSpid":
			for s.depth = 0; len(word) > 0 && s.depth < len(s.pids); word, rest = cutWord(rest) {
				n, _ := number(word)
				s.pids[s.depth] = int(n)
				s.depth++
			}
		}
	}
	return s
}

// cutWord cuts off the first word between white space.
func cutWord(text []byte) (word, rest []byte) {
	for len(text) > 0 && text[0] <= ' ' {
		text = text[1:]
	}
	for i, c := range text {
		if c <= ' ' {
			return text[:i], text[i:]
		}
	}
	return text, nil
}

func number(word []byte) (n uint64, ok bool) {
	for _, c := range word {
		if c < '0' || c > '9' || n > 1<<60 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, len(word) > 0
}

// hex reads a number as the kernel prints it, with 0x or without.
func hex(word []byte) (n uint64) {
	for _, c := range bytes.TrimPrefix(word, prefix) {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		}
	}
	return n
}

var prefix = []byte("0x")
