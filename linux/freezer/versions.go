package freezer

import "strings"

// files are those of one version of the freezer.
//
// Source: Linux 6.12 Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst;
// Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze" and "cgroup.events".
type files struct {
	write, thaw string                 // the file that thaws, and what to write
	self        string                 // 1: this cgroup itself was told to freeze
	parent      string                 // 1: an ancestor was; "" if it is not told
	state       string                 // whether it is frozen, for any reason
	frozen      func(text string) bool // of the text of state; on the way to it counts
	since       string                 // the kernel that has them all
}

var (
	version1 = files{"freezer.state", "THAWED", "freezer.self_freezing", "freezer.parent_freezing",
		"freezer.state", func(text string) bool { return text != "THAWED\n" }, "Linux 3.8"}
	version2 = files{"cgroup.freeze", "0", "cgroup.freeze", "",
		"cgroup.events", func(text string) bool { return strings.Contains("\n"+text, "\nfrozen 1\n") }, "Linux 5.2"}
)
