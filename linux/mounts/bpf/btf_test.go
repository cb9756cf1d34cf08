package bpf

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"sexton.dev/internal/hosttest"
)

// A btfText builds BTF.
type btfText struct {
	records []byte
	names   string
}

func (b *btfText) name(text string) uint32 {
	if text == "" {
		return 0
	}
	at := len(b.names)
	b.names += text + "\x00"
	return uint32(at)
}

func (b *btfText) words(words ...uint32) {
	for _, w := range words {
		b.records = binary.NativeEndian.AppendUint32(b.records, w)
	}
}

func (b *btfText) record(name string, kind, count, size uint32, rest ...uint32) {
	b.words(b.name(name), kind<<24|count, size)
	b.words(rest...)
}

func (b *btfText) text() []byte {
	head := binary.NativeEndian.AppendUint16(nil, 0xeb9f)
	head = append(head, 1, 0)
	for _, w := range []int{24, 0, len(b.records), len(b.records), len(b.names)} {
		head = binary.NativeEndian.AppendUint32(head, uint32(w))
	}
	return slices.Concat(head, b.records, []byte(b.names))
}

// example has one type of each kind, and struct mount after them, of which a member is in a
// union without a name.
func example() *btfText {
	const bitfields = 1 << 31
	b := &btfText{names: "\x00"}
	b.record("int", kindInt, 0, 4, 32)                           // 1
	b.record("", 2, 0, 1)                                        // a pointer
	b.record("", kindArray, 0, 0, 1, 1, 7)                       // 3
	b.record("e", kindEnum, 2, 4, 0, 1, 0, 2)                    // 4
	b.record("", kindProto, 1, 1, 0, 1)                          // 5
	b.record("f", 12, 0, 5)                                      // a function
	b.record("v", kindVar, 0, 1, 0)                              // 7
	b.record(".data", kindSection, 1, 8, 7, 0, 4)                // 8
	b.record("tag", kindTag, 0, 1, 0)                            // 9
	b.record("e64", kindEnum64, 1, 8, 0, 1, 2)                   // 10
	b.record("", kindUnion, 2, 8, b.name("node"), 1, 0, 0, 1, 0) // 11
	b.words(b.name("mount"), bitfields|kindStruct<<24|4, 40,
		b.name("parent"), 2, 64,
		b.name("bits"), 1, 3<<24|128,
		0, 11, 192,
		b.name("odd"), 1, 257)
	b.record("mount", kindStruct, 0, 99)
	return b
}

func TestTypes(t *testing.T) {
	got, err := parseTypes(example().text(), []string{"other", "mount"})
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]uint32{"parent": 8, "node": 24} {
		if at, err := got.offset("mount", field); err != nil || at != want {
			t.Errorf("%s: %d, %v; want %d", field, at, err, want)
		}
	}
	for _, field := range []string{"bits", "odd", "nodes", "nod", "none", "tag"} {
		if at, err := got.offset("mount", field); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %d, %v", field, at, err)
		}
	}
	if _, err := got.offset("other", "x"); err == nil {
		t.Error("a struct that is not there has a member")
	}
}

func TestTypesHostile(t *testing.T) {
	whole := example().text()
	changed := func(at int, value uint32) []byte {
		text := slices.Clone(whole)
		binary.NativeEndian.PutUint32(text[at:], value)
		return text
	}
	ofItself := &btfText{names: "\x00"}
	ofItself.record("mount", kindStruct, 1, 8, 0, 1, 0)
	long := &btfText{names: "\x00"}
	long.record("mount", kindStruct, 65535, 8)
	for _, tt := range []struct {
		name   string
		text   []byte
		parsed bool
	}{
		{"empty", nil, false},
		{"a header alone", whole[:24], false},
		{"another magic number", changed(0, 0), false},
		{"a header beyond the end", changed(4, 1<<31), false},
		{"types beyond the end", changed(12, 1<<32-1), false},
		{"names beyond the end", changed(20, 1<<32-1), false},
		{"a cut record", changed(12, uint32(binary.NativeEndian.Uint32(whole[12:])-4)), false},
		{"members beyond the end", long.text(), false},
		{"a name beyond the end", changed(24, 1<<32-1), true},
		{"a struct in itself", ofItself.text(), true},
	} {
		got, err := parseTypes(tt.text, []string{"mount"})
		if (err == nil) != tt.parsed || err != nil && !errors.Is(err, errBTF) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil {
			got.offset("mount", "far")
		}
	}
}

// The kernel's own text says where its fields are, one in the other.
func TestLayout(t *testing.T) {
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	hosttest.Needs(t, "bpf", err == nil, "CONFIG_DEBUG_INFO_BTF")
	at, err := kernelLayout()
	if err != nil {
		t.Fatal(err)
	}
	if at.SB != at.Root+8 || at.Near > at.Parent || at.Near+at.NearSize < at.SB+8 || at.Far > at.Group || at.Far+at.FarSize < at.Unique+8 {
		t.Errorf("%+v", at)
	}
}

func FuzzTypes(f *testing.F) {
	f.Add(example().text())
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseTypes(text, []string{"mount", "int", "e"})
		if err != nil {
			if !errors.Is(err, errBTF) {
				t.Error(err)
			}
			return
		}
		for name := range got.structs {
			if at, err := got.offset(name, "node"); err == nil && at >= 1<<29 {
				t.Errorf("%s.node at %d", name, at)
			}
		}
	})
}

func BenchmarkLayout(b *testing.B) {
	for b.Loop() {
		if _, err := kernelLayout(); err != nil {
			b.Fatal(err)
		}
	}
}
