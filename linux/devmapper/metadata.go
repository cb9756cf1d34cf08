package devmapper

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// The ioctls do not tell which thin devices a pool holds. Its metadata does, on a
// device of its own: block 0 is the superblock, which leads to a B-tree with an entry
// for each device. What is on the disk is that of the last commit; a commit writes
// new blocks and then the superblock. So a walk is true if the superblock was the
// same before and after it.
//
// Source: Linux 6.12 drivers/md/dm-thin-metadata.c, persistent-data/dm-btree-internal.h.
const (
	metaBlock = 4096 // bytes of one block

	magic        = 27022010
	superXOR     = 160774
	nodeXOR      = 121107
	atMagic      = 32
	atVersion    = 40
	atDetails    = 328
	superSize    = 352
	nodeHeader   = 32
	internalNode = 1
	leafNode     = 2
	detailsSize  = 24
	deepest      = 16      // levels of a tree; ids have 24 bits and a node 126 or more entries
	mostThin     = 1 << 20 // devices of one pool that are listed
	mostNodes    = 1 << 15 // blocks that they are in, with room to spare
)

// A Thin is one device that a pool holds, mapped or not.
type Thin struct {
	ID          uint32
	Blocks      uint64 // of the pool, shared ones too
	Transaction uint64 // the pool's when it was made
}

// ReadThin reads which devices a pool holds from its metadata device. again reports
// that the pool wrote in between and the answer may mix two moments: read once more.
// Errors of what the disk has wrap [ErrFormat].
func ReadThin(r io.ReaderAt) (all []Thin, again bool, err error) {
	before, root, err := superblock(r)
	if err != nil {
		return nil, false, err
	}
	w := walk{r: r}
	walked := w.node(root, 0)
	after, _, err := superblock(r)
	if err != nil {
		return nil, false, err
	}
	if before != after {
		return nil, true, nil
	}
	return w.found, false, walked
}

// superblock gives the checksum of the superblock, and the root of the tree of devices.
func superblock(r io.ReaderAt) (sum uint32, details uint64, err error) {
	b, err := block(r, 0, superXOR)
	if err != nil {
		return 0, 0, fmt.Errorf("superblock of the pool's metadata: %w", err)
	}
	if got := binary.LittleEndian.Uint64(b[atMagic:]); got != magic {
		return 0, 0, fmt.Errorf("superblock of the pool's metadata: %w: magic %d", ErrFormat, got)
	}
	if v := binary.LittleEndian.Uint32(b[atVersion:]); v < 1 || v > 2 {
		return 0, 0, fmt.Errorf("superblock of the pool's metadata: %w: version %d", ErrFormat, v)
	}
	return binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[atDetails:]), nil
}

// block reads one block, whose sum and number must be right.
func block(r io.ReaderAt, n uint64, xor uint32) ([]byte, error) {
	if n > 1<<40 {
		return nil, fmt.Errorf("%w: block %d", ErrFormat, n)
	}
	b := alignedBlock()
	if _, err := r.ReadAt(b, int64(n)*metaBlock); err != nil {
		return nil, fmt.Errorf("block %d: %w", n, err)
	}
	if sum := checksum(b, xor); sum != binary.LittleEndian.Uint32(b) {
		return nil, fmt.Errorf("%w: block %d: its checksum is %#x, its content's %#x", ErrFormat, n, binary.LittleEndian.Uint32(b), sum)
	}
	if at := binary.LittleEndian.Uint64(b[8:]); at != n {
		return nil, fmt.Errorf("%w: block %d says that it is block %d", ErrFormat, n, at)
	}
	return b, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is dm_bm_checksum: the kernel's crc32c leaves out the last inversion.
func checksum(b []byte, xor uint32) uint32 { return ^crc32.Checksum(b[4:], castagnoli) ^ xor }

// A walk goes through a B-tree from left to right.
type walk struct {
	r     io.ReaderAt
	nodes int
	found []Thin
}

func (w *walk) node(n uint64, depth int) error {
	if w.nodes++; depth == deepest || w.nodes > mostNodes {
		return fmt.Errorf("%w: a tree of over %d levels or %d nodes", ErrFormat, deepest, mostNodes)
	}
	b, err := block(w.r, n, nodeXOR)
	if err != nil {
		return err
	}
	flags, entries := binary.LittleEndian.Uint32(b[4:]), uint64(binary.LittleEndian.Uint32(b[16:]))
	most, size := uint64(binary.LittleEndian.Uint32(b[20:])), uint64(binary.LittleEndian.Uint32(b[24:]))
	want := uint64(8)
	if flags == leafNode {
		want = detailsSize
	}
	if flags != internalNode && flags != leafNode || size != want || entries > most || nodeHeader+most*(8+size) > metaBlock {
		return fmt.Errorf("%w: node %d: flags %d, %d of %d entries of %d bytes", ErrFormat, n, flags, entries, most, size)
	}
	for i := range entries {
		key := binary.LittleEndian.Uint64(b[nodeHeader+i*8:])
		value := b[nodeHeader+most*8+i*size:]
		if flags == internalNode {
			if err := w.node(binary.LittleEndian.Uint64(value), depth+1); err != nil {
				return err
			}
			continue
		}
		if key >= 1<<24 || len(w.found) == mostThin || len(w.found) > 0 && uint64(w.found[len(w.found)-1].ID) >= key {
			return fmt.Errorf("%w: node %d: device %d behind %d others", ErrFormat, n, key, len(w.found))
		}
		w.found = append(w.found, Thin{uint32(key), binary.LittleEndian.Uint64(value), binary.LittleEndian.Uint64(value[8:])})
	}
	return nil
}
