package systemd

import (
	"slices"
	"strings"
)

// A Directive is a setting that holds, and the file that made it hold.
type Directive struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
}

// A File is one unit file or drop-in.
type File struct {
	Path string
	Text []byte
}

// A kind says how a directive's assignments add up and when it means anything.
type kind struct {
	list bool     // each adds, an empty one takes all back; else the last one holds
	off  []string // values that mean no mount namespace, in lower case, beside ""
}

var (
	never = []string{"no", "false", "off", "0", "n", "f"}
	flag  = kind{off: never}
	paths = kind{list: true}
)

// private has the directives that give a service a mount namespace of its own.
//
// Source: systemd.exec(5) "SANDBOXING"; systemd 257 src/core/exec-invoke.c,
// exec_needs_mount_namespace.
var private = map[string]kind{
	"PrivateTmp": flag, "PrivateDevices": flag, "PrivateMounts": flag, "PrivateIPC": flag, "DynamicUser": flag,
	"ProtectSystem": flag, "ProtectHome": flag, "ProtectKernelTunables": flag, "ProtectKernelModules": flag,
	"ProtectKernelLogs": flag, "ProtectControlGroups": flag,
	"ProtectProc": {off: []string{"default"}}, "ProcSubset": {off: []string{"all"}}, "MountFlags": {off: []string{"shared"}},
	"RootDirectory": {}, "RootImage": {}, "LogNamespace": {},
	"ReadWritePaths": paths, "ReadOnlyPaths": paths, "InaccessiblePaths": paths, "ExecPaths": paths, "NoExecPaths": paths,
	"BindPaths": paths, "BindReadOnlyPaths": paths, "TemporaryFileSystem": paths,
	"MountImages": paths, "ExtensionImages": paths, "ExtensionDirectories": paths,
}

// older are names of systemd before 231 for the same.
var older = map[string]string{"ReadWriteDirectories": "ReadWritePaths", "ReadOnlyDirectories": "ReadOnlyPaths", "InaccessibleDirectories": "InaccessiblePaths"}

// Private merges a service's files, the fragment first and the drop-ins in their
// order, and returns the directives that give it a mount namespace of its own,
// by name. Errors are those of [Parse], the first one with its file; the rest
// holds all the same, as with systemd.
func Private(files []File) ([]Directive, error) {
	held := map[string][]Directive{}
	var problem error
	for _, f := range files {
		all, err := Parse(f.Text)
		if err != nil && problem == nil {
			problem = &FileError{f.Path, err}
		}
		for _, a := range all {
			name := a.Name
			if now, was := older[name]; was {
				name = now
			}
			k, ok := private[name]
			if !ok || a.Section != "Service" {
				continue
			}
			if !k.list || a.Value == "" {
				held[name] = nil
			}
			if a.Value != "" {
				held[name] = append(held[name], Directive{name, a.Value, f.Path, a.Line})
			}
		}
	}
	var out []Directive
	for name, all := range held {
		for _, d := range all {
			if !slices.Contains(private[name].off, strings.ToLower(d.Value)) {
				out = append(out, d)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Directive) int { return strings.Compare(a.Name, b.Name) })
	return out, problem
}

// A FileError is an error in one file.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns what is wrong with the file.
func (e *FileError) Unwrap() error { return e.Err }
