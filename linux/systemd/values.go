package systemd

// Values merges a unit's files, the fragment first, for a setting to which each
// assignment adds and an empty one takes all back: After=, ExecStart=. What of a file
// is no unit file is left out.
func Values(files []File, section, name string) []Directive {
	var out []Directive
	for _, f := range files {
		all, _ := Parse(f.Text) // [Private] tells what is wrong
		for _, a := range all {
			switch {
			case a.Section != section || a.Name != name:
			case a.Value == "":
				out = nil
			default:
				out = append(out, Directive{name, a.Value, f.Path, a.Line})
			}
		}
	}
	return out
}
