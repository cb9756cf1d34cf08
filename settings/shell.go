package settings

import (
	"slices"
	"strings"
)

// A reading is what becomes of a shell that is given a text.
type reading int

const (
	replaced reading = iota // by its last command, or it is believed to pass TERM on
	single                  // it runs one command
	several                 // it stays in front of what it runs
)

// script is what a shell is told to run by -c; false for a file or a terminal,
// whose text is not known.
func script(argv []string) (text string, ok bool) {
	for i := 1; i < len(argv); i++ {
		a := argv[i]
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") {
			return "", false
		}
		if strings.HasPrefix(a, "--") {
			continue
		}
		last := a[len(a)-1]
		if strings.ContainsRune(a[1:], 'c') {
			if last == 'o' { // -euco pipefail TEXT
				i++
			}
			for i++; i < len(argv) && strings.HasPrefix(argv[i], "-") && len(argv[i]) > 1; i++ {
			}
			if i < len(argv) {
				return argv[i], true
			}
			return "", false
		}
		if last == 'o' || last == 'O' { // -o pipefail
			i++
		}
	}
	return "", false
}

// keywords begin a command of several.
var keywords = []string{"if", "while", "until", "for", "case", "{", "(", "[", "[[", "!", "select", "function"}

// read tells what a shell does with a text, and by which program it is replaced, or
// what it runs alone. It errs on the side of saying nothing: a text with a trap, and
// one that ends in exec, are believed to be made for it.
func read(text string) (how reading, program []string) {
	commands := split(text)
	if len(commands) == 0 {
		return replaced, nil
	}
	for _, c := range commands {
		if slices.Contains(c.words, "trap") {
			return replaced, nil
		}
	}
	last := commands[len(commands)-1]
	words := last.program()
	switch {
	case len(words) > 0 && words[0] == "exec":
		return replaced, words[1:]
	case len(commands) > 1 || last.list:
		return several, nil
	case len(words) == 0:
		return replaced, nil // assignments alone: it ends at once
	case slices.Contains(keywords, words[0]):
		return several, nil
	}
	return single, words
}

// A command are the words of one simple command, quotes taken off.
type command struct {
	words []string
	list  bool // it is in the background or in a pipe
}

// program are the words behind assignments.
func (c command) program() []string {
	for i, w := range c.words {
		if name, _, assigns := strings.Cut(w, "="); !assigns || name == "" || strings.ContainsAny(name, "/-$.") {
			return c.words[i:]
		}
	}
	return nil
}

// split cuts a text where a shell would begin another command. What is quoted or
// inside of $(...) and `...` is a part of a word.
func split(text string) (out []command) {
	var c command
	var word strings.Builder
	begun := false // a word, which may be empty: ""
	endWord := func() {
		if begun {
			c.words = append(c.words, word.String())
		}
		word.Reset()
		begun = false
	}
	end := func(list bool) {
		endWord()
		if len(c.words) > 0 {
			c.list = list
			out = append(out, c)
		}
		c = command{}
	}
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == ' ' || b == '\t' || b == '\r':
			endWord()
		case b == '\n' || b == ';':
			end(false)
		case (b == '|' || b == '&') && !redirects(text, i):
			end(true)
		case b == '#' && !begun:
			comment, _, _ := strings.Cut(text[i:], "\n")
			i += len(comment) - 1
		case text[i:] == `\` || strings.HasPrefix(text[i:], "\\\n"):
			i++ // the line goes on
		default:
			piece, n := part(text[i:])
			word.WriteString(piece)
			begun = true
			i += n - 1
		}
	}
	end(false)
	return out
}

// part is what a word gets of the beginning of a text, and how long that is in the text.
func part(text string) (piece string, n int) {
	switch text[0] {
	case '\\':
		return text[1:2], 2
	case '\'', '"', '`':
		n = quoted(text)
		return strings.Trim(text[:n], text[:1]), n
	case '$':
		n = substituted(text)
		return text[:n], n
	}
	return text[:1], 1
}

// redirects tells a "&" that is no end of a command: 2>&1, &>log.
func redirects(text string, i int) bool {
	return text[i] == '&' && (i > 0 && strings.ContainsRune("<>", rune(text[i-1])) || strings.HasPrefix(text[i:], "&>"))
}

// quoted is the length of a quotation, up to the end of the text if it has no end.
func quoted(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[0] != '\'':
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return len(text)
}

// substituted is the length of $(...) or ${...}, and 1 for another "$".
func substituted(text string) int {
	if len(text) < 2 || text[1] != '(' && text[1] != '{' {
		return 1
	}
	deep := 0
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '(', '{':
			deep++
		case ')', '}':
			if deep--; deep == 0 {
				return i + 1
			}
		case '\'', '"':
			i += quoted(text[i:]) - 1
		case '\\':
			i++
		}
	}
	return len(text)
}
