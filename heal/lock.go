package heal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockFile keeps two healers apart. It is advisory, and ends with its process.
const lockFile = "/run/sexton/heal.lock"

// LockPath is where that file is: below the root of the first process, for who heals from
// a container with the host's PID namespace has another /run. Who may not go there uses its own.
func LockPath() string {
	const host = "/proc/1/root"
	if _, err := os.Stat(host + "/run"); err != nil {
		return lockFile
	}
	return host + lockFile
}

// A Held error says who heals this host already.
type Held struct{ By string }

func (h *Held) Error() string { return "another sexton heals this host: " + h.By }

// Hint says what to do.
func (h *Held) Hint() string {
	return "wait for it to end; a plan without --apply can be made meanwhile"
}

// Lock takes the lock, or fails with a [Held] that names who has it.
func Lock(path string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		defer f.Close()
		text, _ := io.ReadAll(io.LimitReader(f, 200)) // who has it wrote that down
		by, _, _ := strings.Cut(string(text), "\n")
		if by == "" {
			by = "it has not said who it is"
		}
		return nil, &Held{by}
	case err != nil:
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	w := who()
	name := fmt.Sprintf("pid %d, uid %d", w.PID, w.UID)
	if w.Sudo != "" {
		name += ", by sudo of " + w.Sudo
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, name+"\n")); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Truncate(0); f.Close() }, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}
