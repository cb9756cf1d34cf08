package lint

import (
	"cmp"
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
	at := func(name string) settings.Place { return r.at(max(lines[name], 1)) }
	d := &settings.Daemon{
		LiveRestore: toldBool(f.LiveRestore, at("live-restore")),
		DataRoot:    cmp.Or(told(f.Graph, at("graph")), told(f.DataRoot, at("data-root"))),
		Driver:      told(f.StorageDriver, at("storage-driver")),
	}
	for i, option := range f.StorageOpts {
		d.Options = append(d.Options, settings.Setting{Value: option, Place: at("storage-opts." + strconv.Itoa(i))})
	}
	if r.set.Daemon != nil {
		r.fail(0, "one at a time: sexton lint --daemon-json "+r.file, "a second file of docker's settings")
		return
	}
	r.set.Daemon = d
}

// flags is what the command line of a dockerd says.
func flags(argv []string, at settings.Place) *settings.Daemon {
	f := dockerd.ParseFlags(argv)
	d := &settings.Daemon{LiveRestore: toldBool(f.LiveRestore, at), DataRoot: told(f.DataRoot, at), Driver: told(f.StorageDriver, at)}
	for _, option := range f.StorageOpts {
		d.Options = append(d.Options, settings.Setting{Value: option, Place: at})
	}
	return d
}

// told is a setting with its place, nil for one that is not set.
func told(value string, at settings.Place) *settings.Setting {
	if value == "" {
		return nil
	}
	return &settings.Setting{Value: value, Place: at}
}

func toldBool(value *bool, at settings.Place) *settings.Setting {
	if value == nil {
		return nil
	}
	return told(strconv.FormatBool(*value), at)
}
