package statmount

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/linux/mounts"
)

// An answer is made as the kernel makes it: a header, then texts.
type fields struct {
	mask    Mask
	numbers map[int]uint64 // 64 bits at an offset
	small   map[int]uint32 // 32 bits
	texts   map[int]string // a [str] field by its offset
	size    int            // 0: the right one
}

func (f fields) bytes() []byte {
	b := make([]byte, header, header+64)
	for at, n := range f.numbers {
		binary.NativeEndian.PutUint64(b[at:], n)
	}
	for at, n := range f.small {
		binary.NativeEndian.PutUint32(b[at:], n)
	}
	for at, text := range f.texts {
		binary.NativeEndian.PutUint32(b[at:], uint32(len(b)-header))
		b = append(append(b, text...), 0)
	}
	binary.NativeEndian.PutUint64(b[atMask:], uint64(f.mask))
	size := len(b)
	if f.size != 0 {
		size = f.size
	}
	binary.NativeEndian.PutUint32(b[atSize:], uint32(size))
	return b
}

func TestDecode(t *testing.T) {
	const all = Device | Basic | Root | Point | Type | Super | Subtype | Source
	long := strings.Repeat("/layer:", 200_000)
	for _, tt := range []struct {
		name    string
		in      fields
		cut     int // bytes of the answer that are missing
		asked   Mask
		want    mounts.Mount
		wantErr string
	}{
		{name: "numbers", asked: Device | Basic, in: fields{mask: Device | Basic,
			numbers: map[int]uint64{atID: 1<<63 + 1, atParent: 1 << 31, atPeer: 4, atMaster: 5, atPropagation: 1<<17 | 1<<20, atMagic: 7},
			small:   map[int]uint32{atMajor: 8, atMinor: 1<<20 - 1, atOldID: 36, atOldParent: 1<<31 - 1}},
			want: mounts.Mount{ID: 36, Parent: 1<<31 - 1, UniqueID: 1<<63 + 1, UniqueParent: 1 << 31, Major: 8, Minor: 1<<20 - 1, Shared: 4, Master: 5, Unbindable: true, Options: "rw,relatime"}},
		{name: "texts", asked: all, in: fields{mask: all,
			texts: map[int]string{atRoot: "/a\n", atPoint: "/\x1b[2J", atType: "fuse", atSubtype: "sshfs", atSource: "\xff", atOptions: `a=\054,b`}},
			want: mounts.Mount{Root: "/a\n", MountPoint: "/\x1b[2J", Type: "fuse.sshfs", Source: "\xff", Super: `rw,a=\054,b`, Options: "rw,relatime"}},
		{name: "a megabyte of options", asked: Device | Super, in: fields{mask: Device | Super, texts: map[int]string{atOptions: long}}, want: mounts.Mount{Super: "rw," + long}},
		{name: "no options of its own", asked: Device | Super, in: fields{mask: Device, small: map[int]uint32{atSBFlags: 1 | 16 | 128 | 1<<25}}, want: mounts.Mount{Super: "ro,sync,dirsync,lazytime"}},
		{name: "options that were not asked", asked: Device, in: fields{mask: Device}, want: mounts.Mount{}},
		{name: "no subtype", asked: Type | Subtype, in: fields{mask: Type | Subtype, texts: map[int]string{atType: "ext4", atSubtype: ""}}, want: mounts.Mount{Type: "ext4"}},
		{name: "out of sight", asked: Root | Point, in: fields{mask: Root, texts: map[int]string{atRoot: "/"}}, want: mounts.Mount{Root: "/"}},
		{name: "a later kernel's fields", asked: Root, in: fields{mask: Root | 1<<40, texts: map[int]string{atRoot: "/"}}, want: mounts.Mount{Root: "/"}},

		{name: "nothing", cut: header, wantErr: "0 bytes"},
		{name: "cut in the header", cut: 1, wantErr: "511 bytes"},
		{name: "size below the header", in: fields{size: header - 1}, wantErr: "size 511"},
		{name: "size past the answer", in: fields{size: header + 1}, wantErr: "size 513"},
		{name: "size that is negative as an int32", in: fields{size: 1<<32 - 1}, wantErr: "size"},
		{name: "text past the end", asked: Root, in: fields{mask: Root, small: map[int]uint32{atRoot: 1}}, wantErr: "text 0x8"},
		{name: "text that would wrap", asked: Point, in: fields{mask: Point, small: map[int]uint32{atPoint: 1<<32 - 1}}, wantErr: "text 0x10"},
		{name: "text without its end", asked: Source, in: fields{mask: Source, small: map[int]uint32{atSource: 0}}, wantErr: "no end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := tt.in.bytes()
			var got mounts.Mount
			mask, magic, err := Decode(in[:len(in)-tt.cut], tt.asked, &got)
			if tt.wantErr != "" {
				if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want ErrFormat with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || mask != tt.in.mask || magic != tt.in.numbers[atMagic] {
				t.Fatalf("%v: mask %#x, magic %d", err, mask, magic)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%.2000s", diff)
			}
		})
	}
}

