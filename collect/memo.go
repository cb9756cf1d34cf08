package collect

import "strings"

// What is read of threads and descriptors is wanted by several readers: waits, fifos
// and the ladder ask of the same few processes. A recorder, asked twice, unpacks all
// that it has to give the same answer, so a look keeps these answers itself.

// A memo is what was answered, by question.
type memo map[string]remembered

type remembered struct {
	data  []byte
	names []string
	err   error
}

// recurs reports whether a question is one that is kept.
func recurs(path string) bool {
	rest, ok := strings.CutPrefix(path, "/proc/")
	if !ok {
		return false
	}
	_, rest, _ = strings.Cut(rest, "/")
	first, _, _ := strings.Cut(rest, "/")
	switch first {
	case "task": // stat is read once, of every thread there is
		return !strings.HasSuffix(rest, "/stat")
	case "fd", "cwd", "exe":
		return true
	}
	return false
}

func (l *looker) once(question, path string, ask func() remembered) remembered {
	if !recurs(path) {
		return ask()
	}
	if l.known == nil {
		l.known = memo{}
	}
	key := question + path
	a, known := l.known[key]
	if !known {
		a = ask()
		l.known[key] = a
	}
	return a
}

// ReadFile is [door.Door.ReadFile]. It is not for several goroutines.
func (l *looker) ReadFile(path string) ([]byte, error) {
	a := l.once("read ", path, func() (a remembered) { a.data, a.err = l.Door.ReadFile(path); return a })
	return a.data, a.err
}

// ReadLink is [door.Door.ReadLink], as ReadFile is.
func (l *looker) ReadLink(path string) (string, error) {
	a := l.once("link ", path, func() remembered {
		link, err := l.Door.ReadLink(path)
		return remembered{data: []byte(link), err: err}
	})
	return string(a.data), a.err
}

// ReadDir is [door.Door.ReadDir], as ReadFile is.
func (l *looker) ReadDir(path string) ([]string, error) {
	a := l.once("dir ", path, func() (a remembered) { a.names, a.err = l.Door.ReadDir(path); return a })
	return a.names, a.err
}
