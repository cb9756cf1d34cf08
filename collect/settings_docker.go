package collect

import (
	"cmp"
	"fmt"

	"sexton.dev/runtimes/dockerd"
	"sexton.dev/snapshot"
)

// toldDocker is the host's own dockerd, nil if none runs, what its command line says,
// and where its file of settings is.
func (l *looker) toldDocker() (p *snapshot.Process, flags dockerd.Flags, file string) {
	if p = l.daemon("dockerd"); p != nil {
		flags = dockerd.ParseFlags(p.Argv)
	}
	return p, flags, cmp.Or(flags.Config, dockerd.DefaultFile)
}

// readDocker reads docker's file of settings, in a child.
func readDocker(file string) (*dockerd.File, error) {
	text, err := readSome(file, maxSettings)
	if err != nil {
		return nil, err
	}
	return dockerd.ParseFile(text)
}

// mergeDocker joins both. dockerd refuses to start with a setting in both, so
// where that is so the file was changed since, and the flag holds.
func mergeDocker(flags dockerd.Flags, file *dockerd.File, name string) *snapshot.DockerSettings {
	out := &snapshot.DockerSettings{DataRoot: dockerd.DefaultDataRoot}
	if file != nil {
		out.File = name
		out.Debug = file.Debug || file.LogLevel == "debug"
		if file.LiveRestore != nil {
			out.LiveRestore = *file.LiveRestore
			out.Said = append(out.Said, fmt.Sprintf("%s: live-restore: %t", name, out.LiveRestore))
		}
		if root := file.Root(); root != "" {
			out.DataRoot = root
			out.Said = append(out.Said, name+": data-root: "+root)
		}
	}
	if flags.LiveRestore != nil {
		if file != nil && file.LiveRestore != nil {
			out.Twice = append(out.Twice, "live-restore")
		}
		out.LiveRestore = *flags.LiveRestore
		out.Said = append(out.Said, fmt.Sprintf("command line of dockerd: --live-restore=%t", *flags.LiveRestore))
	}
	if flags.DataRoot != "" {
		if file != nil && file.DataRoot+file.Graph != "" {
			out.Twice = append(out.Twice, "data-root")
		}
		out.DataRoot = flags.DataRoot
		out.Said = append(out.Said, "command line of dockerd: "+flags.RootFlag+" "+flags.DataRoot)
	}
	return out
}
