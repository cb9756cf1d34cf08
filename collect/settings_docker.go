package collect

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sexton.dev/snapshot"
)

const (
	dockerConfig   = "/etc/docker/daemon.json"
	dockerDataRoot = "/var/lib/docker"
)

// A dockerFile is what of docker's file of settings matters for mounts.
type dockerFile struct {
	LiveRestore *bool  `json:"live-restore,omitempty"`
	DataRoot    string `json:"data-root,omitempty"`
	Graph       string `json:"graph,omitempty"` // the name of data-root before 17.05
}

// parseDockerFile reads daemon.json. An empty file sets nothing, as dockerd has it.
//
// Source: moby v28 daemon/config/config.go, getConflictFreeConfiguration.
func parseDockerFile(text []byte) (*dockerFile, error) {
	var f dockerFile
	if len(strings.TrimSpace(string(text))) == 0 {
		return &f, nil
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("docker's settings: %w", err)
	}
	return &f, nil
}

// dockerFlags are the same on dockerd's command line.
type dockerFlags struct {
	live           *bool
	root, rootFlag string
	config         string
}

// parseDockerFlags reads dockerd's command line. The last of a flag's uses holds.
func parseDockerFlags(argv []string) dockerFlags {
	var f dockerFlags
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
			f.live = &on
			continue
		}
		to := map[string]*string{"--data-root": &f.root, "--graph": &f.root, "-g": &f.root, "--config-file": &f.config}[name]
		if to == nil {
			continue
		}
		if !given && i+1 < len(argv) {
			i++
			value = argv[i]
		}
		if *to = value; to == &f.root {
			f.rootFlag = name
		}
	}
	return f
}

// mergeDocker joins both. dockerd refuses to start with a setting in both, so
// where that is so the file was changed since, and the flag holds.
func mergeDocker(flags dockerFlags, file *dockerFile, name string) *snapshot.DockerSettings {
	out := &snapshot.DockerSettings{DataRoot: dockerDataRoot}
	if file != nil {
		out.File = name
		if file.LiveRestore != nil {
			out.LiveRestore = *file.LiveRestore
			out.Said = append(out.Said, fmt.Sprintf("%s: live-restore: %t", name, out.LiveRestore))
		}
		if root := file.DataRoot + file.Graph; root != "" && (file.DataRoot == "" || file.Graph == "") {
			out.DataRoot = root
			out.Said = append(out.Said, name+": data-root: "+root)
		}
	}
	if flags.live != nil {
		if file != nil && file.LiveRestore != nil {
			out.Twice = append(out.Twice, "live-restore")
		}
		out.LiveRestore = *flags.live
		out.Said = append(out.Said, fmt.Sprintf("command line of dockerd: --live-restore=%t", *flags.live))
	}
	if flags.root != "" {
		if file != nil && file.DataRoot+file.Graph != "" {
			out.Twice = append(out.Twice, "data-root")
		}
		out.DataRoot = flags.root
		out.Said = append(out.Said, "command line of dockerd: "+flags.rootFlag+" "+flags.root)
	}
	return out
}
