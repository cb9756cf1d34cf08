package procfs

import (
	"bytes"
	"strings"
)

// StatOfStatus gives what /proc/PID/status has of a [Stat]: pid, comm, state,
// parent and threads, for a copy of /proc that has no stat, as in a sos report.
// Start is 0, so the process cannot be told from a later one with its number.
//
// Source: proc_pid_status(5); Linux 6.12 fs/proc/array.c, proc_pid_status.
func StatOfStatus(text []byte) (Stat, error) {
	var s Stat
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimSuffix(bytes.TrimPrefix(value, []byte{'\t'}), []byte{'\n'})
		good := true
		switch string(key) {
		case "Name":
			s.Comm = strings.NewReplacer(`\n`, "\n", `\\`, `\`).Replace(string(value))
		case "State":
			if good = len(value) > 0; good {
				s.State = value[0]
			}
		case "Pid":
			s.PID, good = count(value)
		case "PPid":
			s.PPID, good = count(value)
		case "Threads":
			s.Threads, good = count(value)
		}
		if !good {
			return Stat{}, bad("status", string(key), value)
		}
	}
	if s.PID == 0 || s.State == 0 {
		return Stat{}, bad("status", "no Pid or State line in", text)
	}
	return s, nil
}
