package systemd

import (
	"slices"
	"strings"
	"time"
)

// unitOf takes what matters out of the properties of a unit and of its service.
// The rest, environments among them, stays behind.
func unitOf(name string, unit, service map[string]any) Unit {
	u := Unit{Name: name}
	u.Fragment, _ = unit["FragmentPath"].(string)
	u.DropIns, _ = unit["DropInPaths"].([]string)
	u.NeedReload, _ = unit["NeedDaemonReload"].(bool)
	if state, _ := unit["ActiveState"].(string); state == "active" || state == "reloading" || state == "deactivating" {
		if micros, _ := unit["ActiveEnterTimestamp"].(uint64); micros > 0 && micros < 1<<62 {
			u.Active = time.UnixMicro(int64(micros)).UTC()
		}
	}
	pid, _ := service["MainPID"].(uint32)
	u.MainPID = int(pid)
	u.KillMode, _ = service["KillMode"].(string)
	for property, value := range service {
		directive := property
		if now, was := older[property]; was {
			directive = now
		}
		k, ok := private[directive]
		if !ok {
			continue
		}
		if text := propertyText(property, value); text != "" && !slices.Contains(k.off, text) {
			u.Directives = append(u.Directives, Directive{Name: directive, Value: text})
		}
	}
	slices.SortFunc(u.Directives, func(a, b Directive) int { return strings.Compare(a.Name, b.Name) })
	return u
}

// The propagation of a mount, as mount(2) has the flags.
var propagations = map[uint64]string{1 << 18: "private", 1 << 19: "slave", 1 << 20: "shared"}

// propertyText writes a property as a unit file has it, "" for what is not set.
func propertyText(name string, value any) string {
	switch v := value.(type) {
	case bool:
		if v {
			return "yes"
		}
	case string:
		return v
	case uint64:
		if name == "MountFlags" {
			return propagations[v]
		}
	case []string:
		return strings.Join(v, " ")
	case [][]any: // paths with what belongs to each
		var all []string
		for _, fields := range v {
			if text := entryText(fields); text != "" {
				all = append(all, text)
			}
		}
		return strings.Join(all, " ")
	}
	return ""
}

// entryText writes the first texts of an entry with ":" between, as source:target.
func entryText(fields []any) string {
	var texts []string
	for _, f := range fields {
		if text, ok := f.(string); ok && text != "" && len(texts) < 2 {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ":")
}

// Same reports whether two values of a directive mean the same.
func Same(name, a, b string) bool {
	k := private[name]
	if k.list {
		return slices.Equal(words(a), words(b))
	}
	return plain(a) == plain(b)
}

func words(s string) []string {
	all := strings.Fields(s)
	slices.Sort(all)
	return slices.Compact(all)
}

func plain(s string) string {
	s = strings.ToLower(s)
	if slices.Contains([]string{"1", "y", "t", "true", "on"}, s) {
		return "yes"
	}
	return s
}
