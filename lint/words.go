package lint

import "strings"

// words cuts a command line as a shell cuts it, without expanding anything.
func words(text string) (out []string) {
	var word strings.Builder
	begun := false
	var quote byte
	for i := 0; i < len(text); i++ {
		b := text[i]
		switch {
		case b == '\\' && quote != '\'' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
			begun = true
		case quote != 0 && b == quote:
			quote = 0
		case quote == 0 && (b == '\'' || b == '"'):
			quote, begun = b, true
		case quote == 0 && (b == ' ' || b == '\t' || b == '\n' || b == '\r'):
			if begun {
				out = append(out, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(b)
			begun = true
		}
	}
	if begun {
		out = append(out, word.String())
	}
	return out
}
