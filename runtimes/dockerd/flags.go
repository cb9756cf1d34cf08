package dockerd

import (
	"strconv"
	"strings"
)

// Flags are what a daemon's command line says of the same, and where its files are.
type Flags struct {
	LiveRestore   *bool
	DataRoot      string
	RootFlag      string // the name by which DataRoot was given
	Config        string // its file of settings
	ExecRoot      string
	StorageDriver string
	StorageOpts   []string
}

// ParseFlags reads dockerd's command line, argv[0] included. The last of a flag's
// uses holds; storage options add up.
func ParseFlags(argv []string) Flags {
	var f Flags
	for i := 1; i < len(argv); i++ {
		name, value, given := strings.Cut(argv[i], "=")
		if argv[i] == "--" {
			break
		}
		if name == "--live-restore" {
			on := true
			if given {
				on, _ = strconv.ParseBool(value)
			}
			f.LiveRestore = &on
			continue
		}
		to, known := f.valueOf(name)
		if !known {
			continue
		}
		if !given && i+1 < len(argv) {
			i++
			value = argv[i]
		}
		switch {
		case to == nil:
			f.StorageOpts = append(f.StorageOpts, value)
			continue
		case to == &f.DataRoot:
			f.RootFlag = name
		}
		*to = value
	}
	return f
}

// valueOf is where the value of a flag goes; nil for one that adds up.
func (f *Flags) valueOf(name string) (to *string, known bool) {
	switch name {
	case "--data-root", "--graph", "-g":
		return &f.DataRoot, true
	case "--config-file":
		return &f.Config, true
	case "--exec-root":
		return &f.ExecRoot, true
	case "--storage-driver", "-s":
		return &f.StorageDriver, true
	case "--storage-opt":
		return nil, true
	}
	return nil, false
}