// What was not asked for stays as it was, and what was asked for does not.
func TestDecodeKeeps(t *testing.T) {
	m := mounts.Mount{UniqueID: 7, Source: "a", Super: "rw", Minor: 3, MountPoint: "/of/another"}
	want := m
	want.Root, want.MountPoint = "/x", ""
	if _, _, err := Decode(fields{mask: Root, texts: map[int]string{atRoot: "/x"}}.bytes(), Root|Point, &m); err != nil || m != want {
		t.Errorf("%v: %+v", err, m)
	}
}

func TestAttrText(t *testing.T) {
	for attr, want := range map[uint64]string{
		0:                      "rw,relatime",
		0x20:                   "rw", // strictatime
		0x1 | 0x10:             "ro,noatime",
		2 | 4 | 8 | 0x80:       "rw,nosuid,nodev,noexec,nodiratime,relatime",
		0x200000 | 0x100000:    "rw,relatime,nosymfollow,idmapped",
		1<<63 | 0x1 | 0x200000: "ro,relatime,nosymfollow",
	} {
		if got := attrText(attr); got != want {
			t.Errorf("%#x: %s, want %s", attr, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(fields{mask: Device | Basic}.bytes(), uint64(Device|Basic))
	f.Add(fields{mask: Root | Super | Device | Type | Subtype, texts: map[int]string{atRoot: "/", atOptions: "a,b", atType: "fuse", atSubtype: "x"}}.bytes(), uint64(Super))
	f.Add(fields{mask: Point, small: map[int]uint32{atPoint: 1<<32 - 1}}.bytes(), uint64(0))
	f.Fuzz(func(t *testing.T, answer []byte, asked uint64) {
		var m mounts.Mount
		_, _, err := Decode(answer, Mask(asked), &m)
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		if size := len(m.Root) + len(m.MountPoint) + len(m.Type) + len(m.Source) + len(m.Super); size > 6*len(answer)+64 {
			t.Fatalf("%d bytes of text from %d", size, len(answer))
		}
	})
}

// The cost of one answer that was told before, as most are.
func BenchmarkDecode(b *testing.B) {
	numbers := map[int]uint64{atID: 5000, atParent: 4000, atAttr: 6}
	for _, bb := range []struct {
		name string
		in   fields
	}{
		{"numbers", fields{mask: Device | Basic, numbers: numbers}},
		{"paths", fields{mask: Device | Basic | Root | Point, numbers: numbers,
			texts: map[int]string{atRoot: "/", atPoint: "/var/lib/docker/overlay2/" + strings.Repeat("3e", 32) + "/merged"}}},
	} {
		answer, c := bb.in.bytes(), NewCaller()
		b.Run(bb.name, func(b *testing.B) {
			var m mounts.Mount
			for b.Loop() {
				if _, _, err := decode(answer, bb.in.mask, &m, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
