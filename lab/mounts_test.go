package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
)

// What the kernel shows of each host: who has the target mounted, by which groups.
func TestMountsForReal(t *testing.T) {
	tags := func(pid int, point string) string {
		table, err := mountedBy(pid, pid)
		if err != nil {
			t.Fatal(err)
		}
		text := "absent"
		for _, m := range table {
			if m.MountPoint == point {
				text = map[bool]string{true: "shared", false: ""}[m.Shared != 0] + map[bool]string{true: " slave", false: ""}[m.Master != 0]
			}
		}
		return strings.TrimSpace(text)
	}
	for _, tt := range []struct {
		fault                              Fault
		ownerRoot, unitRoot, ownerSecond   string // tags of the graph root's mount and of the second container's
		unitSecond, unitFirst, ownersFirst string
	}{
		{mountPrivateRoot, "", "shared", "", "shared", "shared", "absent"},
		{mountSharedRoot, "absent", "absent", "shared", "shared slave", "absent", "absent"},
		{mountPrivateTmp, "", "shared", "absent", "absent", "shared", "absent"},
	} {
		t.Run(tt.fault.Name, func(t *testing.T) {
			st := mustUp(t, tt.fault.Name, options(t, tt.fault))
			merged := func(name string) string { return filepath.Join(graphRoot, containerID(tt.fault.Name, name), "merged") }
			unit := pidOf(t, st, "unit")
			for what, pair := range map[string][2]string{
				"the owner's graph root":       {tags(st.PID, graphRoot), tt.ownerRoot},
				"the unit's graph root":        {tags(unit, graphRoot), tt.unitRoot},
				"the owner's first container":  {tags(st.PID, merged("first")), tt.ownersFirst},
				"the unit's first container":   {tags(unit, merged("first")), tt.unitFirst},
				"the owner's second container": {tags(st.PID, merged("second")), tt.ownerSecond},
				"the unit's second container":  {tags(unit, merged("second")), tt.unitSecond},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
				}
			}
		})
	}
}

// A loop device goes with the last mount. Other tests have loop devices at the same
// time, and one that is free is used again at once: the sequence number of what is in it
// tells whose it is.
func TestDeviceGoes(t *testing.T) {
	o := options(t, mountDevice)
	unit := pidOf(t, mustUp(t, deviceName, o), "unit")
	table, err := mountedBy(unit, unit)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(table, func(m mounts.Mount) bool { return m.MountPoint == globalMount })
	if i < 0 {
		t.Fatalf("%s is not mounted: %+v", globalMount, table)
	}
	dir := fmt.Sprintf("/sys/dev/block/%d:%d/", table[i].Major, table[i].Minor)
	content := func() string {
		file, _ := os.ReadFile(dir + "loop/backing_file") // there is none in a free one
		number, err := os.ReadFile(dir + "diskseq")
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // Linux 5.15
			t.Fatal(err)
		}
		return string(file) + string(number)
	}
	ours := content()
	if !strings.Contains(ours, "/disk") {
		t.Errorf("the device has %q, which is no disk of ours", ours)
	}
	if _, err := Down(context.Background(), []string{deviceName}, o); err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, 10*time.Second, "the loop device is free", func() bool { return content() != ours })
}
