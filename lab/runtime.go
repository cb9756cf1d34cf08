package lab

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sexton.dev/linux/procfs"
)

// The faults of runtimes: a containerd and a dockerd of their own, with one
// container, of which one layer is made silent. They have the host's programs and
// network namespace, and a /run, a /proc and data of their own.
var (
	runtimeContainerd = runtimeFault("runtime-containerd-stopped", "a containerd that is stopped below its dockerd", "safe",
		"containerd is the first silent layer, stopped; dockerd above it answers docker ps, and not docker version", halted("containerd"))
	runtimeShim = runtimeFault("runtime-shim-stopped", "a container's shim that is stopped, while docker stop waits for it", "safe",
		"the shim of container web is the first silent layer, stopped; dockerd and containerd above it answer", halted("containerd-shim"))
	runtimeDockerd = runtimeFault("runtime-dockerd-stopped", "a dockerd that is stopped", "safe",
		"dockerd is the first silent layer, stopped, with connections in its queue", halted("dockerd"))
	runtimeRunc = runtimeFault("runtime-runc-hung", "a runc exec below a shim that never ends, so that docker inspect of its container waits", "disruptive",
		"runc of container web is the first silent layer, from when it is 30 s old: it waits to open a FIFO", waits("runc", "wait_for_partner"))
	runtimeFIFO = runtimeFault("runtime-fifo", "a container that waits for a reader of its output: its log's server reads nothing", "",
		"dockerd for container chatty is the first silent layer: it does not read what the container writes", waits("sh", "pipe_write"))
)

var runtimeFaults = []Fault{runtimeContainerd, runtimeShim, runtimeDockerd, runtimeRunc, runtimeFIFO}

// A sign tells the process that shows a fault by what stat and wchan say of it.
type sign struct {
	comm string
	text string
	is   func(procfs.Stat) bool
}

func halted(comm string) sign {
	return sign{comm, "stopped (state T)", func(s procfs.Stat) bool { return s.State == 'T' }}
}

// waits is the sign of a process that waits in a kernel function whose name ends so.
func waits(comm, wchan string) sign {
	return sign{comm, "waiting in " + wchan, func(s procfs.Stat) bool {
		text, err := os.ReadFile(procPath(s.PID, "wchan"))
		return err == nil && strings.HasSuffix(string(text), wchan)
	}}
}

func runtimeFault(name, summary, risk, want string, s sign) Fault {
	return Fault{
		Name: name, Summary: summary, Risk: risk,
		Want:  []string{"runtime-hung: " + want},
		Harm:  "two daemons and a container more, 100 MB of memory at most; nothing of the machine's own runtimes is touched",
		ready: runtimeReady,
		build: func(st *site) error { return runtimeBuild(st, s) },
		look:  func(r record) (sight, error) { return runtimeLook(r, s) },
	}
}

// runtimePrograms are what the scenes run.
var runtimePrograms = []string{"dockerd", "docker", "containerd", "containerd-shim-runc-v2", "runc", "busybox", "sh"}

func runtimeReady(Options) error {
	var lacks []string
	for _, name := range runtimePrograms {
		if _, err := program(name); err != nil {
			lacks = append(lacks, name)
		}
	}
	if len(lacks) > 0 {
		return hint(fmt.Errorf("needs a docker and a containerd to start for itself; missing: %s", strings.Join(lacks, ", ")),
			"install docker.io, containerd, runc and busybox-static; their own daemons need not run")
	}
	busybox, _ := program("busybox")
	f, err := elf.Open(busybox)
	if err != nil {
		return err
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return hint(fmt.Errorf("%s is linked to libraries, which a container does not have", busybox), "install busybox-static")
	}
	return nil
}

func runtimeBuild(s *site, sign sign) error {
	var err error
	// A directory that the host sees, for the sockets, and short: a socket's path has 107 bytes.
	if s.rec.Dir, err = os.MkdirTemp("/run", "sexton-lab-"); err != nil {
		return err
	}
	if err := s.dir.write(s.rec); err != nil {
		return err
	}
	init, err := s.startInit("runtime-init", syscall.CLONE_NEWNS, s.rec.Name, s.rec.Dir)
	if err != nil {
		return err
	}
	if err := init.next(s.ctx, "stuck"); err != nil {
		return err
	}
	silent, err := s.steady(sign)
	if err != nil {
		return err
	}
	if err := s.note("silent", silent.PID); err != nil {
		return err
	}
	if err := s.proved(); err != nil {
		return err
	}
	return init.order()
}

// steady waits until one process has shown the sign for a second without having run: a
// pipe that is full for a moment is not stuck yet.
func (s *site) steady(sign sign) (silent procfs.Stat, err error) {
	var switches uint64
	var since time.Time
	err = s.until(sign.comm+" is "+sign.text, func() (bool, error) {
		p, found := showing(s.rec, sign)
		st, err := readStatus(p.PID)
		if !found || err != nil {
			since = time.Time{}
			return false, nil
		}
		if since.IsZero() || p.PID != silent.PID || st.Switches() != switches {
			silent, switches, since = p, st.Switches(), time.Now()
		}
		return time.Since(since) >= time.Second, nil
	})
	return silent, err
}

// runtimeLook proves the fault by the process that shows it.
func runtimeLook(r record, sign sign) (sight, error) {
	p, ok := showing(r, sign)
	if !ok {
		return sight{text: fmt.Sprintf("no %s is %s", sign.comm, sign.text)}, nil
	}
	return sight{text: fmt.Sprintf("%s (pid %d) is %s", p.Comm, p.PID, sign.text), all: true, any: true}, nil
}

// showing finds the process below init that has the sign.
func showing(r record, sign sign) (found procfs.Stat, ok bool) {
	var all []procfs.Stat
	if err := everyProcess(func(s procfs.Stat) { all = append(all, s) }); err != nil {
		return found, false
	}
	below := map[int]bool{r.role(roleInit).PID: true}
	for grown := true; grown; {
		grown = false
		for _, s := range all {
			if !below[s.PPID] || below[s.PID] {
				continue
			}
			below[s.PID], grown = true, true
			if s.Comm == sign.comm && sign.is(s) {
				found, ok = s, true
			}
		}
	}
	return found, ok
}

// isRuntimeDir reports whether a path may be that of a scene's directory: down removes
// it and the control groups of its name, and no other.
func isRuntimeDir(path string) bool {
	number, ok := strings.CutPrefix(path, "/run/sexton-lab-")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// clean removes what a fault left besides processes: devices, or a scene's directory and
// its control groups.
func (r record) clean() error {
	if _, thin := thinScenes[r.Name]; thin {
		return dropDevices(r.Name)
	}
	if r.Dir == "" {
		return nil
	}
	if !isRuntimeDir(r.Dir) {
		return fmt.Errorf("not a directory of the lab: %.80q", r.Dir)
	}
	groups, err := groupsNamed(filepath.Base(r.Dir))
	return errors.Join(err, removeGroups(groups), os.RemoveAll(r.Dir))
}

// groupsNamed lists the control groups of a name and below in all hierarchies, the outer ones first.
func groupsNamed(name string) (dirs []string, err error) {
	tops, err := filepath.Glob("/sys/fs/cgroup/*/" + name)
	for _, top := range append(tops, "/sys/fs/cgroup/"+name) {
		err = errors.Join(err, filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		}))
	}
	return dirs, err
}
