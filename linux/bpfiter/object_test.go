package bpfiter

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"os"
	"testing"
)

// The program is compiled from the source that is beside it.
func TestObjectIsOfSource(t *testing.T) {
	source, err := os.ReadFile("src/keepers.c")
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	section := file.Section("source")
	if section == nil {
		t.Fatal("keepers.o has no sum of its source")
	}
	sum, err := section.Data()
	if want := fmt.Sprintf("%x\x00", sha256.Sum256(source)); err != nil || string(sum) != want {
		t.Errorf("%v: keepers.o is of %q, src/keepers.c is %q: run linux/bpfiter/src/build.sh", err, sum, want)
	}
}
