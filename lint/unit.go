package lint

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"sexton.dev/linux/systemd"
	"sexton.dev/settings"
	"sexton.dev/snapshot"
)

// A unitFile is one file of a unit: the unit's own, or a drop-in.
type unitFile struct {
	unit   string
	dropIn bool
	systemd.File
}

// unitFile keeps a file until all of its unit are known.
func (r *reader) unitFile(f File) {
	u := unitFile{unit: path.Base(f.Name), File: systemd.File{Path: f.Name, Text: f.Text}}
	if name, ok := strings.CutSuffix(path.Base(path.Dir(f.Name)), ".d"); ok {
		u.unit, u.dropIn = name, true
	}
	r.units = append(r.units, u)
	if _, err := systemd.Parse(f.Text); err != nil {
		line, err := lineIn(err)
		r.fail(line, "systemd-analyze verify F says the same; mend the line", "%w", err)
	}
}

// mergeUnits puts the files of each unit together, its own first.
func (r *reader) mergeUnits() {
	slices.SortStableFunc(r.units, func(a, b unitFile) int {
		return cmp.Or(strings.Compare(a.unit, b.unit), compareBools(a.dropIn, b.dropIn), strings.Compare(path.Base(a.Path), path.Base(b.Path)))
	})
	for len(r.units) > 0 {
		name := r.units[0].unit
		n := slices.IndexFunc(r.units, func(u unitFile) bool { return u.unit != name })
		if n < 0 {
			n = len(r.units)
		}
		var files []systemd.File
		for _, u := range r.units[:n] {
			files = append(files, u.File)
		}
		r.units = r.units[n:]
		r.set.Units = append(r.set.Units, unit(name, files))
	}
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// unit is what a unit's files say, merged as systemd merges them.
func unit(name string, files []systemd.File) settings.Unit {
	u := settings.Unit{Name: name}
	private, _ := systemd.Private(files) // each file was parsed before
	for _, d := range private {
		u.Private = append(u.Private, snapshot.Directive(d))
	}
	u.After, u.Before = listed(files, "After"), listed(files, "Before")
	for _, d := range systemd.Values(files, "Service", "ExecStart") {
		argv := words(strings.TrimLeft(d.Value, "@-:+!|"))
		if len(argv) == 0 {
			continue
		}
		if u.Program == "" {
			u.Program = path.Base(argv[0])
		}
		if strings.HasPrefix(path.Base(argv[0]), "dockerd") {
			u.Daemon = flags(argv, settings.Place{File: d.File, Line: d.Line})
		}
	}
	if u.Daemon == nil && name == "docker.service" { // a drop-in alone
		u.Daemon = &settings.Daemon{}
	}
	return u
}

func listed(files []systemd.File, name string) (out []string) {
	for _, d := range systemd.Values(files, "Unit", name) {
		out = append(out, strings.Fields(d.Value)...)
	}
	return out
}
