package door

import (
	"bytes"
	"strings"
)

// hidden stands for a secret that was taken out.
const hidden = "***"

// maskFile takes secrets out of what was read under this path or name.
func maskFile(path string, text []byte) []byte {
	if strings.HasSuffix(path, "mountinfo") {
		return maskMounts(text)
	}
	return text
}

// maskMounts returns mountinfo text in which hidden stands for the value of
// every mount option whose name speaks of a secret (password=, credentials=,
// token=...) and for the password of user:password@host in a source. Lines and
// fields stay as many as they were, and masking twice changes nothing more.
// If there is nothing to hide it returns text itself.
//
// Source: proc_pid_mountinfo(5); Linux 6.12 fs/proc_namespace.c, show_mountinfo.
func maskMounts(text []byte) []byte {
	if !suspect(text) {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for line := range bytes.Lines(text) {
		body := bytes.TrimSuffix(line, []byte("\n"))
		out = maskLine(out, body)
		out = append(out, line[len(body):]...)
	}
	return out
}

// suspect reports whether any line may hold a secret: most tables do not, and
// they are large.
func suspect(text []byte) bool {
	if bytes.IndexByte(text, '@') >= 0 {
		return true
	}
	for i := 0; ; {
		n := bytes.IndexByte(text[i:], '=')
		if n < 0 {
			return false
		}
		if secretKey(keyBefore(text[i : i+n])) {
			return true
		}
		i += n + 1
	}
}

// keyBefore returns the end of s from behind the last separator.
func keyBefore(s []byte) []byte {
	i := len(s)
	for i > 0 && !separator(s[i-1]) {
		i--
	}
	return s[i:]
}

func separator(c byte) bool {
	switch c {
	case ' ', '\t', '\n', ',', ';', '?', '&', '=':
		return true
	}
	return false
}

// secretKey reports whether a name speaks of a secret, in any case of letters.
func secretKey[T string | []byte](name T) bool {
	for i := range len(name) {
		switch name[i] | 0x20 {
		case 'p':
			if foldAt(name, i, "pass") {
				return true
			}
		case 's':
			if foldAt(name, i, "secret") {
				return true
			}
		case 'c':
			if foldAt(name, i, "cred") {
				return true
			}
		case 't':
			if foldAt(name, i, "token") {
				return true
			}
		case 'k':
			if foldAt(name, i, "key") {
				return true
			}
		}
	}
	return false
}

// foldAt reports whether word, in lower case, is in s at i.
func foldAt[T string | []byte](s T, i int, word string) bool {
	if len(s)-i < len(word) {
		return false
	}
	for j := range len(word) {
		if s[i+j]|0x20 != word[j] {
			return false
		}
	}
	return true
}

// maskLine appends one line without its newline.
func maskLine(out, line []byte) []byte {
	// id parent device root point OPTIONS [optional...] - type SOURCE SUPER
	options := fieldStart(line, 5)
	if options < 0 {
		return maskOptions(out, line) // not a mount: better too much
	}
	behind := fieldEnd(line, options)
	dash := bytes.Index(line[behind:], []byte(" - "))
	if dash < 0 {
		return maskOptions(append(out, line[:options]...), line[options:])
	}
	source := fieldStart(line[behind+dash:], 3)
	if source < 0 {
		return maskOptions(append(out, line[:options]...), line[options:])
	}
	source += behind + dash
	end := fieldEnd(line, source)
	out = append(out, line[:options]...)
	out = maskOptions(out, line[options:behind])
	out = append(out, line[behind:source]...)
	out = append(out, maskSource(line[source:end])...)
	return maskOptions(out, line[end:])
}

// fieldStart returns where the nth field begins, -1 if there are too few.
// Fields are split by single spaces: an empty source is an empty field.
func fieldStart(line []byte, n int) int {
	at := 0
	for range n {
		i := bytes.IndexByte(line[at:], ' ')
		if i < 0 {
			return -1
		}
		at += i + 1
	}
	return at
}

func fieldEnd(line []byte, start int) int {
	if i := bytes.IndexByte(line[start:], ' '); i >= 0 {
		return start + i
	}
	return len(line)
}

// maskOptions appends a list of options split by commas. A doubled comma
// belongs to the value, as in cifs' passwords.
func maskOptions(out, list []byte) []byte {
	for done := 0; ; {
		n := bytes.IndexByte(list[done:], '=')
		if n < 0 {
			return append(out, list[done:]...)
		}
		value := done + n + 1
		out = append(out, list[done:value]...)
		if !secretKey(keyBefore(list[:value-1])) {
			done = value
			continue
		}
		done = value + valueLen(list[value:])
		out = hide(out, list[value:done])
	}
}

func valueLen(s []byte) int {
	for i := 0; i < len(s); i++ {
		if s[i] != ',' {
			continue
		}
		if i+1 == len(s) || s[i+1] != ',' {
			return i
		}
		i++
	}
	return len(s)
}

// hide appends one mark for each word of a value: the spaces stay, and so does
// the number of fields.
func hide(out, value []byte) []byte {
	word := false
	for _, c := range value {
		if c == ' ' || c == '\t' {
			out, word = append(out, c), false
		} else if !word {
			out, word = append(out, hidden...), true
		}
	}
	return out
}

// maskSource masks a mount's source: a device, a URL, host:path or user@host.
func maskSource(source []byte) []byte {
	// One mask may uncover the next: "a=h:/x,u:p@h". Sources that go on like
	// that are nobody's, and are hidden whole.
	for range 4 {
		masked := maskOptions(nil, maskUser(source))
		if bytes.Equal(masked, source) {
			return source
		}
		source = masked
	}
	return hide(nil, source)
}

// maskUser hides the password of scheme://user:password@host and of
// user:password@host. A password may hold any byte, '@' and '/' as well.
func maskUser(s []byte) []byte {
	at := bytes.LastIndexByte(s, '@')
	colon := bytes.IndexByte(s, ':')
	if at < 0 || colon < 0 || colon > at {
		return s
	}
	if bytes.HasPrefix(s[colon:], []byte("://")) {
		user := colon + len("://")
		if user > at {
			return s
		}
		if colon = bytes.IndexByte(s[user:at], ':'); colon < 0 {
			return s
		}
		colon += user
	} else if bytes.HasPrefix(s[colon:], []byte(":/")) {
		return s // host:/path@snapshot
	}
	if colon+1 == at {
		return s
	}
	out := append([]byte{}, s[:colon+1]...)
	out = append(out, hidden...)
	return append(out, s[at:]...)
}
