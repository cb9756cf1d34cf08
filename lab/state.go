package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A record is the state file of one fault: what must be gone after down.
type record struct {
	Name      string    `json:"name"`
	BootID    string    `json:"bootID"`       // of another boot: nothing of it can be alive
	PIDSpace  string    `json:"pidNamespace"` // whose pids these are, as /proc/self/ns/pid names it
	Until     time.Time `json:"until"`
	Complete  bool      `json:"complete"`         // up has proved the fault
	Processes []Process `json:"processes"`        // init first, once there is one
	Groups    []string  `json:"groups,omitempty"` // directories of control groups, the outer ones first
	Dir       string    `json:"dir,omitempty"`    // of a fault with daemons: down removes it, and the control groups of its name
}

// The roles of the processes that down signals. All others end with init.
const (
	roleInit   = "init"
	roleFeeder = "feeder"
)

const (
	maxRecord    = 64 << 10 // bytes of a state file
	maxProcesses = 16
)

func newRecord(name string, until time.Time) (record, error) {
	boot, err := bootID()
	if err != nil {
		return record{}, err
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	return record{Name: name, BootID: boot, PIDSpace: space, Until: until.Round(0)}, err
}

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("which boot this is: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// role returns the first process with this role, the zero Process if none has it.
func (r record) role(name string) Process {
	for _, p := range r.Processes {
		if p.Role == name {
			return p
		}
	}
	return Process{}
}

// alive returns those of the recorded processes that live, with their names of now.
func (r record) alive() []Process {
	if boot, err := bootID(); err == nil && boot != r.BootID {
		return nil
	}
	var out []Process
	for _, p := range r.Processes {
		if comm, ok := p.alive(); ok {
			p.Comm = comm
			out = append(out, p)
		}
	}
	return out
}

// parseRecord reads a state file. A file that root owns is still not believed
// blindly: pids and names are checked for what a fault can hold.
func parseRecord(text []byte, name string) (record, error) {
	var r record
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&r); err != nil {
		return record{}, fmt.Errorf("not a state file: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return record{}, errors.New("not a state file: more than one JSON value")
	}
	switch {
	case r.Name != name:
		return record{}, fmt.Errorf("not a state file of %s: name %.40q", name, r.Name)
	case r.BootID == "":
		return record{}, errors.New("not a state file: no bootID")
	case r.Until.IsZero():
		return record{}, errors.New("not a state file: no until")
	case r.Dir != "" && !isRuntimeDir(r.Dir):
		return record{}, fmt.Errorf("not a state file: directory %.80q", r.Dir)
	case len(r.Processes) > maxProcesses:
		return record{}, fmt.Errorf("not a state file: %d processes", len(r.Processes))
	}
	for _, dir := range r.Groups {
		if !isGroup(dir, name) {
			return record{}, fmt.Errorf("not a state file: control group %.80q", dir)
		}
	}
	for _, p := range r.Processes {
		if p.PID < 2 || p.Start == 0 {
			return record{}, fmt.Errorf("not a state file: process %d started at %d", p.PID, p.Start)
		}
	}
	return r, nil
}

// readable refuses a record whose pids mean other processes to us.
func (r record) readable() error {
	mine, err := newRecord(r.Name, r.Until)
	if err == nil && mine.BootID == r.BootID && mine.PIDSpace != r.PIDSpace {
		err = fmt.Errorf("made in another PID namespace (%.40q; here is %s)", r.PIDSpace, mine.PIDSpace)
	}
	return err
}

// A stateDir is the directory of state files; lock is held while it is changed.
type stateDir struct {
	path string
	lock *os.File
}

// openState locks the directory, waiting for another up or down until ctx ends.
// With create it makes it. Else a directory that is not there gives one in
// which there is nothing.
func openState(ctx context.Context, path string, create bool) (stateDir, error) {
	d := stateDir{path: path}
	if create {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return d, fmt.Errorf("state directory: %w", err)
		}
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return d, fmt.Errorf("state directory: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) && !create {
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("state directory: %w", err)
	}
	if err := ours(f); err != nil {
		f.Close()
		return d, fmt.Errorf("state directory: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			d.lock = f
			return d, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return d, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return d, hint(fmt.Errorf("another sexton lab works in %s: %w", path, ctx.Err()), "wait for it, or end it")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ours refuses a file that another user could have written: what it says makes
// root send signals.
func ours(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return hint(fmt.Errorf("%s belongs to uid %d with mode %#o: others may have written it", f.Name(), st.Uid, st.Mode&0o7777),
			"use a directory that only root may write")
	}
	return nil
}

func (d stateDir) close() {
	if d.lock != nil {
		d.lock.Close() // which unlocks
	}
}

func (d stateDir) file(name string) string { return filepath.Join(d.path, name+".json") }

// names returns the faults that have a state file, or the rest of one.
func (d stateDir) names() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".new"), ".json")
		if ok && name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, err
}

// read returns a fault's record; [os.ErrNotExist] if it has none.
func (d stateDir) read(name string) (record, error) {
	path := d.file(name)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	if err := ours(f); err != nil {
		return record{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return record{}, err
	}
	text := []byte(nil)
	if !info.Mode().IsRegular() || info.Size() > maxRecord {
		err = fmt.Errorf("not a state file: %v, %d bytes", info.Mode().Type(), info.Size())
	} else if text, err = io.ReadAll(io.LimitReader(f, maxRecord)); err != nil {
		return record{}, err
	}
	var r record
	if err == nil {
		r, err = parseRecord(text, name)
	}
	if err == nil {
		err = r.readable()
	}
	if err != nil {
		return record{}, hint(fmt.Errorf("%s: %w", path, err),
			"what it stood for ends by itself; look with: grep -l sexton-lab /proc/[0-9]*/comm, then remove the file")
	}
	return r, nil
}

// write replaces the record in one step.
func (d stateDir) write(r record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	path := d.file(r.Name)
	// O_EXCL and O_NOFOLLOW are not needed: only we may write the directory, and we hold its lock.
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	return nil
}

func (d stateDir) remove(name string) error {
	for _, path := range []string{d.file(name) + ".new", d.file(name)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("state file: %w", err)
		}
	}
	return nil
}

// free says whether a fault can be brought up: nothing of an earlier one lives.
func (d stateDir) free(name string) error {
	r, err := d.read(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	alive := r.alive()
	if len(alive) == 0 {
		return nil
	}
	state := "is up already"
	if !r.Complete {
		state = "was left half made"
	}
	return hint(fmt.Errorf("%s %s (pid %d, ends %s)", name, state, alive[0].PID, r.Until.Local().Format("15:04:05")),
		"sexton lab down "+name)
}
