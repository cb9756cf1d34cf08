package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/errtext"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

// parseText prints what a text says, one object a line, and looks at nothing.
func (s *session) parseText(file string) error {
	text, err := s.readText(file)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	events, tables := errtext.Read(text), errtext.Tables(text)
	for _, t := range tables {
		line, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if strings.HasPrefix(t.Kind, "docker error") { // one thing that the text tells twice, as an error and as numbers
			line, events, err = mergePool(line, events)
			if err != nil {
				return err
			}
		}
		b.Write(append(line, '\n'))
	}
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	return copyAll(s.Stdout, b.Bytes())
}

// mergePool puts the event that a pool's error is into the line of its table.
func mergePool(line []byte, events []errtext.Event) ([]byte, []errtext.Event, error) {
	i := slices.IndexFunc(events, func(e errtext.Event) bool { return e.Family == errtext.ThinPool })
	if i < 0 {
		return line, events, nil
	}
	event, err := json.Marshal(events[i])
	if err != nil {
		return nil, nil, err
	}
	whole := append(bytes.TrimSuffix(event, []byte("}")), ',')
	return append(whole, bytes.TrimPrefix(line, []byte("{"))...), slices.Delete(events, i, i+1), nil
}

// whyText explains what a pasted text is about, on this host.
func (s *session) whyText(ctx context.Context, host *hostFlags, out outputFlags, file string) error {
	text, err := s.readText(file)
	if err != nil {
		return err
	}
	events, tables := errtext.Read(text), errtext.Tables(text)
	if len(events)+len(tables) == 0 {
		return withHint(fmt.Errorf("nothing in this text is known: it has %s", check.Count(bytes.Count(text, []byte("\n"))+1, "line")),
			"the lines with the error, whole; or sexton why TARGET")
	}
	v, err := s.see(ctx, host, snapshot.MountTables, snapshot.References)
	if err != nil {
		return err
	}
	var answer []string
	var found []check.Finding
	for _, e := range events {
		story, about := v.eventStory(e)
		answer = append(answer, story)
		found = addNew(found, about)
	}
	for _, t := range tables {
		story, about := v.tableStory(t)
		answer = append(answer, story)
		found = addNew(found, about)
	}
	v.Findings = found
	r := v.report()
	r.Tables = tables
	r.Answer = strings.Join(answer, "\n")
	if err := s.print(out, r, []any{r}, r.drawStory); err != nil {
		return err
	}
	s.code = v.code(check.Warning)
	return nil
}

// addNew adds the findings that are not there yet.
func addNew(found, more []check.Finding) []check.Finding {
	for _, f := range more {
		if !slices.ContainsFunc(found, func(g check.Finding) bool { return g.ID == f.ID }) {
			found = append(found, f)
		}
	}
	return found
}

// tableStory says what a table tells, what to do, and what there is of it on this host.
func (v *sight) tableStory(t errtext.Table) (string, []check.Finding) {
	story := []string{fmt.Sprintf("The table of %s:", t.Kind), t.Says}
	if t.Verdict != "" {
		story = append(story, sentence("That means: "+t.Verdict))
	} else {
		story = append(story, "Nothing is wrong in that.")
	}
	if t.Next != "" {
		story = append(story, sentence("Next: "+t.Next))
	}
	var about []check.Finding
	for _, f := range v.Findings {
		if name := f.Subject.Name; name != "" && (name == t.Pool || name == t.Device || name == snapshot.MappedName(t.VG, t.Pool)) {
			about = append(about, f)
			story = append(story, sentence("Found here: "+f.Title), sentence(f.Cause), "What to do: sexton why "+f.ID+".")
		}
	}
	return strings.Join(story, " "), about
}

// eventStory says what an event means, and what there is of its subject on this host.
func (v *sight) eventStory(e errtext.Event) (string, []check.Finding) {
	head := string(e.Family)
	if e.Runtime != "" {
		head = e.Runtime + ", " + head
	}
	story := []string{sentence(fmt.Sprintf("Line %d (%s): %s", e.Line, head, e.Cause))}
	if e.NoLeak != "" {
		return strings.Join(append(story, sentence("This is no leaked mount: "+e.NoLeak)), " "), nil
	}
	words := e.Subjects()
	var about []check.Finding
	for _, f := range v.Findings {
		if slices.ContainsFunc(words, func(w string) bool { return concernsWord(f, w) }) {
			about = append(about, f)
			story = append(story, sentence("Found here: "+f.Title), sentence(f.Cause), "What to do: sexton why "+f.ID+".")
		}
	}
	if thin := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, errtext.ThinDevice) }); thin >= 0 {
		return strings.Join(append(story, "Who holds it is told by sexton scan --check thin-delete-failed."), " "), about
	}
	if len(words) == 0 {
		return strings.Join(append(story, "The text names no container, path or device to look for."), " "), about
	}
	return strings.Join(append(story, v.heldStory(words, isUnmount(e.Text))...), " "), about
}

// isUnmount reports whether a text tells of an unmount that failed: what is open on
// a mount refuses it, and not who else has it mounted.
func isUnmount(text string) bool {
	low := strings.ToLower(text)
	return strings.Contains(low, "umount") || strings.Contains(low, "unmount")
}

// concernsWord reports whether a finding is about what a text names.
func concernsWord(f check.Finding, word string) bool {
	s := f.Subject
	if id, ok := strings.CutPrefix(word, errtext.ThinDevice); ok {
		return f.Check == "thin-delete-failed" && path.Base(f.ID) == id
	}
	return s.Container != "" && strings.HasPrefix(s.Container, word) || s.Path != "" && strings.Contains(s.Path, word) ||
		s.Device == word || strings.Contains(s.Name, word)
}

// heldStory says who keeps what the words name, the first that anybody does.
func (v *sight) heldStory(words []string, unmount bool) []string {
	for _, word := range words {
		held := holding.Of(v.now, search(v.now, word, v.follow).In(v.now))
		if len(held) == 0 {
			continue
		}
		return []string{sentence(word + " is " + v.keepers(held, unmount)), sentence("More: sexton holders " + word)}
	}
	if v.now.Mounts == nil {
		return []string{"Whether anything holds it cannot be told: the mounts of this host were not read."}
	}
	return []string{fmt.Sprintf("Nothing on this host holds %s now.", strings.Join(words, " or "))}
}
