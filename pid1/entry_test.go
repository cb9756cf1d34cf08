package pid1

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// The program that is linked with -E begins in the assembly, which fits one page.
func TestEntry(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("no entry on this architecture: the Go loop is all there is")
	}
	path := filepath.Join(t.TempDir(), "init")
	cmd := exec.Command("go", "build", "-ldflags", "-E sexton_entry", "-o", path, "sexton.dev/cmd/sexton-init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name != "sexton_entry" {
			continue
		}
		if s.Value != f.Entry {
			t.Errorf("the program begins at %#x, sexton_entry is at %#x", f.Entry, s.Value)
		}
		if runtime.GOARCH == "amd64" && s.Value&0xfff+s.Size > 4096 {
			t.Errorf("sexton_entry is %d bytes at %#x: in two pages", s.Size, s.Value)
		}
		return
	}
	t.Error("no sexton_entry")
}

// The init's binary stays small.
func TestSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "init")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "sexton.dev/cmd/sexton-init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 2_000_000 {
		t.Errorf("%d bytes", info.Size())
	}
}
