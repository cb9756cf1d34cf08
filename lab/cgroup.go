package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/cgroupfs"
)

// A hierarchy is where the control groups of a fault are made.
type hierarchy struct {
	base string // directory, as this process sees it
	v1   bool
}

// hierarchyOf finds the hierarchy with a controller. In version 1 groups are made below
// our own; in version 2 a group with processes has no room for groups with memory
// limits, so these are made below the nearest one that has.
func hierarchyOf(controller string) (hierarchy, error) {
	table, err := mountedHere()
	if err != nil {
		return hierarchy{}, err
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return hierarchy{}, err
	}
	all, err := cgroupfs.ParseMembership(text)
	if err != nil {
		return hierarchy{}, err
	}
	own, _ := cgroupfs.Of(all, controller)
	for _, m := range table {
		v1 := m.Type == "cgroup" && strings.Contains(","+m.Super+",", ","+controller+",")
		if !v1 && (m.Type != "cgroup2" || own.Hierarchy != 0) {
			continue
		}
		path, inside := strings.CutPrefix(own.Path, strings.TrimSuffix(m.Root, "/"))
		if !inside || strings.HasPrefix(own.Path, "/..") {
			continue
		}
		if v1 || controller != "memory" {
			return hierarchy{filepath.Join(m.MountPoint, path), v1}, nil
		}
		for ; ; path = filepath.Dir(path) {
			on, err := os.ReadFile(filepath.Join(m.MountPoint, path, "cgroup.subtree_control"))
			if err == nil && strings.Contains(" "+strings.TrimSpace(string(on))+" ", " "+controller+" ") {
				return hierarchy{filepath.Join(m.MountPoint, path), false}, nil
			}
			if path == "/" || path == "." || path == "" {
				break
			}
		}
	}
	return hierarchy{}, hint(fmt.Errorf("no hierarchy of control groups with %s is mounted here", controller), "run it on the host; in a container run it with --privileged and the host's /sys/fs/cgroup")
}

// containerGroup makes a control group such as docker makes for a container, and notes
// it before it is there. It returns its directory.
func (s *site) containerGroup(h hierarchy, id string) (string, error) {
	dir := filepath.Join(h.base, "sexton-lab-"+s.rec.Name)
	for _, part := range []string{"", "docker", id} {
		dir = filepath.Join(dir, part)
		s.rec.Groups = append(s.rec.Groups, dir)
	}
	if err := s.dir.write(s.rec); err != nil {
		return "", err
	}
	if err := removeGroups(s.rec.Groups); err != nil { // of one that ended and that nobody took down
		return "", err
	}
	for _, dir := range s.rec.Groups {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", fmt.Errorf("make a control group: %w", err)
		}
	}
	return dir, nil
}

// set writes a control file. One that this kernel does not have is left out if it may be.
func set(dir, file, value string, need bool) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	if errors.Is(err, os.ErrNotExist) && !need {
		return nil
	}
	return err
}

// thawAll lets run on what a fault froze: what is frozen does not end.
func thawAll(groups []string) {
	for _, dir := range groups { // one of these files is there, and none if it is gone
		set(dir, "freezer.state", "THAWED", false)
		set(dir, "cgroup.freeze", "0", false)
	}
}

// removeGroups removes a fault's groups, the inner ones first. What lived in them has
// ended, and the kernel may take a moment to see it.
func removeGroups(groups []string) error {
	for i := len(groups) - 1; i >= 0; i-- {
		for end := time.Now().Add(settle); ; time.Sleep(10 * time.Millisecond) {
			err := unix.Rmdir(groups[i])
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			if time.Now().After(end) {
				return hint(fmt.Errorf("control group %s is left: %w", groups[i], err), "end what is in its cgroup.procs, then run down again")
			}
		}
	}
	return nil
}

// isGroup reports whether a path may be that of a fault's group: down removes no other.
func isGroup(path, fault string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path && strings.Contains(path+"/", "/sexton-lab-"+fault+"/")
}
