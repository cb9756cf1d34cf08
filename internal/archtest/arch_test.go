package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tree keeps every rule.
func TestTree(t *testing.T) {
	tree := os.DirFS("../..")
	files, err := load(tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d Go files: is this the whole tree?", len(files))
	}
	for _, rule := range []struct {
		name     string
		problems []string
	}{{"imports", imports(files)}, {"purity", purity(files)}, {"package comments", comments(files)}, {"patterns", patterns(files)}} {
		t.Run(rule.name, func(t *testing.T) {
			for _, p := range rule.problems {
				t.Error(p)
			}
		})
	}
	t.Run("machine paths", func(t *testing.T) {
		problems, err := mentions(tree, machinePaths(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Error(p)
		}
	})
}

// A file is one parsed Go file.
type file struct {
	dir, name string // path.Join(dir, name) is its path in the tree
	test      bool
	syntax    *ast.File
}

func (f file) path() string { return path.Join(f.dir, f.name) }

// walk calls visit for every file but those of testdata, of other modules' code and of hidden folders.
func walk(tree fs.FS, visit func(name string, data []byte) error) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "vendor" || base == "node_modules") {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		if ext := path.Ext(base); !slices.Contains([]string{".go", ".md", ".mod", ".sh", ".yaml", ".yml", ".toml"}, ext) && base != "Makefile" {
			return nil
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return visit(name, data)
	})
}

func load(tree fs.FS) ([]file, error) {
	var files []file
	set := token.NewFileSet()
	err := walk(tree, func(name string, data []byte) error {
		if path.Ext(name) != ".go" {
			return nil
		}
		syntax, err := parser.ParseFile(set, name, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file{path.Dir(name), path.Base(name), strings.HasSuffix(name, "_test.go"), syntax})
		return nil
	})
	return files, err
}

// imported lists what a file imports.
func (f file) imported() []string {
	var out []string
	for _, spec := range f.syntax.Imports {
		to, _ := strconv.Unquote(spec.Path.Value) // the parser has read it already
		out = append(out, to)
	}
	return out
}

// imports says which files import what their package may not.
func imports(files []file) (problems []string) {
	for _, f := range files {
		name, r, ok := ruleOf(f.dir)
		if !ok {
			problems = append(problems, fmt.Sprintf("%s: package %s has no rule: say in internal/archtest/rules_test.go and docs/ARCHITECTURE.md what it may import, and why no more", f.path(), f.dir))
			continue
		}
		for _, to := range f.imported() {
			own, isOwn := strings.CutPrefix(to, module)
			if isOwn {
				allowed := in(own, r.mayImport) && !in(own, r.but) && !forTests(own)
				if f.test || forTests(f.dir) {
					allowed = allowed || own == f.dir || forTests(own)
				}
				if !allowed {
					problems = append(problems, fmt.Sprintf("%s imports %s: of ours, %s may import %s: %s", f.path(), to, name, only(r.mayImport), r.why))
				}
				continue
			}
			first, _, _ := strings.Cut(to, "/")
			outside := strings.Contains(first, ".")
			if outside && !f.test && !slices.ContainsFunc(strings.Fields(r.outside), func(m string) bool { return m == "*" || to == m || strings.HasPrefix(to, m+"/") }) {
				problems = append(problems, fmt.Sprintf("%s imports %s: besides the standard library, %s may use %s: %s", f.path(), to, name, only(r.outside), r.why))
			}
		}
	}
	return problems
}

func only(list string) string {
	if list == "" {
		return "nothing"
	}
	return strconv.Quote(list) + " alone"
}

// purity says which files of pure packages read the clock or reach a host.
func purity(files []file) (problems []string) {
	for _, f := range files {
		if f.test {
			continue
		}
		for _, spec := range f.syntax.Imports {
			to, _ := strconv.Unquote(spec.Path.Value)
			if in(f.dir, hostless) && touches(to) {
				problems = append(problems, fmt.Sprintf("%s imports %s: %s reaches no host, so that a recording is judged as a host is; collect reads", f.path(), to, f.dir))
			}
			if to != "time" || !in(f.dir, clockless) || in(f.dir, waiting) {
				continue
			}
			name := "time"
			if spec.Name != nil {
				name = spec.Name.Name
			}
			for _, use := range clockUses(f.syntax, name) {
				problems = append(problems, fmt.Sprintf("%s uses time.%s: %s has no clock, so that a recording gives the same answer next year; now is Host.Taken", f.path(), use, f.dir))
			}
		}
	}
	return problems
}

// clockUses finds the uses of the clock in a file that imports package time by this name.
func clockUses(f *ast.File, name string) (uses []string) {
	if name == "." {
		return []string{"* by a dot import, which hides what is used"}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == name && slices.Contains(clock, s.Sel.Name) {
				uses = append(uses, s.Sel.Name)
			}
		}
		return true
	})
	return uses
}

// patterns says which files compile a regular expression whenever the program starts.
func patterns(files []file) (problems []string) {
	for _, f := range files {
		if f.test {
			continue
		}
		for _, decl := range f.syntax.Decls {
			if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.VAR && compiles(d) {
				problems = append(problems, f.path()+" compiles a pattern at each start of sexton, those of its child processes too: sync.OnceValue does it when it is first used")
			}
		}
	}
	return problems
}

// compiles reports whether a declaration calls package regexp, but for what its functions do when they are called.
func compiles(n ast.Node) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			pkg, ok := s.X.(*ast.Ident)
			found = found || ok && pkg.Name == "regexp" && strings.Contains(s.Sel.Name, "Compile")
		}
		_, later := n.(*ast.FuncLit)
		return !later
	})
	return found
}

// comments says which packages have no comment that tells a stranger what they are.
func comments(files []file) (problems []string) {
	type told struct{ ours, tests bool }
	dirs := map[string]*told{} // whether a comment is there; tests counts for a folder with tests alone
	withCode := map[string]bool{}
	for _, f := range files {
		if dirs[f.dir] == nil {
			dirs[f.dir] = new(told)
		}
		name := f.syntax.Name.Name
		ok := f.syntax.Doc != nil && (name == "main" || strings.HasPrefix(f.syntax.Doc.Text(), "Package "+name+" "))
		if f.test {
			dirs[f.dir].tests = dirs[f.dir].tests || ok
		} else {
			withCode[f.dir] = true
			dirs[f.dir].ours = dirs[f.dir].ours || ok
		}
	}
	for dir, told := range dirs {
		if !told.ours && (withCode[dir] || !told.tests) {
			problems = append(problems, fmt.Sprintf("%s has no package comment (\"// Package NAME ...\"): a stranger reads it first", dir))
		}
	}
	slices.Sort(problems)
	return problems
}

// mentions says which lines name one of these paths.
func mentions(tree fs.FS, paths []string) (problems []string, err error) {
	err = walk(tree, func(name string, data []byte) error {
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			for _, p := range paths {
				if strings.Contains(line, p) {
					problems = append(problems, fmt.Sprintf("%s:%d names %s: no path of the machine it is built on, another has not got it", name, n, p))
				}
			}
		}
		return nil
	})
	return problems, err
}

// machinePaths are where this tree and Go's modules lie on this machine, if that is deep enough to mean it.
func machinePaths(t *testing.T) []string {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, p := range []string{root, filepath.Join(os.Getenv("HOME"), "go", "pkg", "mod")} {
		if strings.Count(p, "/") >= 2 {
			paths = append(paths, p)
		}
	}
	return paths
}
