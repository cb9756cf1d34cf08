package collect

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"sexton.dev/runtimes"
)

// silentFile remembers which runtimes did not answer. It is the only thing that
// looking writes, so that a hung daemon is not given one more hung request by
// every look. Below /run it is gone with the boot.
const silentFile = "/run/sexton/silent"

// silentSockets are the sockets that accepted and did not answer, each with who
// was behind it then: the daemon's processes and the socket's inode and age.
type silentSockets struct {
	file     string
	identity map[runtimes.Kind]string
}

// silentLock guards the file: runtimes and shims are asked at the same time.
var silentLock sync.Mutex

func (q *silentSockets) has(s runtimes.Socket) bool {
	silentLock.Lock()
	defer silentLock.Unlock()
	return q.read()[s.Path+" "+string(s.Kind)] == q.who(s)
}

// add remembers a silent socket. It is best effort: on a full or read-only disk
// the daemon is asked again next time.
func (q *silentSockets) add(s runtimes.Socket) {
	silentLock.Lock()
	defer silentLock.Unlock()
	all := q.read()
	all[s.Path+" "+string(s.Kind)] = q.who(s)
	text, err := json.Marshal(all)
	if err != nil || os.MkdirAll(filepath.Dir(q.file), 0o755) != nil {
		return
	}
	temporary := q.file + ".new"
	if os.WriteFile(temporary, text, 0o600) == nil {
		os.Rename(temporary, q.file)
	}
}

func (q *silentSockets) read() map[string]string {
	all := map[string]string{}
	text, err := readSome(q.file, 1<<20)
	if err != nil || json.Unmarshal(text, &all) != nil {
		return map[string]string{} // not there, or cut: nobody was silent
	}
	return all
}

func (q *silentSockets) who(s runtimes.Socket) string {
	var x unix.Statx_t
	at := ""
	if filepath.IsAbs(s.Path) && unix.Statx(unix.AT_FDCWD, s.Path, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_INO|unix.STATX_CTIME, &x) == nil {
		text, _ := json.Marshal([]any{x.Dev_major, x.Dev_minor, x.Ino, x.Ctime.Sec, x.Ctime.Nsec})
		at = string(text)
	}
	return q.identity[s.Kind] + at
}
