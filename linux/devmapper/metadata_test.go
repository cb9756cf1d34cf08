package devmapper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

var little = binary.LittleEndian

// image is a pool's metadata in a test, block by block.
type image []byte

func (m image) seal(n uint64, xor uint32) {
	b := m[n*metaBlock:][:metaBlock]
	little.PutUint64(b[8:], n)
	little.PutUint32(b, checksum(b, xor))
}

func (m image) super(root uint64) {
	little.PutUint64(m[atMagic:], magic)
	little.PutUint32(m[atVersion:], 2)
	little.PutUint64(m[atDetails:], root)
	m.seal(0, superXOR)
}

// node writes a node of the tree with these keys. Values are blocks, or blocks of
// data that a device has.
func (m image) node(n uint64, kind uint32, keys, values []uint64) {
	b := m[n*metaBlock:][:metaBlock]
	size, most := 8, 252
	if kind == leafNode {
		size, most = detailsSize, 126
	}
	little.PutUint32(b[4:], kind)
	little.PutUint32(b[16:], uint32(len(keys)))
	little.PutUint32(b[20:], uint32(most))
	little.PutUint32(b[24:], uint32(size))
	for i := range keys {
		little.PutUint64(b[nodeHeader+8*i:], keys[i])
		little.PutUint64(b[nodeHeader+8*most+size*i:], values[i])
	}
	m.seal(n, nodeXOR)
}

func twoLeaves() image {
	m := make(image, 8*metaBlock)
	m.node(3, leafNode, []uint64{0, 7}, []uint64{160, 8})
	m.node(5, leafNode, []uint64{1 << 23}, []uint64{1})
	m.node(2, internalNode, []uint64{0, 1 << 23}, []uint64{3, 5})
	m.super(2)
	return m
}

func TestReadThin(t *testing.T) {
	got, again, err := ReadThin(bytes.NewReader(twoLeaves()))
	if want := []Thin{{ID: 0, Blocks: 160}, {ID: 7, Blocks: 8}, {ID: 1 << 23, Blocks: 1}}; err != nil || again || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, %v, want %+v", got, again, err, want)
	}
	empty := make(image, 4*metaBlock)
	empty.node(1, leafNode, nil, nil)
	empty.super(1)
	if got, again, err := ReadThin(bytes.NewReader(empty)); err != nil || again || len(got) != 0 {
		t.Errorf("an empty pool: %+v, %v, %v", got, again, err)
	}
}

func TestReadThinBroken(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(image)
		wantErr string
	}{
		{"another file system", func(m image) { copy(m[:metaBlock], make([]byte, metaBlock)) }, "superblock"},
		{"magic", func(m image) { little.PutUint64(m[atMagic:], 1); m.seal(0, superXOR) }, "magic 1"},
		{"version", func(m image) { little.PutUint32(m[atVersion:], 3); m.seal(0, superXOR) }, "version 3"},
		{"a bit", func(m image) { m[3*metaBlock+100] ^= 1 }, "checksum"},
		{"another block", func(m image) { copy(m[3*metaBlock:4*metaBlock], m[5*metaBlock:]) }, "says that it is block 5"},
		{"a loop", func(m image) { m.node(2, internalNode, []uint64{0, 1}, []uint64{2, 2}) }, "levels"},
		{"many of nothing", func(m image) {
			m.node(6, leafNode, nil, nil)
			for n, to := range map[uint64]uint64{2: 3, 3: 4, 4: 5, 5: 6} {
				m.node(n, internalNode, make([]uint64, 252), slices.Repeat([]uint64{to}, 252))
			}
		}, "nodes"},
		{"backwards", func(m image) { m.node(3, leafNode, []uint64{7, 0}, []uint64{1, 1}) }, "device 0 behind 1"},
		{"key", func(m image) { m.node(5, leafNode, []uint64{1 << 24}, []uint64{1}) }, "device 16777216"},
		{"entries", func(m image) { little.PutUint32(m[3*metaBlock+16:], 200); m.seal(3, nodeXOR) }, "200 of 126"},
		{"most", func(m image) { little.PutUint32(m[3*metaBlock+20:], 1<<31); m.seal(3, nodeXOR) }, "node 3"},
		{"kind", func(m image) { little.PutUint32(m[3*metaBlock+4:], 3); m.seal(3, nodeXOR) }, "flags 3"},
		{"far away", func(m image) { m.super(1 << 60) }, "block 1152921504606846976"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := twoLeaves()
			tt.change(m)
			if got, _, err := ReadThin(bytes.NewReader(m)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%+v, %v, want %q", got, err, tt.wantErr)
			}
		})
	}
	m := twoLeaves()
	m.super(9)
	if _, _, err := ReadThin(bytes.NewReader(m)); !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %v", err)
	}
}

// A commit between both looks at the superblock is told.
func TestReadThinAgain(t *testing.T) {
	m := twoLeaves()
	if _, again, err := ReadThin(commits{m, new(int)}); !again || err != nil {
		t.Errorf("%v, %v", again, err)
	}
}

// commits writes a superblock while the fourth block is read.
type commits struct {
	image image
	reads *int
}

func (c commits) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(c.image).ReadAt(p, off)
	if *c.reads++; *c.reads == 4 {
		c.image.super(3)
	}
	return n, err
}

func FuzzReadThin(f *testing.F) {
	f.Add([]byte(twoLeaves()), uint16(3*metaBlock+16), byte(9))
	f.Fuzz(func(t *testing.T, m []byte, at uint16, value byte) {
		if len(m) < 8*metaBlock || len(m) > 1<<20 {
			return
		}
		m = slices.Clone(m)
		m[at] = value
		for n := range uint64(len(m) / metaBlock) { // as a device that means it
			image(m).seal(n, map[bool]uint32{true: superXOR, false: nodeXOR}[n == 0])
		}
		if all, _, err := ReadThin(bytes.NewReader(m)); err == nil && !slices.IsSortedFunc(all, func(a, b Thin) int { return int(a.ID) - int(b.ID) }) {
			t.Errorf("%+v", all)
		}
	})
}
