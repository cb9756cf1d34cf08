package checktest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sexton.dev/check"
)

// text prints all of a result, one thing a line, so that a golden text differs
// where anything differs.
func text(r check.Result) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-9s%s\n", name, fmt.Sprintf(format, args...))
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s %s\n", plain(string(f.Severity)), plain(f.ID))
		line("subject", "%s", fields(f.Subject))
		line("title", "%s", plain(f.Title))
		line("cause", "%s", plain(f.Cause))
		line("harm", "%s", plain(f.Harm))
		for _, e := range f.Evidence {
			line("evidence", "%s: %s", plain(e.Source), plain(e.Text))
		}
		for _, h := range f.Holders {
			line("holder", "%s", fields(h))
		}
		for _, m := range f.Remedies {
			line("remedy", "%s (%s): %s", plain(m.Action), plain(m.Risk), plain(m.Why))
			for _, t := range m.Targets {
				line("  on", "%s", fields(t))
			}
		}
		for _, a := range f.Advice {
			line("advice", "%s", plain(a))
		}
		for _, r := range f.Ladder {
			line("rung", "%s", fields(r))
		}
		since := "not known"
		if !f.Since.IsZero() {
			since = f.Since.UTC().Format(time.RFC3339Nano)
		}
		line("since", "%s", since)
	}
	for _, u := range r.Unknown {
		fmt.Fprintf(&b, "cannot tell: %s: %s\n", plain(u.What), plain(u.Why))
	}
	return b.String()
}

// fields prints each field of a struct that is not zero as name=value, by its
// JSON name, so that a field that is added is printed as well.
func fields(v any) string {
	var parts []string
	s := reflect.ValueOf(v)
	for i := range s.NumField() {
		if s.Field(i).IsZero() {
			continue
		}
		name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
		value := plain(fmt.Sprint(s.Field(i)))
		if strings.ContainsAny(value, " =") && !strings.HasPrefix(value, `"`) {
			value = strconv.Quote(value)
		}
		parts = append(parts, name+"="+value)
	}
	return strings.Join(parts, " ")
}

// plain gives a string as it is if it is one line of printable text, else quoted.
func plain(s string) string {
	printable := utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
	if printable && s != "" && s == strings.TrimSpace(s) && s[0] != '"' {
		return s
	}
	return strconv.Quote(s)
}

// The words that a report may use. They are in its contract, docs/formats.md.
var (
	subjects = []string{"container", "process", "mount", "device", "runtime", "unit", "host"}
	holders  = []string{"process", "thread", "fd", "cwd", "root", "mmap", "bind", "socket", "iouring", "loop", "swap", "overlay", "submount", "unknown"}
	risks    = []string{"safe", "disruptive", "destructive"}
)

// broken says what in a result breaks the contract of a report.
func broken(c *check.Check, r check.Result) error {
	var errs []error
	ids := map[string]bool{}
	for _, f := range r.Findings {
		must := func(ok bool, format string, args ...any) {
			if !ok {
				errs = append(errs, fmt.Errorf("finding %q: %s", f.ID, fmt.Sprintf(format, args...)))
			}
		}
		identity, own := strings.CutPrefix(f.ID, c.Name+"/")
		must(own && identity != "", "its id must be %s/IDENTITY", c.Name)
		must(!ids[f.ID], "another finding has this id")
		ids[f.ID] = true
		must(f.Severity.Rank() > 0, "unknown severity %q", f.Severity)
		must(slices.Contains(subjects, f.Subject.Kind), "unknown kind of subject %q", f.Subject.Kind)
		must(f.Title != "" && f.Cause != "" && f.Harm != "", "it needs title, cause and harm")
		must(len(f.Evidence) > 0, "it has no evidence")
		for _, e := range f.Evidence {
			must(e.Source != "" && e.Text != "", "evidence without source or text: %+v", e)
		}
		for _, h := range f.Holders {
			must(slices.Contains(holders, h.Kind), "unknown kind of holder %q", h.Kind)
		}
		for _, m := range f.Remedies {
			must(m.Action != "" && m.Why != "", "remedy without action or why: %+v", m)
			must(slices.Contains(risks, m.Risk), "unknown risk %q", m.Risk)
		}
	}
	for _, u := range r.Unknown {
		if u.What == "" || u.Why == "" {
			errs = append(errs, fmt.Errorf("unknown without what or why: %+v", u))
		}
	}
	return errors.Join(errs...)
}
