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
	"strings"
	"time"

	"sexton.dev/collect/door"
	"sexton.dev/linux/systemd"
	"sexton.dev/runtimes/dockerd"
	"sexton.dev/snapshot"
)

const (
	settingsWithin = 5 * time.Second // for all files of settings: they may be on a dead file system
	maxUnits       = 500
	maxSettings    = 1 << 20 // bytes of docker's file
)

// A settingsQuestion is what the child that reads files of settings is asked.
type settingsQuestion struct {
	Root   string   `json:"root"`
	Units  []string `json:"units,omitempty"`
	Docker string   `json:"docker"` // file of dockerd's settings
}

// A settingsReply is its answer. Of the files it has what matters for mounts
// alone: they hold passwords, too.
type settingsReply struct {
	Units  []snapshot.UnitSettings `json:"units,omitempty"`
	Docker *dockerd.File           `json:"docker,omitempty"` // nil: no such file
	Lacks  []snapshot.Unread       `json:"lacks,omitempty"`
}

// settings reads what units, docker and the kernel were told of mounts. It needs
// the mount tables, which tell which units matter.
func (l *looker) settings(ctx context.Context) {
	if !l.wants(snapshot.Configured) {
		return
	}
	l.h.Settings = &snapshot.Settings{}
	text, err := l.ReadFile("/proc/sys/fs/may_detach_mounts")
	l.unread(snapshot.Configured, "/proc/sys/fs/may_detach_mounts", err)
	l.h.Settings.MayDetach = strings.TrimSpace(string(text))
	daemon, flags, file := l.toldDocker()
	units := l.unitsThatMatter()
	loaded := l.loadedUnits(ctx, units)
	q := settingsQuestion{Root: l.Root, Units: units, Docker: file}
	if daemon != nil && len(daemon.Argv) == 0 { // which file it has, and what holds, is on it
		l.missing(snapshot.Configured, fmt.Sprintf("the command line of dockerd (pid %d)", daemon.PID), door.ErrDeadline.Error())
	}
	r, err := l.askSettings(ctx, q)
	l.h.Settings.Units = mergeUnits(r.Units, loaded)
	if err != nil {
		l.missing(snapshot.Configured, "unit files and "+q.Docker, cause(err))
		return
	}
	l.h.Unread = append(l.h.Unread, r.Lacks...)
	if daemon != nil || r.Docker != nil {
		l.h.Settings.Docker = mergeDocker(flags, r.Docker, q.Docker)
	}
	if daemon != nil {
		l.h.Settings.Docker.PID, l.h.Settings.Docker.Unit = daemon.PID, unitOf(daemon.Cgroup)
	}
}

func (l *looker) askSettings(ctx context.Context, q settingsQuestion) (settingsReply, error) {
	var r settingsReply
	text, err := l.Ask("settings", func() ([]byte, error) { return l.Child.ask(ctx, settingsWithin, q, "settings") })
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("the reply of the child: %w", err)
	}
	return r, nil
}

// daemon is the host's own dockerd or containerd, nil if none runs.
func (l *looker) daemon(comm string) *snapshot.Process {
	for i := range l.h.Processes {
		if p := &l.h.Processes[i]; p.Comm == comm && p.Container == "" && p.State != snapshot.Dead {
			return p
		}
	}
	return nil
}

// unitsThatMatter are the services of which a process is in another mount
// namespace than PID 1, and those of container software.
func (l *looker) unitsThatMatter() []string {
	apart := map[int]bool{}
	if l.h.Mounts != nil {
		for _, ns := range l.h.Mounts.Namespaces {
			host := slices.ContainsFunc(ns.Pins, func(p snapshot.Pin) bool { return p.PID == 1 && p.Kind == "process" })
			for _, p := range ns.Pins {
				apart[p.PID] = apart[p.PID] || p.Kind == "process" && !host
			}
		}
	}
	var out []string
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		unit := unitOf(p.Cgroup)
		matters := apart[p.PID] || slices.Contains([]string{"dockerd", "containerd", "crio", "kubelet"}, p.Comm)
		if p.Container == "" && matters && unit != "" && !slices.Contains(out, unit) && len(out) < maxUnits {
			out = append(out, unit)
		}
	}
	slices.Sort(out)
	return out
}

// unitOf is the service of the host's systemd in a cgroup path, "" if there is none:
// what is below a user's manager is that one's, and may have the name of another here.
func unitOf(cgroup string) string {
	for part := range strings.SplitSeq(cgroup, "/") {
		if strings.HasSuffix(part, ".service") {
			if strings.HasPrefix(part, "user@") {
				return ""
			}
			return part
		}
	}
	return ""
}

// childSettings is the child's part.
func childSettings(out io.Writer, text string) error {
	var q settingsQuestion
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return err
	}
	q.Root = strings.TrimSuffix(q.Root, "/")
	var r settingsReply
	lack := func(what string, err error) {
		r.Lacks = append(r.Lacks, snapshot.Unread{Part: snapshot.Configured, Path: what, Err: cause(err)})
	}
	for _, unit := range q.Units {
		u, err := unitSettings(q.Root, unit)
		if err != nil {
			lack("unit "+unit, err)
		}
		if u != nil {
			r.Units = append(r.Units, *u)
		}
	}
	var err error
	if r.Docker, err = readDocker(path.Join(q.Root, "/", q.Docker)); err != nil && !door.Gone(err) {
		lack(q.Docker, err)
	}
	return json.NewEncoder(out).Encode(r)
}

// unitSettings reads one unit; nil if nothing is known of it.
func unitSettings(root, unit string) (*snapshot.UnitSettings, error) {
	files, err := systemd.Files(root, unit)
	if errors.Is(err, systemd.ErrMasked) || errors.Is(err, fs.ErrInvalid) || err == nil && len(files) == 0 {
		return nil, nil // it runs all the same, by what systemd read before
	}
	all, parse := systemd.Private(files)
	u := &snapshot.UnitSettings{Name: unit, From: "files"}
	for _, d := range all {
		u.Directives = append(u.Directives, snapshot.Directive(d))
	}
	return u, errors.Join(err, parse)
}
