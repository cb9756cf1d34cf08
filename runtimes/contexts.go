package runtimes

import (
	"encoding/json"
	"path"
	"slices"
)

const (
	maxConfig   = 1 << 20  // bytes of ~/.docker/config.json, which may hold many credentials
	maxMeta     = 64 << 10 // bytes of one context's meta.json
	maxContexts = 64
)

// contexts returns the local sockets of docker's contexts, the current one first.
// Of the settings only the context's name is kept: the rest is credentials.
//
// Source: docker/cli v28 cli/config/configfile/file.go and
// cli/context/store/doc.go; docker-context(1).
func contexts(l *lookup, getenv func(string) string) []Socket {
	dir := getenv("DOCKER_CONFIG")
	if dir == "" && path.IsAbs(getenv("HOME")) {
		dir = path.Join(getenv("HOME"), ".docker")
	}
	if !path.IsAbs(dir) {
		return nil
	}
	current := getenv("DOCKER_CONTEXT")
	if current == "" {
		current = currentContext(l, path.Join(dir, "config.json"))
	}
	metas := path.Join(dir, "contexts/meta")
	var all []Socket
	for i, name := range l.list(metas) {
		if i == maxContexts {
			break
		}
		text, err := l.read(path.Join(metas, name, "meta.json"), maxMeta)
		if err != nil {
			continue
		}
		name, socket := parseMeta(text)
		if socket == "" {
			continue
		}
		s := Socket{Kind: Docker, Path: socket, From: "context " + name}
		if name == current {
			all = slices.Insert(all, 0, s)
			continue
		}
		all = append(all, s)
	}
	return all
}

func currentContext(l *lookup, config string) string {
	text, err := l.read(config, maxConfig)
	if err != nil {
		return ""
	}
	var set struct {
		Current string `json:"currentContext"`
	}
	if json.Unmarshal(text, &set) != nil {
		return ""
	}
	return set.Current
}

// parseMeta returns the name and the local socket of a context, "" if it has none
// or the text is no context.
func parseMeta(text []byte) (name, socket string) {
	var meta struct {
		Name      string
		Endpoints struct {
			Docker struct{ Host string } `json:"docker"`
		}
	}
	if json.Unmarshal(text, &meta) != nil {
		return "", ""
	}
	p, ok := localPath(meta.Endpoints.Docker.Host)
	if !ok {
		return meta.Name, ""
	}
	return meta.Name, p
}
