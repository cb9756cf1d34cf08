package holders

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// hidden is the reason for which this /proc may list too few processes: it is
// mounted so that it hides those of others, and we may not see them all.
//
// Source: proc(5), hidepid; Linux 6.12 fs/proc/base.c, has_pid_permissions.
func hidden(proc string) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_PTRACE) != 0 {
		return nil
	}
	path := filepath.Join(proc, "self/mountinfo")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	table, err := mounts.ParseMountinfo(text)
	if err != nil {
		return err
	}
	option := hidingOption(table, filepath.Clean(proc))
	if option == "" {
		return nil
	}
	return errors.New(proc + " is mounted with " + option)
}

// hidingOption returns the option of the topmost proc at point that hides
// processes, or "".
func hidingOption(table []mounts.Mount, point string) (option string) {
	for _, m := range table {
		if m.MountPoint != point || m.Type != "proc" {
			continue
		}
		option = ""
		for _, o := range mounts.SplitSuper(m.Super) {
			switch value, _ := strings.CutPrefix(o, "hidepid="); {
			case value == o: // another option
			case value != "0" && value != "off":
				option = o
			}
		}
	}
	return option
}
