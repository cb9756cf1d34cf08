package errtext

import "strings"

// A span is a piece of a record's text.
type span struct{ start, end int }

// longestPath is PATH_MAX.
const longestPath = 4096

// nextPath finds the first absolute path at or after from: at the beginning of
// a word, or quoted, and then it may have spaces.
func nextPath(s string, from int) (span, bool) {
	for i := from; i < len(s); i++ {
		if s[i] != '/' || i > 0 && strings.IndexByte(" \t\n\"'([{=:,>|<", s[i-1]) < 0 {
			continue
		}
		if strings.HasPrefix(s[i:], "//") && !isDone(s[:i]) { // URL: the path of a socket counts
			if i >= 5 && s[i-5:i] == "unix:" && len(s) > i+2 {
				i++
				continue
			}
			i += leading(s[i:], func(c byte) bool { return c > ' ' && c != '"' })
			continue
		}
		p := span{i, i + pathLength(s[i:], opener(s, i))}
		if strings.HasSuffix(s[:i], "umount: ") {
			p.end = max(p.end, i+unmounted(s[i:]))
		}
		if p.end-p.start > longestPath {
			i = p.end - 1
			continue
		}
		return p, true
	}
	return span{}, false
}

// isDone tells that what is before a path is a call on a file, which may have two
// slashes before its path; a share of a server is mounted.
func isDone(before string) bool {
	return hasSuffix(before, []string{"unlinkat ", "unlink ", "remove ", "removing ", "lstat ", "stat ", "open ", "mkdir ", "rmdir ", "rename "})
}

// hasSuffix tells whether s ends in one of the words.
func hasSuffix(s string, words []string) bool {
	for _, w := range words {
		if strings.HasSuffix(s, w) {
			return true
		}
	}
	return false
}

// unmounted gives the length of a path of umount's, which has spaces and no quotes:
// "umount: /media/my disk: target is busy". 0: it has none.
func unmounted(s string) int {
	end := strings.Index(s[:min(len(s), longestPath)], ": ")
	end = len(strings.TrimRight(s[:max(end, 0)], " ")) // French has one before a colon
	if !strings.Contains(s[:end], " ") || strings.ContainsAny(s[:end], "\n\"'(") || strings.Contains(s[:end], " /") {
		return 0
	}
	return end
}

// opener is the quote before a path, 0 for none.
func opener(s string, i int) byte {
	if i > 0 && (s[i-1] == '"' || s[i-1] == '\'') {
		return s[i-1]
	}
	return 0
}

// pathLength gives the length of the path that s begins with.
func pathLength(s string, quote byte) int {
	if quote != 0 {
		end := strings.IndexByte(s[:min(len(s), longestPath)], quote)
		if end > 0 && !strings.ContainsAny(s[:end], "\n") && !strings.Contains(s[:end], ": ") && !isCommand(s[:end]) {
			return end
		}
	}
	n := 0
	for n < len(s) && inWord(s[n]) {
		if last := n+1 == len(s) || !inWord(s[n+1]); strings.IndexByte(":,;", s[n]) >= 0 && (last || s[n+1] == '/') {
			break // the end, or a second path: "A:B"
		}
		n++
	}
	if n < len(s) && s[n] == '>' && s[n-1] == '-' { // a socket and its peer
		n--
	}
	if i := strings.IndexByte(s[:n], '('); i > 1 && n < len(s) && !strings.Contains(s[:n], ")") {
		n = i // a remark without a space before it
	}
	for n > 1 && (strings.IndexByte(",;:]}?", s[n-1]) >= 0 || s[n-1] == ')' && !strings.Contains(s[:n], "(") || s[n-1] == '.' && !strings.HasSuffix(s[:n], "..")) {
		n--
	}
	return n
}

func inWord(c byte) bool { return c > ' ' && strings.IndexByte("\"'<>|", c) < 0 }

// isCommand tells a quoted command line from a quoted path with spaces.
func isCommand(s string) bool {
	word, _, ok := strings.Cut(s, " ")
	return ok && (strings.Contains(word, "bin/") || strings.Contains(s, " /"))
}

