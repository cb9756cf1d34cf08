// Package checktest runs a check over the stories of its testdata folder.
//
// A story is a txtar archive: a sentence that says what is the matter, the
// looks before.json (may be missing) and now.json, each a [snapshot.Host] with
// the fields that matter, and want, what the check says of them:
//
//	Pid 7 was reaped and used again: another start time, so another process.
//	-- before.json --
//	{"processes": [{"pid": 7, "ppid": 1, "state": "Z", "start": 90}]}
//	-- now.json --
//	{"processes": [{"pid": 7, "ppid": 1, "state": "Z", "start": 95}]}
//	-- want --
//
// "go test -update" rewrites want; read the diff.
package checktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

var update = flag.Bool("update", false, "rewrite the want section of every story")

// looks is how often a check judges each story: what depends on the order of a map shows.
const looks = 5

// Run runs c over every testdata/*.txtar and compares all that it says with the
// story's want section. It fails if a story is missing that has a finding, that
// has neither finding nor unknown (a near miss), or that has an unknown; and if
// a finding breaks the report's contract (an id of its own that begins with the
// check's name, the words for kinds, severities and risks, a cause, evidence).
func Run(t *testing.T, c *check.Check) {
	t.Helper()
	ends, lack := tell(c, "testdata", *update)
	for _, e := range ends {
		t.Run(e.name, func(t *testing.T) {
			if e.problem != "" {
				t.Error(e.problem)
			}
		})
	}
	if lack != "" {
		t.Error(lack)
	}
}

// An ending is how one story came out.
type ending struct {
	name    string
	problem string // "" if it ended as written
}

// tell judges every story in dir. lack says what the folder as a whole misses.
func tell(c *check.Check, dir string, update bool) (ends []ending, lack string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Sprintf("check %s has no stories: no %s/*.txtar", c.Name, dir)
	}
	found, clear, unknown := false, false, false
	for _, file := range files {
		e := ending{name: strings.TrimSuffix(filepath.Base(file), ".txtar")}
		r, err := one(c, file, update)
		if err != nil {
			e.problem = fmt.Sprintf("%s: %v", file, err)
		}
		ends = append(ends, e)
		found = found || len(r.Findings) > 0
		unknown = unknown || len(r.Unknown) > 0
		clear = clear || err == nil && len(r.Findings) == 0 && len(r.Unknown) == 0
	}
	var lacks []string
	for _, story := range []struct {
		there bool
		what  string
	}{{found, "with a finding"}, {clear, "without finding and unknown (a near miss)"}, {unknown, "that ends in cannot tell"}} {
		if !story.there {
			lacks = append(lacks, story.what)
		}
	}
	if len(lacks) > 0 {
		lack = fmt.Sprintf("check %s has no story %s in %s", c.Name, strings.Join(lacks, ", none "), dir)
	}
	return ends, lack
}

// one judges one story and compares, or rewrites, its end.
func one(c *check.Check, file string, update bool) (check.Result, error) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		return check.Result{}, err
	}
	r, want, err := judge(c, a)
	if err != nil {
		return r, err
	}
	got := text(r)
	if got == string(a.Files[want].Data) {
		return r, nil
	}
	if update {
		a.Files[want].Data = []byte(got)
		return r, os.WriteFile(file, txtar.Format(a), 0o666)
	}
	return r, fmt.Errorf("it ends otherwise (-want +got, go test -update rewrites it):\n%s", cmp.Diff(string(a.Files[want].Data), got))
}

// judge runs the check over a story; want is the index of its want section.
func judge(c *check.Check, a *txtar.Archive) (r check.Result, want int, err error) {
	now, before, want := -1, -1, -1
	for i, s := range a.Files {
		place, ok := map[string]*int{"now.json": &now, "before.json": &before, "want": &want}[s.Name]
		if !ok || *place >= 0 {
			return r, 0, fmt.Errorf("section %q is unknown or comes twice; there are before.json, now.json and want", s.Name)
		}
		*place = i
	}
	if now < 0 || want < 0 {
		return r, 0, errors.New("needs the sections now.json and want")
	}
	first := ""
	for i := range looks {
		p := check.Pass{Limits: check.Defaults}
		if p.Now, err = host(a.Files[now]); err != nil {
			return r, 0, err
		}
		if before >= 0 {
			if p.Before, err = host(a.Files[before]); err != nil {
				return r, 0, err
			}
		}
		r = check.Run([]*check.Check{c}, p)
		if again := text(r); i == 0 {
			first = again
		} else if again != first {
			return r, 0, fmt.Errorf("the same look gives another answer (-first +again):\n%s", cmp.Diff(first, again))
		}
	}
	return r, want, broken(c, r)
}

// host reads one look. Fields that do not exist are an error: a typing mistake
// would make a story pass that shows nothing.
func host(s txtar.File) (*snapshot.Host, error) {
	d := json.NewDecoder(bytes.NewReader(s.Data))
	d.DisallowUnknownFields()
	h := new(snapshot.Host)
	if err := d.Decode(h); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s: more text after the host", s.Name)
	}
	h.Sort()
	return h, nil
}
