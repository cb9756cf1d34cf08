package collect

import (
	"encoding/json"
	"errors"
	"io"
	"path"
	"strconv"
	"time"

	"sexton.dev/linux/mounts"
	"sexton.dev/runtimes/runc"
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

const fifosLimit = 3 * time.Second

// childFifos is a child's part: the directories are a runtime's, and their file system
// may be a dead one.
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

// lookAtFifo opens nothing but the directory and the state.
func lookAtFifo(root, file string) (fifoAnswer, error) {
	a := fifoAnswer{Path: file}
	d, err := runc.Open(root, file)
	if err != nil {
		return a, err
	}
	defer d.Close()
	a.Device, a.Inode = mounts.Device{Major: d.Major, Minor: d.Minor}.String(), d.Inode
	init, err := d.Init()
	if err == nil {
		a.Init = &snapshot.ID{PID: init.PID, Start: init.Start}
	}
	return a, err
}
