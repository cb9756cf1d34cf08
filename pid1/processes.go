package pid1

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// A process is one line of /proc/<pid>/stat.
type process struct {
	pid, parent int
	comm        string
	state       byte
	start       string // ticks after boot, as text: only compared
}

func (p process) String() string { return printable(p.comm) + " (pid " + itoa(p.pid) + ")" }

// parseStat parses /proc/<pid>/stat. The name is taken up to the last ')', since
// a process may put one into its own.
//
// Source: proc_pid_stat(5).
func parseStat(text string) (p process, ok bool) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 2 || end < open {
		return p, false
	}
	rest := strings.Fields(text[end+1:])
	if len(rest) < 20 || len(rest[0]) != 1 || rest[0][0]|0x20 < 'a' || rest[0][0]|0x20 > 'z' {
		return p, false
	}
	pid, err := strconv.Atoi(text[:open-1])
	parent, err2 := strconv.Atoi(rest[1])
	if err != nil || err2 != nil {
		return p, false
	}
	return process{pid: pid, parent: parent, comm: text[open+1 : end], state: rest[0][0], start: rest[19]}, true
}

// readProcess reads one process. It fails if that is gone, or there is no /proc.
func readProcess(pid int) (process, bool) {
	text, err := readSmall("/proc/" + itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	return parseStat(text)
}

// readSmall reads a file of the kernel that fits one page.
func readSmall(path string) (string, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer syscall.Close(fd)
	var b [4096]byte
	n, err := syscall.Read(fd, b[:])
	return string(b[:max(n, 0)]), err
}

// processes lists all that this PID namespace has; ok is false without /proc, or
// with that of another namespace, whose numbers mean other processes here.
func processes() (all []process, ok bool) {
	if self, err := os.Readlink("/proc/self"); err != nil || self != itoa(os.Getpid()) {
		return nil, false
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, false
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, false
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := readProcess(pid); ok {
				all = append(all, p)
			}
		}
	}
	return all, len(all) > 0
}

// wchan is the function of the kernel that a process waits in; "" if unknown.
func wchan(pid int) string {
	text, err := readSmall("/proc/" + itoa(pid) + "/wchan")
	if err != nil || text == "0" {
		return ""
	}
	return printable(text)
}

// printable is a name that a container chose, fit for a terminal.
func printable(name string) string {
	q := strconv.QuoteToASCII(name)
	return q[1 : len(q)-1]
}
