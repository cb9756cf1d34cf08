package propagation

import "strconv"

// Tags writes the groups of a mount as mountinfo does, "shared:1 master:2"; "" for a private one.
//
// Source: proc_pid_mountinfo(5).
func Tags(peer, master uint64) string {
	text := ""
	if peer != 0 {
		text = "shared:" + strconv.FormatUint(peer, 10)
	}
	if master == 0 {
		return text
	}
	if peer != 0 {
		text += " "
	}
	return text + "master:" + strconv.FormatUint(master, 10)
}
