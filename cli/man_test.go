package cli

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra/doc"
)

// The embedded man pages are those of the commands as they are now; go test ./cli -update writes them.
func TestManPages(t *testing.T) {
	s := &session{Env: Env{Stdout: io.Discard, Stderr: io.Discard, Getenv: os.Getenv}}
	root := s.root()
	root.DisableAutoGenTag = true
	dir := t.TempDir()
	if *Update {
		if err := os.RemoveAll("man"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir("man", 0o755); err != nil {
			t.Fatal(err)
		}
		dir = "man"
	}
	// A fixed date: the pages change when the commands do, not every month.
	if err := doc.GenManTree(root, &doc.GenManHeader{Title: "SEXTON", Section: "1", Source: "sexton", Date: &epoch}, dir); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(made) < 10 {
		t.Fatalf("%d pages, %v", len(made), err)
	}
	have, _ := filepath.Glob("man/*.1")
	if len(have) != len(made) {
		t.Errorf("%d pages are there, %d are made; run go test ./cli -update", len(have), len(made))
	}
	for _, page := range made {
		want, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(filepath.Join("man", filepath.Base(page))); string(got) != string(want) {
			t.Errorf("man/%s is out of date: run go test ./cli -update", filepath.Base(page))
		}
	}
}
