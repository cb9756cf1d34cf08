package godump

import (
	"encoding/json"
	"fmt"
	"strings"
)

// each puts something before each line.
func each(before, text string) string {
	return before + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+before) + "\n"
}

func logrus(text string) string {
	text = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\t", `\t`, `"`, `\"`).Replace(text)
	return `time="2026-11-20T22:14:10Z" level=info msg="=== BEGIN goroutine stack dump ===\n` + text + `\n=== END goroutine stack dump ==="` + "\n"
}

// flat is what a chat makes of a text.
func flat(text string) string {
	return strings.NewReplacer("\n\t", " ", "\n", " ").Replace(text) + "\n"
}

// numbered is what grep -n ” prints.
func numbered(before, text string) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		fmt.Fprintf(&b, "%s%d:%s", before, n, line)
	}
	return b.String()
}

// grepped is what grep -H -n -A100 goroutine prints.
func grepped(file, text string) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		sep := "-"
		if strings.HasPrefix(line, "goroutine ") {
			sep = ":"
		}
		fmt.Fprintf(&b, "%s%s%d%s%s", file, sep, n, sep, line)
	}
	return b.String()
}

func jsonFile(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		quoted, _ := json.Marshal(line)
		fmt.Fprintf(&b, `{"log":%s,"stream":"stderr","time":"2026-11-29T10:00:00Z"}`+"\n", quoted)
	}
	return b.String()
}

func journalJSON(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		quoted, _ := json.Marshal(strings.TrimSuffix(line, "\n"))
		fmt.Fprintf(&b, `{"_PID":"12","MESSAGE":%s,"PRIORITY":"6"}`+"\n", quoted)
	}
	return b.String()
}
