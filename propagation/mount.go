package propagation

import "strings"

// A Mount is one mount of one namespace, as mountinfo or statmount gives it.
type Mount struct {
	ID         uint64 // of one mount among all namespaces; unique or reused ids, but not mixed
	Parent     uint64 // not listed, 0 or the mount itself: the root of its namespace
	Namespace  uint64
	Peer       uint64 // peer group, "shared:N"; 0: not shared
	Master     uint64 // peer group that it receives from, "master:N"; 0: none
	Device     uint64 // of the superblock: major and minor in any one encoding
	Root       string // the entry of the superblock that is mounted; a suffix "//deleted" is ignored
	Point      string // where it sits, as seen from the root of its namespace
	Locked     bool   // it came with its parent from a more privileged user namespace
	Unbindable bool
}

// A Namespace is a mount namespace.
type Namespace struct {
	ID    uint64
	Owner uint64 // the user namespace that owns it
}

// A Place is a directory entry: a path in the superblock of a mount, starting with the mount's
// root. An entry that is covered by a mount is not the root of that mount.
type Place struct {
	Mount uint64
	Path  string
}

// Join is the entry with this name in the directory p. It does not enter what is mounted there.
func (p Place) Join(name string) Place {
	return Place{p.Mount, join(p.Path, name)}
}

// join appends a name, or a path below, to a directory.
func join(dir, below string) string {
	below = strings.Trim(below, "/")
	if below == "" {
		return dir
	}
	return strings.TrimSuffix(dir, "/") + "/" + below
}

// keyOf is what path names of a superblock whose root is mounted on dir; not ok if path is not inside dir.
func keyOf(root, dir, path string) (key string, ok bool) {
	rest, ok := below(dir, path)
	if ok && root == "/" && rest != "" && rest == strings.Trim(rest, "/") {
		return path[len(path)-len(rest)-1:], true // as join, without a new text: a host has very many
	}
	return join(root, rest), ok
}

// below is what path has more than dir, "" if they are one; not ok if path is not inside dir.
func below(dir, path string) (rest string, ok bool) {
	if dir == "/" && strings.HasPrefix(path, "/") {
		return path[1:], true
	}
	rest, ok = strings.CutPrefix(path, dir)
	if rest == "" {
		return rest, ok
	}
	return strings.TrimPrefix(rest, "/"), ok && rest[0] == '/'
}