// pathBefore finds the last path that ends at or before at.
func pathBefore(s string, at int) (span, bool) {
	var last span
	found := false
	for from := max(0, at-2*longestPath); ; {
		p, ok := nextPath(s, from)
		if !ok || p.end > at {
			return last, found
		}
		if isObject(s, p) {
			last, found = p, true
		}
		from = p.end
	}
}

// notPaths are words before a path that the error is not about: a request to an
// API, a program that ran, a container's name, a cgroup.
var notPaths = []string{"fork/exec", "exec", "name", "names", "container", "via", "cgroup", "controller", "command", "=>", "running", "1", "args", "binary", "cmd", "task", "image", "program", "as", "exe="}

// isObject tells that an error may be about the path: it is no program that
// ran, request to an API, cgroup, source file or descriptor in /proc.
func isObject(s string, p span) bool {
	path, before := s[p.start:p.end], s[max(0, p.start-24):p.start]
	if path == "/" && !strings.HasSuffix(before, "path ") && !strings.HasSuffix(before, "umount: ") || isRemote(before) {
		return false
	}
	word := s[max(0, p.start-longestPath):p.start]
	word = word[strings.LastIndexAny(word, " \t\n\"'[(")+1:]
	if _, layer := hasAny(word, "lowerdir=", "upperdir=", "workdir="); layer || word == "source:" && strings.Contains(s, "[{type:") {
		return false // an option of the mount that the error is about
	}
	if host, remote := strings.CutSuffix(word, ":"); remote && strings.Contains(host, ".") && !strings.ContainsAny(host, "/:,=") {
		return false // a directory of another host
	}
	if strings.HasSuffix(word, "=") && strings.HasSuffix(s[:p.start-len(word)], " -o ") {
		return false // one of the options of a mount
	}
	words := strings.Fields(strings.TrimRight(before, " \"'"))
	whole := len(words) > 1 || p.start <= 24 || before[0] == ' '
	if len(words) > 0 && whole && len(words[len(words)-1]) > 1 && words[len(words)-1][0] == '-' {
		return false // the value of an option
	}
	if len(words) > 0 && contains(notPaths, strings.Trim(words[len(words)-1], "\"'([:")) || path == "/" && strings.HasSuffix(before, " on ") {
		return false
	}
	if _, ran, ok := strings.Cut(before, "command "); ok && len(ran) > 1 && (ran[0] == '"' || ran[0] == '\'') && isLetter(ran[1]) && programs[strings.TrimRight(ran[1:], " ")] != tool {
		return false // an argument of a program that ran
	}
	if strings.HasPrefix(path, "/proc/") && strings.Contains(path, "/fd/") {
		return false
	}
	for _, dir := range []string{"/proc/self/fd", "/proc/thread-self/fd", "/proc/sys/kernel/hung", "/kubepods", "/docker/", "/system.slice", "/user.slice", "/lxc.payload", "/machine.slice", "/containers/", "/v1.", "/v2/", "/go/src", "/api/", "/exec/", "/images/", "/volumedriver."} {
		if strings.HasPrefix(path, dir) {
			return false
		}
	}
	if first, _, _ := strings.Cut(path[1:], "/"); isVersioned(first) {
		return false
	}
	if _, code := hasAny(path, ".go:", ".c:", ".rs:", "containers/json"); code {
		return false
	}
	if rest := s[p.end:]; strings.HasPrefix(rest, " line ") || strings.HasPrefix(rest, "\", line ") {
		return false // a script's place, in its backtrace
	}
	dir := path[:strings.LastIndexByte(path, '/')+1]
	if strings.HasSuffix(dir, "/bin/") || strings.HasSuffix(dir, "/sbin/") {
		_, changed := hasAny(before, "rm", "remov", "unlink", "mount", "write", "open", "creat", "cp", "copy")
		return changed
	}
	return true
}

