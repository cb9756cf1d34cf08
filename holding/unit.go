package holding

import (
	"fmt"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// Told are the directives of a unit in words, and where each of them stands. After
// a change of its files that systemd has not read it says that, too.
func Told(u *snapshot.UnitSettings) (words []string, evidence []check.Evidence) {
	for _, d := range u.Directives {
		text := d.Name + "=" + d.Value
		words = append(words, text)
		evidence = append(evidence, check.Evidence{Source: where(d), Text: text})
	}
	if u.Reload {
		evidence = append(evidence, check.Evidence{Source: "systemd", Text: u.Name + " NeedDaemonReload=yes" + pending(u)})
	}
	return words, evidence
}

func where(d snapshot.Directive) string {
	if d.File == "" {
		return "loaded by systemd"
	}
	return fmt.Sprintf("%s:%d", d.File, d.Line)
}

// pending is how the files differ from what is loaded.
func pending(u *snapshot.UnitSettings) string {
	var texts []string
	for _, d := range u.Pending {
		if d.Value == "" {
			texts = append(texts, "no "+d.Name)
		} else {
			texts = append(texts, fmt.Sprintf("%s=%s (%s:%d)", d.Name, d.Value, d.File, d.Line))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return "; the files say now: " + strings.Join(texts, ", ")
}
