package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/snapshot"
)

var errNoFifo = errors.New("neither its command line nor its descriptors tell")

// A fifoQuestion asks for a fifo and the state of its container, by a path below the
// root directory of a process.
type fifoQuestion struct {
	Path   string `json:"path"`
	Within int    `json:"within"`
}

// A fifoAnswer says what is there.
type fifoAnswer struct {
	Path   string       `json:"path"`
	Device string       `json:"device,omitempty"`
	Inode  uint64       `json:"inode,omitempty"`
	Init   *snapshot.ID `json:"init,omitempty"`
	Err    string       `json:"err,omitempty"`
}

const (
	fifosLimit = time.Second
	maxState   = 4 << 20 // bytes of a state.json; it holds the whole configuration
)

// askFifos asks a child process: the directories are a runtime's, and their file
// system may be a dead one.
func (l *looker) askFifos(ctx context.Context, questions []fifoQuestion) ([]byte, error) {
	text, err := json.Marshal(questions)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fifosLimit)
	defer cancel()
	return l.Child(ctx, "fifos", l.Proc, string(text))
}

func childFifos(out io.Writer, proc, text string) error {
	var questions []fifoQuestion
	if err := json.Unmarshal([]byte(text), &questions); err != nil {
		return err
	}
	var answers []fifoAnswer
	for _, q := range questions {
		a, err := lookAtFifo(path.Join(proc, strconv.Itoa(q.Within), "root"), q.Path)
		if err != nil {
			a.Err = err.Error()
		}
		answers = append(answers, a)
	}
	return json.NewEncoder(out).Encode(answers)
}

// lookAtFifo opens nothing but the directory and the state: to open a fifo is to be
// its other side. No walk leaves root, whatever links there are.
func lookAtFifo(root, file string) (fifoAnswer, error) {
	a := fifoAnswer{Path: file}
	top, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return a, fmt.Errorf("open %s: %w", root, err)
	}
	defer unix.Close(top)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	dir, err := unix.Openat2(top, path.Dir(file), &how)
	if err != nil {
		return a, fmt.Errorf("open %s: %w", path.Dir(file), err)
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := unix.Fstatat(dir, path.Base(file), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return a, fmt.Errorf("%s: %w", file, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return a, fmt.Errorf("%s is no fifo", file)
	}
	a.Device, a.Inode = deviceName(unix.Major(st.Dev), unix.Minor(st.Dev)), st.Ino
	fd, err := unix.Openat(dir, "state.json", unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return a, fmt.Errorf("state.json: %w", err)
	}
	f := os.NewFile(uintptr(fd), "state.json")
	defer f.Close()
	state, err := io.ReadAll(io.LimitReader(f, maxState))
	if err == nil {
		a.Init, err = initOf(state)
	}
	return a, err
}

// initOf reads who a container's init is from its state.json. The start time is in
// clock ticks after boot; until 1.0.0-rc4 runc wrote it as a string.
//
// Source: runc libcontainer/container.go, BaseState.
func initOf(state []byte) (*snapshot.ID, error) {
	var s struct {
		PID   int             `json:"init_process_pid"`
		Start json.RawMessage `json:"init_process_start"`
	}
	if err := json.Unmarshal(state, &s); err != nil {
		return nil, fmt.Errorf("state.json: %w", err)
	}
	text := string(s.Start)
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	start, err := strconv.ParseUint(text, 10, 64)
	if err != nil || s.PID < 1 {
		return nil, fmt.Errorf("state.json: process %d, started at %.40q", s.PID, text)
	}
	return &snapshot.ID{PID: s.PID, Start: start}, nil
}
