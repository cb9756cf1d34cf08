package cli

import (
	"os"
	"path"
	"strings"

	"sexton.dev/holding"
	"sexton.dev/runtimes"
	"sexton.dev/snapshot"
)

// follow gives a path that somebody named as mount tables have it, which know no
// symbolic links: /var/run is /run, and a data root may be one. Of a recording
// the links are not known. What is no path stays as it is.
func (f *hostFlags) follow(word string) string {
	if f.from != "" {
		return word
	}
	if word == "." || word == ".." || strings.HasPrefix(word, "./") || strings.HasPrefix(word, "../") {
		dir, err := os.Getwd()
		if err != nil {
			return word
		}
		word = path.Join(dir, word)
	}
	if !strings.HasPrefix(word, "/") {
		return word
	}
	at, err := runtimes.Follow(f.root, word)
	if err != nil {
		return word // the tables that say where a walk may wait were not read
	}
	return at
}

// search looks for a word as it was typed or, if no mount table has that, for where
// its symbolic links lead.
func search(h *snapshot.Host, word string, follow func(string) string) holding.Parts {
	id := idOf(h, word)
	parts := holding.Search(h, id)
	if id != word || follow == nil || len(parts.In(h).Mounts) > 0 {
		return parts
	}
	if at := follow(word); at != word {
		return holding.Search(h, at)
	}
	return parts
}
