package lint

import (
	"path"
	"regexp"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"sexton.dev/settings"
)

// manifestLike tells a text that was meant to be a manifest, though it is broken.
var manifestLike = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^(apiVersion|services):`) })

// manifest reads YAML or JSON: objects of Kubernetes, or a compose file.
func (r *reader) manifest(f File) {
	known, documents := false, 0
	bad := len(r.problems)
	r.documents(f.Text, func(n node) {
		if n.null() {
			return
		}
		documents++
		switch {
		case n.get("services").is(yaml.MappingNode) && n.get("kind").null():
			r.compose(n.get("services"))
		case n.text("kind") != "" && n.text("apiVersion") != "":
			r.object(n, 0)
		case strings.Contains(path.Base(f.Name), "compose") && n.is(yaml.MappingNode) && n.get("kind").null():
			r.compose(n) // of before version 2: services right at the top
		default:
			return
		}
		known = true
	})
	if f.Foreign && !known {
		if !manifestLike().Match(f.Text) {
			r.problems = r.problems[:bad] // some other YAML
		}
		return
	}
	if !known && bad == len(r.problems) {
		what := "it is neither an object of Kubernetes (apiVersion and kind) nor a compose file (services)"
		if documents == 0 {
			what = "it holds nothing"
		}
		r.fail(0, "a manifest, a compose file or a Dockerfile; --daemon-json F for docker's settings, --unit F for a unit of systemd", "%s", what)
	}
}

const deepest = 8 // lists in lists

// object reads one object of Kubernetes, or those of a list.
func (r *reader) object(n node, deep int) {
	kind := n.text("kind")
	if strings.HasSuffix(kind, "List") && n.get("items").is(yaml.SequenceNode) {
		for _, item := range n.mappings("items") {
			if deep < deepest {
				r.object(item, deep+1)
			}
		}
		return
	}
	name := n.get("metadata").text("name")
	if name == "" {
		name = n.get("metadata").text("generateName")
	}
	if ns := n.get("metadata").text("namespace"); ns != "" {
		name = ns + "/" + name
	}
	if spec := n.get("spec"); !spec.null() && !spec.is(yaml.MappingNode) {
		spec.wrong("spec", "a mapping")
	}
	if spec := podSpec(n); spec.Node != nil {
		r.pod(spec, settings.Workload{Format: settings.Kubernetes, Kind: kind, Name: name, File: r.file})
	}
}

// podSpec finds the pod that an object makes, whatever its kind: those of others than
// Kubernetes itself have it in the same places.
func podSpec(n node) node {
	for _, where := range [][]string{{"spec"}, {"spec", "template", "spec"}, {"spec", "jobTemplate", "spec", "template", "spec"}, {"template", "spec"}} {
		if spec := n.at(where...); !spec.get("containers").null() {
			return spec
		}
	}
	return node{}
}

// pod reads the spec of a pod.
func (r *reader) pod(spec node, w settings.Workload) {
	w.OtherPID1 = spec.yes("shareProcessNamespace") || spec.yes("hostPID")
	paths := map[string]node{} // hostPath, by the volume's name
	for _, v := range spec.mappings("volumes") {
		h := v.get("hostPath")
		if kind := h.text("type"); !h.null() && kind != "Socket" && kind != "File" && kind != "FileOrCreate" {
			paths[v.text("name")] = h
		}
	}
	for _, c := range spec.mappings("containers") {
		w.Containers = append(w.Containers, r.container(c, paths))
	}
	for _, c := range spec.mappings("initContainers") {
		one := r.container(c, paths)
		one.Brief = c.text("restartPolicy") != "Always" // with it, it is a sidecar
		w.Containers = append(w.Containers, one)
	}
	r.set.Workloads = append(r.set.Workloads, w)
}

func (r *reader) container(c node, paths map[string]node) settings.Container {
	out := settings.Container{Name: c.text("name")}
	out.Program = settings.Program{Argv: append(c.texts("command"), c.texts("args")...), Place: r.at(c.line())}
	for _, key := range []string{"args", "command"} {
		if v := c.get(key); !v.null() {
			out.Program.Place = r.at(v.line())
		}
	}
	for _, m := range c.mappings("volumeMounts") {
		h, ok := paths[m.text("name")]
		if !ok {
			continue
		}
		out.Binds = append(out.Binds, settings.Bind{Host: path.Join(h.text("path"), m.text("subPath")), At: m.text("mountPath"),
			Propagation: m.text("mountPropagation"), Place: r.at(m.line())})
	}
	if limit := c.at("resources", "limits").text("memory"); limit != "" {
		at := c.at("resources", "limits", "memory").line()
		bytes, err := quantity(limit)
		if err != nil {
			r.fail(at, "a number and a unit: 64Mi", "memory: %w", err)
		}
		out.Memory = settings.Memory{Bytes: bytes, Text: limit, Place: r.at(at)}
	}
	return out
}
