package btf

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"sexton.dev/internal/hosttest"
)

// text makes BTF of words of types and of names.
func text(names string, words ...uint32) []byte {
	var types []byte
	for _, w := range words {
		types = binary.NativeEndian.AppendUint32(types, w)
	}
	out := binary.NativeEndian.AppendUint16(nil, 0xeb9f)
	out = append(out, 1, 0)
	for _, w := range []int{24, 0, len(types), len(types), len(names)} {
		out = binary.NativeEndian.AppendUint32(out, uint32(w))
	}
	return append(append(out, types...), names...)
}

const (
	names                                 = "\x00file\x00f_path\x00look\x00odd\x00"
	nameFile, namePath, nameLook, nameOdd = 1, 6, 13, 18
)

// sample has struct file { union { bits odd:3; struct file f_path } }, and function look twice.
func sample() []byte {
	return text(names,
		nameFile, 4<<24|2, 32, nameLook, 2, 0, 0, 2, 64,
		0, 1<<31|5<<24|2, 16, nameOdd, 2, 3<<24, namePath, 1, 32,
		nameLook, 12<<24, 1,
		nameLook, 12<<24, 2)
}

func TestOffset(t *testing.T) {
	types, err := Parse(sample(), []string{"file", "look"}, []string{"look", "file"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, member string
		want         uint32
		none         bool
	}{
		{"file", "look", 0, false},
		{"file", "f_path", 12, false},
		{"file", "odd", 0, true}, // a bit field
		{"file", "f_pat", 0, true},
		{"look", "f_path", 0, true},
		{"dentry", "f_path", 0, true}, // was not looked for
	} {
		if got, err := types.Offset(tt.name, tt.member); got != tt.want || errors.Is(err, ErrNone) != tt.none {
			t.Errorf("%s of %s: %d, %v", tt.member, tt.name, got, err)
		}
	}
	if id, err := types.Func("look"); id != 3 || err != nil {
		t.Errorf("the first function look: %d, %v", id, err)
	}
	if id, err := types.Func("file"); !errors.Is(err, ErrNone) {
		t.Errorf("function file: %d, %v", id, err)
	}
}

func TestParseErrors(t *testing.T) {
	whole := sample()
	for _, tt := range []struct {
		name, want string
		in         []byte
	}{
		{"nothing", "no header", nil},
		{"another file", "no header", make([]byte, 100)},
		{"cut", "no types or names", whole[:len(whole)-1]},
		{"a head that is cut", "type 2 is cut", text(names, nameLook, 12<<24, 1, nameLook)},
		{"members that are missing", "type 1 is cut", text(names, nameFile, 4<<24|2, 32, nameLook, 2, 0)},
		{"a kind that is not known", "type 1 is of kind 20", text(names, nameFile, 20<<24, 32)},
		{"no kind", "type 1 is of kind 0", text(names, 0, 0, 0)},
	} {
		if _, err := Parse(tt.in, []string{"all are read"}, nil); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// What a struct has without a name may be a type behind the last one that was looked for.
func TestBehind(t *testing.T) {
	words := []uint32{nameFile, 4<<24 | 1, 32, 0, 3, 64, 0, 1 << 24, 4, 32, 0, 5<<24 | 1, 8, nameLook, 2, 0}
	for _, tt := range []struct {
		name  string
		words []uint32
		found bool
	}{
		{"whole", words, true},
		{"cut", words[:len(words)-1], false},
		{"gone", words[:10], false},
	} {
		types, err := Parse(text(names, tt.words...), []string{"file"}, nil)
		if err != nil {
			t.Fatal(tt.name, err)
		}
		if at, err := types.Offset("file", "look"); (err == nil) != tt.found || tt.found && at != 8 {
			t.Errorf("%s: %d, %v", tt.name, at, err)
		}
	}
}

// A struct that has itself as members without a name has no end.
func TestCircle(t *testing.T) {
	types, err := Parse(text(names, nameFile, 4<<24|3, 32, 0, 1, 0, 0, 1, 0, 0, 1, 0), []string{"file"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := types.Offset("file", "look"); !errors.Is(err, ErrNone) {
		t.Errorf("%d, %v", at, err)
	}
}

// Of the kernel that runs the same is found as by a library that knows all types.
func TestKernel(t *testing.T) {
	all, err := btf.LoadKernelSpec()
	hosttest.Needs(t, "kernel-btf", err == nil, "a kernel with CONFIG_DEBUG_INFO_BTF")
	members := [][2]string{{"task_struct", "fs"}, {"task_struct", "group_leader"}, {"file", "f_path"}, {"dentry", "d_name"}, {"mm_struct", "map_count"}}
	funcs := []string{"bpf_iter_task", "vfs_read"}
	err = Kernel([]string{"task_struct", "file", "dentry", "mm_struct"}, funcs, func(types *Types) error {
		for _, m := range members {
			got, err := types.Offset(m[0], m[1])
			if want, ok := libraryOffset(t, all, m[0], m[1]); !ok || err != nil || got != want {
				t.Errorf("%s of %s: %d, %v; want %d", m[1], m[0], got, err, want)
			}
		}
		for _, name := range funcs {
			var f *btf.Func
			if err := all.TypeByName(name, &f); err != nil {
				t.Fatal(err)
			}
			want, err := all.TypeID(f)
			if got, ours := types.Func(name); err != nil || ours != nil || got != uint32(want) {
				t.Errorf("%s: %d, %v; want %d, %v", name, got, ours, want, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func libraryOffset(t *testing.T, all *btf.Spec, name, member string) (uint32, bool) {
	t.Helper()
	var s *btf.Struct
	if err := all.TypeByName(name, &s); err != nil {
		t.Fatal(err)
	}
	return offsetIn(s.Members, member)
}

func offsetIn(members []btf.Member, name string) (uint32, bool) {
	for _, m := range members {
		if m.Name == name {
			return m.Offset.Bytes(), true
		}
		var inner []btf.Member
		switch of := m.Type.(type) {
		case *btf.Struct:
			inner = of.Members
		case *btf.Union:
			inner = of.Members
		}
		if at, ok := offsetIn(inner, name); m.Name == "" && ok {
			return m.Offset.Bytes() + at, true
		}
	}
	return 0, false
}

// Whatever the text, it is told or an error, and no member is behind what a struct can be.
func FuzzParse(f *testing.F) {
	f.Add(sample())
	f.Add(text(names, nameFile, 4<<24|1, 32, 0, 1, 0))
	f.Add(sample()[:60])
	f.Fuzz(func(t *testing.T, in []byte) {
		types, err := Parse(in, []string{"file"}, []string{"look"})
		if err != nil {
			if types != nil || !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		if _, err := types.Offset("file", "f_path"); err != nil && !errors.Is(err, ErrNone) {
			t.Error(err)
		}
		if id, err := types.Func("look"); err == nil && int(id) > len(types.at) {
			t.Errorf("function %d of %d types", id, len(types.at))
		}
	})
}

func BenchmarkKernel(b *testing.B) {
	for b.Loop() {
		if err := Kernel([]string{"task_struct", "files_struct", "fdtable", "file", "backing_file", "path", "vfsmount", "super_block", "dentry", "qstr", "mm_struct"},
			[]string{"bpf_iter_task", "bpf_iter_task_vma_new", "bpf_iter_task_vma_next", "bpf_iter_task_vma_destroy"}, func(*Types) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
