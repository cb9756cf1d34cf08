package runtimes

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxMounts bounds the mount table in bytes. One of 40,000 mounts is 8 MB.
const maxMounts = 64 << 20

// foreignTypes are file systems on which a path walk may wait for another
// machine or a process, or mount something. FUSE types are told by their prefix.
var foreignTypes = map[string]bool{
	"autofs": true, "nfs": true, "nfs4": true, "cifs": true, "smb3": true, "smbfs": true, "9p": true,
	"virtiofs": true, "ceph": true, "lustre": true, "afs": true, "coda": true, "ncpfs": true, "glusterfs": true,
	"beegfs": true, "gpfs": true, "orangefs": true, "pvfs2": true, "ocfs2": true, "gfs2": true,
}

// Foreign reports whether a path walk on a file system of this type may wait for
// another machine or a process, or mount something.
func Foreign(kind string) bool { return foreignTypes[kind] || strings.HasPrefix(kind, "fuse") }

// A mount is a line of the mount table.
type mount struct {
	point   string
	foreign bool
}

// readMounts reads the mounts that this thread's paths go through.
func readMounts() ([]mount, error) {
	f, err := os.Open("/proc/thread-self/mountinfo")
	if errors.Is(err, fs.ErrNotExist) { // before Linux 3.17
		f, err = os.Open("/proc/self/mountinfo")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table, err := io.ReadAll(io.LimitReader(f, maxMounts))
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	return parseMounts(string(table))
}

// parseMounts reads mountinfo in its order, in which a later mount covers an
// earlier one on the same point.
//
// Source: proc_pid_mountinfo(5).
func parseMounts(table string) ([]mount, error) {
	var all []mount
	for line := range strings.Lines(table) {
		left, right, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		fields := strings.Split(left, " ")
		kind, _, _ := strings.Cut(right, " ")
		if !ok || len(fields) < 6 || kind == "" {
			return nil, fmt.Errorf("mountinfo: not a mount: %.200q", line)
		}
		all = append(all, mount{
			point:   unescape(fields[4]),
			foreign: Foreign(kind),
		})
	}
	return all, nil
}

// unescape undoes the octal escapes of a mount point.
//
// Source: Linux 6.12 fs/proc_namespace.c, mangle and seq_path with " \t\n\\#".
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func octal(c byte) bool { return c >= '0' && c <= '7' }

// foreign reports whether a path is on a mount of a foreign type: the longest
// mount point that is a prefix of it, the last of equal ones. The root is never
// foreign: where it is one, this program runs from it.
func foreign(mounts []mount, p string) bool {
	longest, found := 1, false
	for _, m := range mounts {
		if len(m.point) >= max(longest, 2) && (p == m.point || strings.HasPrefix(p, m.point+"/")) {
			longest, found = len(m.point), m.foreign
		}
	}
	return found
}
