package pidfd

import "golang.org/x/sys/unix"

// Unread is how many bytes wait in the pipe that is a descriptor of the process: 0 also
// of what is no pipe, and of what cannot be looked at. Nothing is read.
//
// It needs CAP_SYS_PTRACE, or the process's own uid, and Linux 5.6.
//
// Source: pidfd_getfd(2), pipe(7).
func (p *Process) Unread(fd int) int {
	theirs, err := unix.PidfdGetfd(p.fd, fd, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(theirs)
	var st unix.Stat_t
	if unix.Fstat(theirs, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return 0
	}
	n, err := unix.IoctlGetInt(theirs, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