// isVersioned tells the name of a service of gRPC: csi.v1.Node.
func isVersioned(name string) bool {
	_, version, ok := strings.Cut(name, ".v")
	return ok && version != "" && isDigit(version[0])
}

// withoutLayers hides the paths in the options of an overlay mount, which are
// many and never what the failure is about. Offsets stay.
func withoutLayers(low string) string {
	if !strings.Contains(low, "dir=/") {
		return low
	}
	return withoutOptions(low, "lowerdir=/", "upperdir=/", "workdir=/")
}

// withoutBranches does so for aufs, which has them in one option.
func withoutBranches(low string) string {
	if !strings.Contains(low, "=br:/") {
		return low
	}
	return withoutOptions(low, "=br:/", ",xino=/")
}

func withoutOptions(low string, options ...string) string {
	b := []byte(low)
	for _, option := range options {
		for from := 0; ; {
			i := strings.Index(low[from:], option)
			if i < 0 {
				break
			}
			for from += i + len(option) - 1; from < len(low) && inWord(low[from]) && low[from] != ',' && low[from] != ']'; from++ {
				if b[from] == '/' {
					b[from] = '_'
				}
			}
		}
	}
	return string(b)
}

// isRemote tells that a path is a server's, by what is before it: an address, a
// host's name that is no word, or nothing but the colon.
func isRemote(before string) bool {
	host, ok := strings.CutSuffix(before, ":")
	if !ok {
		return false
	}
	host = host[strings.LastIndexAny(host, " \t\n\"'=,(")+1:]
	return host == "" || !strings.Contains(host, "/") && strings.ContainsAny(host, ".]0123456789")
}

// pathOf finds the path that the failure at is about: the one before the words
// that say what is wrong, or the first behind them. Of a pair, as a rename or a
// bind mount has, it is the first.
func pathOf(s string, v verdict) string {
	for from := max(0, v.at-longestPath); ; { // the path that has the words in it
		p, ok := nextPath(s, from)
		if !ok || p.start > v.at {
			break
		}
		if from = p.end; p.end > v.at && isObject(s, p) {
			return s[p.start:p.end]
		}
	}
	p, ok := pathBefore(s, v.at)
	if ok {
		if first, pair := pairOf(s, p); pair {
			p = first
		}
		return s[p.start:p.end]
	}
	for from, n := v.at, 0; n < 8; n++ {
		p, ok := nextPath(s, from)
		if !ok {
			return ""
		}
		if isObject(s, p) {
			return s[p.start:p.end]
		}
		from = p.end
	}
	return ""
}

// relativeBefore finds a quoted path without its beginning that the words at are
// said of, as programs print what they were given: "rm: cannot remove 'mnt/x': ".
func relativeBefore(s string, at int) (span, bool) {
	end := len(strings.TrimRight(strings.TrimSuffix(strings.TrimRight(s[:at], " "), "device or"), ": "))
	if end == 0 || s[end-1] != '\'' && s[end-1] != '"' {
		return span{}, false
	}
	start := strings.LastIndexByte(s[:end-1], s[end-1]) + 1
	name := s[start : end-1]
	if start == 0 || !strings.Contains(name, "/") || name[0] == '/' || strings.Contains(name, ": ") {
		return span{}, false
	}
	return span{start, end - 1}, true
}

// pairOf finds the path that second is the target of: "rename A B", "A to B",
// "A -> B", "A:B".
func pairOf(s string, second span) (span, bool) {
	lower := max(0, second.start-longestPath-16)
	for from := lower; ; {
		p, ok := nextPath(s, from)
		if !ok || p.start >= second.start {
			return span{}, false
		}
		from = p.end
		between := strings.Trim(s[p.end:max(p.end, second.start)], " \"'")
		verb := s[max(0, p.start-24):p.start]
		_, moves := hasAny(verb, "rename", "mv", "move", "moving", "link", "bind", "mount")
		if len(s[p.end:second.start]) <= 12 && isObject(s, p) && (moves && (between == "" || between == "to" || between == "->" || between == "onto" || between == "on") || between == ":" || between == "->") {
			return p, true
		}
	}
}
