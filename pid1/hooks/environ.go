package hooks

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// maxValue bounds one variable in bytes, its name and "=" included: what execve takes.
//
// Source: Linux 6.12 include/uapi/linux/binfmts.h, MAX_ARG_STRLEN; execve(2).
const maxValue = 128 << 10

// Load returns env with the variables of a directory: a file's name is the
// variable's, its content without the newlines at its end the value. Folders
// and names that begin with a dot are left out, as are links to folders; what a
// link leads to is read, as Kubernetes makes them.
func Load(dir string, env []string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := append([]string(nil), env...)
	for _, e := range entries {
		name := e.Name()
		if name[0] == '.' {
			continue
		}
		value, ok, err := read(dir + "/" + name)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			continue
		case strings.Contains(name, "="):
			return nil, errors.New(strconv.Quote(dir+"/"+name) + ": a variable's name has no \"=\"")
		case len(name)+1+len(value) >= maxValue:
			return nil, errors.New(strconv.Quote(dir+"/"+name) + ": longer than the " + strconv.Itoa(maxValue) + " bytes that a variable may have")
		case strings.IndexByte(value, 0) >= 0:
			return nil, errors.New(strconv.Quote(dir+"/"+name) + ": a variable's value has no NUL byte")
		}
		out = set(out, name, value)
	}
	return out, nil
}

// read reads a regular file; ok is false for anything else, which is not waited
// for: a FIFO would never answer.
func read(path string) (value string, ok bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, syscall.ENXIO) { // a socket
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", false, err
	}
	buf := make([]byte, min(info.Size(), maxValue)+1)
	n := 0
	for n < len(buf) {
		m, err := f.Read(buf[n:])
		n += m
		if err != nil || m == 0 {
			break
		}
	}
	return strings.TrimRight(string(buf[:n]), "\n"), true, nil
}

func set(env []string, name, value string) []string {
	for i, v := range env {
		if strings.HasPrefix(v, name+"=") {
			env[i] = name + "=" + value
			return env
		}
	}
	return append(env, name+"="+value)
}

// Dump writes an environment to path.sh, which a shell can source, and to
// path.json. Bytes that are not UTF-8 become U+FFFD in the latter. Each file is
// replaced as a whole.
func Dump(env []string, path string) error {
	var sh, json strings.Builder
	json.WriteString("{")
	for i, v := range env {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			continue
		}
		if isName(name) {
			sh.WriteString("export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'\n")
		}
		if i > 0 && json.Len() > 1 {
			json.WriteString(", ")
		}
		writeJSON(&json, name)
		json.WriteString(": ")
		writeJSON(&json, value)
	}
	json.WriteString("}\n")
	return errors.Join(replace(path+".sh", sh.String()), replace(path+".json", json.String()))
}

// isName reports whether a shell can have a variable of the name.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if !(c >= 'a' && c <= 'z' || s[i] == '_' || i > 0 && s[i] >= '0' && s[i] <= '9') {
			return false
		}
	}
	return s != ""
}

func replace(path, text string) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o640); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// writeJSON writes a string as JSON has it (RFC 8259 section 7).
func writeJSON(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < ' ':
			const hex = "0123456789abcdef"
			b.WriteString(`\u00`)
			b.WriteByte(hex[r>>4])
			b.WriteByte(hex[r&0xf])
		default:
			b.WriteRune(r) // U+FFFD for a bad byte
		}
	}
	b.WriteByte('"')
}

// Import writes each variable to a file of the directory, so that hooks can change
// it there: what my_init does at its start. Those that belong to a user, not to the
// container, are left out, as are names that a file cannot have.
//
// Source: github.com/phusion/baseimage-docker noble-1.0.2 image/bin/my_init, import_envvars.
func Import(dir string, env []string) error {
	var failed []error
	for _, v := range env {
		name, value, ok := strings.Cut(v, "=")
		switch name {
		case "HOME", "USER", "GROUP", "UID", "GID", "SHELL", "", ".", "..":
			continue
		}
		if ok && !strings.Contains(name, "/") {
			failed = append(failed, os.WriteFile(dir+"/"+name, []byte(value), 0o640))
		}
	}
	return errors.Join(failed...)
}
