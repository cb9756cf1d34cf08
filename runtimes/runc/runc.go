// Package runc knows what runc keeps of a container in its directory of state, and
// lets a runc go that waits there for an init that does not come.
package runc

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

const (
	// Fifo is the name of the fifo in which a created container waits to be started.
	Fifo      = "exec.fifo"
	stateFile = "state.json"
	maxState  = 4 << 20 // bytes; it holds the whole configuration
)

// An Init is a container's first process, as runc wrote it down.
type Init struct {
	PID   int
	Start uint64 // clock ticks after boot
}

// ErrState is wrapped by errors that mean a state.json was not as runc writes it.
var ErrState = errors.New("not the state of a container")

// ParseState reads who a container's init is from its state.json. Until 1.0.0-rc4
// the start time was a string.
//
// Source: runc libcontainer/container.go, BaseState.
func ParseState(text []byte) (Init, error) {
	var s struct {
		PID   int             `json:"init_process_pid"`
		Start json.RawMessage `json:"init_process_start"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return Init{}, fmt.Errorf("%s: %w: %w", stateFile, ErrState, err)
	}
	start, err := strconv.ParseUint(strings.Trim(string(s.Start), `"`), 10, 64)
	if err != nil || s.PID < 1 {
		return Init{}, fmt.Errorf("%s: %w: process %d, started at %.40q", stateFile, ErrState, s.PID, string(s.Start))
	}
	return Init{s.PID, start}, nil
}

// FifoOf is the fifo of the container that a runc starts, by its command line; "" if
// it does another thing, or the line does not say.
//
// Source: runc main.go, start.go and run.go.
func FifoOf(argv []string) string {
	root := "/run/runc"
	starts := false
	for i := 1; i < len(argv); i++ {
		name, value, with := strings.Cut(strings.TrimPrefix(argv[i], "-"), "=")
		switch {
		case name == "-root" && with:
			root = value
		case name == "-root" && i+1 < len(argv):
			i++
			root = argv[i]
		case argv[i] == "start" || argv[i] == "run":
			starts = true
		}
	}
	if !starts {
		return ""
	}
	id := argv[len(argv)-1]
	if !path.IsAbs(root) || id == "" || id[0] == '-' || id == "." || id == ".." || strings.Contains(id, "/") {
		return ""
	}
	return path.Join(root, id, Fifo)
}
