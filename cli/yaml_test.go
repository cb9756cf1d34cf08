package cli

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// What is told in JSON is told in YAML, whatever a name is made of.
func TestYAMLOfAnyName(t *testing.T) {
	for r := range rune(0x2100) {
		sameInYAML(t, "a"+string(r)+" b")
	}
	for _, r := range []rune{0xD7FF, 0xE000, 0xFDD0, 0xFEFF, 0xFFF9, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000, 0x1FFFE, utf8.MaxRune} {
		sameInYAML(t, "a"+string(r)+" b")
	}
	for _, name := range []string{"", " ", "~", "null", "yes", "0x1f", "1e3", "- a", "a: b", "a #b", "'", `"`, "\r\n", "---", "!!int 3", "&a", "*a", "%TAG"} {
		sameInYAML(t, name)
	}
}

func FuzzYAML(f *testing.F) {
	f.Add("a\x7f\u0085\u2028b")
	f.Fuzz(func(t *testing.T, name string) {
		if utf8.ValidString(name) {
			sameInYAML(t, name)
		}
	})
}

func sameInYAML(t *testing.T, name string) {
	t.Helper()
	type object struct {
		Name string `json:"name"`
	}
	text, err := json.Marshal(object{name})
	if err != nil {
		t.Fatal(err)
	}
	y, err := toYAML(text)
	var got object
	if err == nil {
		err = yaml.Unmarshal(y, &got)
	}
	if err != nil || got.Name != name {
		t.Errorf("%q: %v: %q is %+v", name, err, y, got)
	}
}
