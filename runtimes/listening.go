package runtimes

import (
	"bytes"
	"path"
)

// Listening returns where the listening unix sockets of a host are bound, by inode.
// A process may forge a line of the table by a newline in a path: an inode that
// comes twice is left out.
func Listening(root string) (map[uint64]string, error) {
	table, err := readUnixTable(path.Join("/", root, "proc/1/net/unix"))
	if err != nil {
		return nil, err
	}
	return listeners(table), nil
}

func listeners(table []byte) map[uint64]string {
	found := map[uint64]string{}
	twice := map[uint64]bool{}
	for line := range bytes.Lines(table) {
		if inode, at, ok := parseListener(string(line)); ok {
			if _, known := found[inode]; known {
				twice[inode] = true
			}
			found[inode] = at
		}
	}
	for inode := range twice {
		delete(found, inode)
	}
	return found
}
