package cli

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// toYAML writes JSON as YAML.
func toYAML(text []byte) ([]byte, error) { return yaml.JSONToYAML(forYAML(text)) }

// forYAML escapes what may stand in a string of JSON and not in YAML, or means a line
// break there: names of processes and paths may have it.
//
// Source: RFC 8259, 7; YAML 1.1, 5.1 and 5.4.
func forYAML(text []byte) []byte {
	var out bytes.Buffer
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r >= 0x7F && r < 0xA0, r == 0x2028, r == 0x2029, r == 0xFEFF, r == 0xFFFE, r == 0xFFFF:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.Write(text[:n])
		}
		text = text[n:]
	}
	return out.Bytes()
}
