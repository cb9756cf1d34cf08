package stackdump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const maxLog = 64 << 20 // bytes of a log that are read for one dump

// A textLog is a log of which the text since the signal can be read.
type textLog struct {
	from string
	pid  int                                       // of the shim that is asked; 0: the log's own daemon
	read func(ctx context.Context) ([]byte, error) // all since then
}

func (l *textLog) name() string { return l.from }

// find gives the lines of a dump, once its end is there.
func (l *textLog) find(ctx context.Context) (io.Reader, error) {
	text, err := l.read(ctx)
	if err != nil || ctx.Err() != nil {
		return nil, err
	}
	if out := dumpIn(text, l.pid); out != nil {
		return bytes.NewReader(out), nil
	}
	return nil, nil
}

var (
	dumpBegins = []byte("=== BEGIN goroutine stack dump")
	dumpEnds   = []byte("=== END goroutine stack dump")
)

// dumpIn finds the lines of one dump in a log: the shim's with that pid, or for 0
// that which no shim signed. A journal cuts long lines; nil as long as the end is missing.
func dumpIn(text []byte, pid int) []byte {
	for {
		i := bytes.Index(text, dumpBegins)
		if i < 0 {
			return nil
		}
		begin := bytes.LastIndexByte(text[:i], '\n') + 1
		j := bytes.Index(text[i:], dumpEnds)
		if j < 0 {
			return nil
		}
		rest := text[i+j:]
		n := bytes.IndexByte(rest, '\n')
		if n < 0 {
			return nil // the line is still being written
		}
		end := i + j + n + 1
		if signed := signature(rest[:n]); signed == pid || signed == 0 {
			return text[begin:end]
		}
		text = text[end:]
	}
}

// signature is the pid behind a dump's end, by which a shim tells whose it is; 0 if there is none.
func signature(line []byte) int {
	for field := range bytes.FieldsSeq(line) {
		if value, ok := bytes.CutPrefix(field, []byte("pid=")); ok {
			n, _ := strconv.Atoi(strings.Trim(string(value), `"`))
			return n
		}
	}
	return 0
}

// shimLog is the log of the containerd that reads what a shim says.
func shimLog(pid int) (place, error) {
	bundle, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return nil, fmt.Errorf("pid %d: its bundle: %w", pid, bare(err))
	}
	reader, err := readerOf(path.Join(bundle, "log"))
	if err != nil {
		return nil, err
	}
	if reader == 0 {
		return nil, fmt.Errorf("pid %d: %w: no containerd reads its log (%s/log), so its dump would be lost: is containerd running?", pid, ErrRefused, bundle)
	}
	if stat, err := readStat(reader); err == nil && (stat.State == 'T' || stat.State == 't') {
		return nil, fmt.Errorf("pid %d: %w: containerd (pid %d), which has to write its log, is stopped: sexton heal resumes it", pid, ErrRefused, reader)
	}
	return logOf(reader, pid)
}

// readerOf is the containerd that has a shim's pipe open; 0 if none has.
func readerOf(pipe string) (int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return 0, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(0)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if layer, err := layerOf(pid); err != nil || layer != "containerd" {
			continue
		}
		fds, _ := os.ReadDir("/proc/" + name + "/fd")
		for _, fd := range fds {
			if link, err := os.Readlink("/proc/" + name + "/fd/" + fd.Name()); err == nil && link == pipe {
				return pid, nil
			}
		}
	}
	return 0, nil
}

// logOf is the log of a containerd from now on, in which shim's dump is looked for,
// or its own for 0: whatever its standard error is.
func logOf(containerd, shim int) (place, error) {
	link := fmt.Sprintf("/proc/%d/fd/2", containerd)
	target, err := os.Readlink(link)
	who := fmt.Sprintf("the log of containerd (pid %d)", containerd)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", who, bare(err))
	case strings.HasPrefix(target, "socket:"):
		return journal(containerd, shim, time.Now())
	case !strings.HasPrefix(target, "/") || target == "/dev/null":
		return nil, fmt.Errorf("%s: %w: it is %s, which cannot be read from here: kill -USR1 the process by hand, and pipe what that log becomes to sexton stacks -", who, ErrRefused, target)
	}
	fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0) // also of a file that was moved away since
	if err != nil {
		return nil, fmt.Errorf("%s: %w", who, err)
	}
	defer unix.Close(fd)
	f, err := reopen(fd, target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", who, errors.Join(ErrRefused, err))
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", who, bare(err))
	}
	from := info.Size()
	return &textLog{from: target, pid: shim, read: func(context.Context) ([]byte, error) {
		return io.ReadAll(io.NewSectionReader(f, from, maxLog))
	}}, nil
}

// journalctl is where that is; found by no PATH, which a child of sexton has not.
var journalctl = []string{"/usr/bin/journalctl", "/bin/journalctl"}

// journal is what systemd's journal has of a daemon's unit since a time.
func journal(containerd, shim int, since time.Time) (place, error) {
	program := ""
	for _, name := range journalctl {
		if _, err := os.Stat(name); err == nil {
			program = name
			break
		}
	}
	if program == "" {
		return nil, fmt.Errorf("pid %d: %w: its log goes to a socket, and there is no journalctl here: run sexton on the host", containerd, ErrRefused)
	}
	whose := "_PID=" + strconv.Itoa(containerd)
	if unit := unitIn(some(fmt.Sprintf("/proc/%d/cgroup", containerd))); unit != "" {
		whose = "_SYSTEMD_UNIT=" + unit
	}
	return &textLog{from: "the journal, " + whose, pid: shim, read: func(ctx context.Context) ([]byte, error) {
		cmd := exec.CommandContext(ctx, program, "--quiet", "--no-pager", "--all", "--output=cat", fmt.Sprintf("--since=@%d", since.Unix()), whose)
		cmd.WaitDelay = time.Second
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(out, maxLog))
		if bad := cmd.Wait(); err == nil && ctx.Err() == nil {
			err = bad
		}
		return text, err
	}}, nil
}

// unitIn is the service in the text of a cgroup file, "" if there is none.
func unitIn(cgroup []byte) string {
	for line := range bytes.Lines(cgroup) {
		for part := range bytes.SplitSeq(bytes.TrimSpace(line), []byte("/")) {
			if bytes.HasSuffix(part, []byte(".service")) {
				return string(part)
			}
		}
	}
	return ""
}
