package lint

import (
	"errors"
	"strconv"

	"sexton.dev/runtimes/dockerd"
	"sexton.dev/settings"
)

// daemon reads docker's file of settings.
func (r *reader) daemon(text []byte) {
	f, err := dockerd.ParseFile(text)
	if err != nil {
		line := 0
		if bad, ok := errors.AsType[*dockerd.FormatError](err); ok {
			line, err = bad.Line, bad.Err
		}
		r.fail(line, "dockerd --validate --config-file F says the same; mend the JSON there", "docker's settings: %w", err)
		return
	}
	lines := dockerd.Lines(text)
	at := func(name, value string) *settings.Setting {
		if value == "" {
			return nil
		}
		return &settings.Setting{Value: value, Place: r.at(max(lines[name], 1))}
	}
	d := &settings.Daemon{Driver: at("storage-driver", f.StorageDriver), DataRoot: at("data-root", f.DataRoot)}
	if f.Graph != "" {
		d.DataRoot = at("graph", f.Graph)
	}
	if f.LiveRestore != nil {
		d.LiveRestore = at("live-restore", strconv.FormatBool(*f.LiveRestore))
	}
	for i, option := range f.StorageOpts {
		d.Options = append(d.Options, settings.Setting{Value: option, Place: r.at(max(lines["storage-opts."+strconv.Itoa(i)], 1))})
	}
	if r.set.Daemon != nil {
		r.fail(0, "one at a time: sexton lint --daemon-json "+r.file, "a second file of docker's settings")
		return
	}
	r.set.Daemon = d
}
