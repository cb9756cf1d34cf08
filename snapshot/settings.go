package snapshot

import "time"

// Settings are what a host was told that decides what becomes of mounts.
type Settings struct {
	Units  []UnitSettings  `json:"units,omitempty"`  // by name
	Docker *DockerSettings `json:"docker,omitempty"` // nil: neither dockerd nor a file of its settings
	// MayDetach is fs.may_detach_mounts, which only kernels of RHEL 7 have: "0" or
	// "1", "" where there is none.
	MayDetach string `json:"mayDetach,omitempty"`
}

// UnitSettings are what systemd was told of a service that has processes in a
// mount namespace of its own, or that container software runs in.
type UnitSettings struct {
	Name       string      `json:"name"`
	From       string      `json:"from"`                 // systemd: what it has loaded; files: it did not tell
	Directives []Directive `json:"directives,omitempty"` // that give it a mount namespace of its own
	Reload     bool        `json:"reload,omitempty"`     // its files were changed since systemd loaded them
	Pending    []Directive `json:"pending,omitempty"`    // where they say otherwise now; without a value: no more
	Active     time.Time   `json:"active,omitzero"`      // since when systemd calls it active; zero: not known
}

// A Directive is a setting and where it stands; without a file it is in systemd alone.
type Directive struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
}

// DockerSettings are what dockerd was told by its command line and its file.
type DockerSettings struct {
	PID         int      `json:"pid,omitempty"` // 0: it does not run, or its command line could not be read
	Unit        string   `json:"unit,omitempty"`
	File        string   `json:"file,omitempty"` // of its settings
	LiveRestore bool     `json:"liveRestore,omitempty"`
	Debug       bool     `json:"debug,omitempty"` // by the file alone
	DataRoot    string   `json:"dataRoot"`
	Said        []string `json:"said,omitempty"`  // where what is not the default stands, one line each
	Twice       []string `json:"twice,omitempty"` // set by a flag and in the file: the daemon would not start again
}

// Unit returns what is known of a service's settings, nil if nothing is.
func (s *Settings) Unit(name string) *UnitSettings {
	if s == nil {
		return nil
	}
	for i := range s.Units {
		if s.Units[i].Name == name {
			return &s.Units[i]
		}
	}
	return nil
}
