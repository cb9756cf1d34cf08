package census

import (
	"context"
	"fmt"
	"strings"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/statmount"
)

// Sources are what mounts were made from, and the kinds of FUSE, as mountinfo has them:
// statmount tells them from Linux 6.13. The table of each namespace is read inside it, in
// each pass. In two passes that differ in nothing a mount was there all the time, so what
// its table says by its old id is of it.
type sources struct {
	slow  *slowReader
	pins  map[uint64][]holders.Pin
	of    map[placeInTable]sourced
	read  map[uint64]bool // namespaces, by id
	lacks map[uint64]bool // mounts that are in no table, by unique id
	why   error           // not all tables could be read
}

type placeInTable struct {
	namespace uint64
	id        int // the old one
}

type sourced struct {
	device             mounts.Device
	root, kind, source string
}

// newSources returns nil where statmount tells all, or nobody asks.
func newSources(req Request) (*sources, error) {
	if known, err := statmount.Supported(); err != nil || known&statmount.Source != 0 || !req.strings() {
		return nil, err
	}
	return openSources(req)
}

func openSources(req Request) (*sources, error) {
	slow, err := newSlowReader(req)
	if err != nil {
		return nil, err
	}
	return &sources{slow: slow}, nil
}

func (s *sources) close() {
	if s != nil {
		s.slow.close()
	}
}

// begin begins a pass: with the processes whose views are better than that from the root,
// if tables are to be learned in it.
func (s *sources) begin(ctx context.Context, learns bool) error {
	if s == nil {
		return nil
	}
	s.of, s.read, s.lacks, s.why = map[placeInTable]sourced{}, map[uint64]bool{}, map[uint64]bool{}, nil
	if !learns {
		return nil
	}
	pins, _, err := holders.Pins(ctx, holders.PinRequest{Proc: s.slow.req.Proc})
	s.pins = pins
	return err
}

// learn reads the table of a namespace, whose file is open.
func (s *sources) learn(fd int, ns *mounts.Namespace) {
	if s == nil || s.read[ns.ID] {
		return
	}
	s.read[ns.ID] = true
	table, err := s.slow.table(fd, s.pins[ns.Inode])
	if err != nil {
		s.why = err
	}
	for i := range table {
		m := &table[i]
		s.of[placeInTable{ns.ID, m.ID}] = sourced{m.Device(), m.Root, m.Type, m.Source}
	}
}

func (s *sources) find(ns uint64, m *mounts.Mount) (is sourced, ok bool) {
	is, ok = s.of[placeInTable{ns, m.ID}]
	return is, ok && is.device == m.Device() && is.root == m.Root
}

// complete fills the source of a mount. One that is covered at the root of its namespace is
// in no table: what the kernel itself begins with always is.
func (s *sources) complete(ns uint64, m *mounts.Mount) {
	if s == nil {
		return
	}
	is, ok := s.find(ns, m)
	if ok {
		m.Source = is.source
	} else {
		s.lacks[m.UniqueID] = true
	}
}

// kind returns a type as statmount tells it, with the kind of FUSE.
func (s *sources) kind(ns uint64, m *mounts.Mount, told string) string {
	if s == nil {
		return told
	}
	if is, ok := s.find(ns, m); ok && strings.HasPrefix(is.kind, told+".") {
		return is.kind
	}
	return told
}

// unknown says what is not known.
func (s *sources) unknown() []mounts.Unknown {
	if s == nil || len(s.lacks) == 0 {
		return nil
	}
	why := "statmount tells them from Linux 6.13, and no mountinfo does"
	if s.why != nil {
		why += ": " + s.why.Error()
	}
	return []mounts.Unknown{{What: fmt.Sprintf("sources of %d mounts", len(s.lacks)), Why: why}}
}
