package devmapper

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Pool is what a thin pool's status says. In mode Fail and Error nothing else is known.
type Pool struct {
	Mode        string // rw, ro, out_of_data_space, Fail; Error: it could not tell
	Transaction uint64
	MetaUsed    uint64 // blocks of 4 KiB
	MetaTotal   uint64
	DataUsed    uint64 // blocks of the pool
	DataTotal   uint64
	Queues      bool // when it is full writes wait, for a minute or for ever; else they fail
	NeedsCheck  bool // its metadata must be checked and repaired before it is written again
}

// ParsePool parses the status of a target of type thin-pool. Words that later
// kernels add do not matter. Errors wrap [ErrFormat].
//
// Source: Linux 6.12 drivers/md/dm-thin.c, pool_status.
func ParsePool(status string) (Pool, error) {
	f := strings.Fields(status)
	if len(f) > 0 && (f[0] == "Fail" || f[0] == "Error") {
		return Pool{Mode: f[0]}, nil
	}
	if len(f) < 5 { // 3.2 ends with the held root
		return Pool{}, fmt.Errorf("thin-pool: %w: %d words: %.80q", ErrFormat, len(f), status)
	}
	var p Pool
	var err error
	if p.Transaction, err = strconv.ParseUint(f[0], 10, 64); err != nil {
		return Pool{}, fmt.Errorf("thin-pool: %w: transaction id %.40q", ErrFormat, f[0])
	}
	if p.MetaUsed, p.MetaTotal, err = ratio(f[1]); err != nil {
		return Pool{}, fmt.Errorf("thin-pool: metadata: %w", err)
	}
	if p.DataUsed, p.DataTotal, err = ratio(f[2]); err != nil {
		return Pool{}, fmt.Errorf("thin-pool: data: %w", err)
	}
	p.Mode, p.Queues = f[4], true
	switch p.Mode {
	case "rw", "ro", "out_of_data_space":
	default:
		return Pool{}, fmt.Errorf("thin-pool: %w: mode %.40q", ErrFormat, p.Mode)
	}
	for _, word := range f[5:] {
		switch word {
		case "error_if_no_space":
			p.Queues = false
		case "needs_check":
			p.NeedsCheck = true
		}
	}
	return p, nil
}

// ratio reads "422/524288".
func ratio(s string) (used, total uint64, err error) {
	a, b, ok := strings.Cut(s, "/")
	used, err1 := strconv.ParseUint(a, 10, 64)
	total, err2 := strconv.ParseUint(b, 10, 64)
	if !ok || err1 != nil || err2 != nil || total == 0 || used > total {
		return 0, 0, fmt.Errorf("%w: %.40q is no part of a whole", ErrFormat, s)
	}
	return used, total, nil
}

// A PoolTable is what a thin pool is made of.
type PoolTable struct {
	Meta, Data Number
	Block      uint64 // sectors of one block of data
	LowWater   uint64 // blocks: it tells when no more are free
	Queues     bool   // it was told to let writes wait when it is full
}

// ParsePoolTable parses the table of a target of type thin-pool. Errors wrap [ErrFormat].
//
// Source: Linux 6.12 drivers/md/dm-thin.c, pool_ctr and pool_status.
func ParsePoolTable(table string) (PoolTable, error) {
	f := strings.Fields(table)
	if len(f) < 4 {
		return PoolTable{}, fmt.Errorf("thin-pool: %w: a table of %d words: %.80q", ErrFormat, len(f), table)
	}
	var t PoolTable
	var err error
	if t.Meta, err = ParseNumber(f[0]); err != nil {
		return t, fmt.Errorf("thin-pool: metadata device: %w", err)
	}
	if t.Data, err = ParseNumber(f[1]); err != nil {
		return t, fmt.Errorf("thin-pool: data device: %w", err)
	}
	block, err1 := strconv.ParseUint(f[2], 10, 32)
	low, err2 := strconv.ParseUint(f[3], 10, 64)
	if err1 != nil || err2 != nil || block == 0 {
		return t, fmt.Errorf("thin-pool: %w: block size %.40q, low water mark %.40q", ErrFormat, f[2], f[3])
	}
	t.Block, t.LowWater, t.Queues = block, low, !slices.Contains(f[4:], "error_if_no_space")
	return t, nil
}

// A ThinTable is which device of which pool a target of type thin is.
type ThinTable struct {
	Pool Number
	ID   uint32
}

// ParseThinTable parses the table of a target of type thin. Errors wrap [ErrFormat].
//
// Source: Linux 6.12 drivers/md/dm-thin.c, thin_ctr: ids have 24 bits.
func ParseThinTable(table string) (ThinTable, error) {
	f := strings.Fields(table)
	if len(f) < 2 {
		return ThinTable{}, fmt.Errorf("thin: %w: a table of %d words: %.80q", ErrFormat, len(f), table)
	}
	pool, err := ParseNumber(f[0])
	if err != nil {
		return ThinTable{}, fmt.Errorf("thin: pool: %w", err)
	}
	id, err := strconv.ParseUint(f[1], 10, 24)
	if err != nil {
		return ThinTable{}, fmt.Errorf("thin: %w: id %.40q", ErrFormat, f[1])
	}
	return ThinTable{pool, uint32(id)}, nil
}

// ParseThin parses the status of a target of type thin: how many sectors of it the
// pool holds. failed is told by a device whose pool has failed. Errors wrap [ErrFormat].
//
// Source: Linux 6.12 drivers/md/dm-thin.c, thin_status.
func ParseThin(status string) (mapped uint64, failed bool, err error) {
	word, _, _ := strings.Cut(strings.TrimSpace(status), " ")
	if word == "Fail" || word == "Error" {
		return 0, true, nil
	}
	if word == "-" { // suspended before it was ever resumed
		return 0, false, nil
	}
	if mapped, err = strconv.ParseUint(word, 10, 64); err != nil {
		return 0, false, fmt.Errorf("thin: %w: %.80q", ErrFormat, status)
	}
	return mapped, false, nil
}

// ParseNumber reads "254:3". Errors wrap [ErrFormat].
func ParseNumber(s string) (Number, error) {
	a, b, ok := strings.Cut(s, ":")
	major, err1 := strconv.ParseUint(a, 10, 12)
	minor, err2 := strconv.ParseUint(b, 10, 20)
	if !ok || err1 != nil || err2 != nil {
		return Number{}, fmt.Errorf("%w: %.40q is no device's number", ErrFormat, s)
	}
	return Number{uint32(major), uint32(minor)}, nil
}
