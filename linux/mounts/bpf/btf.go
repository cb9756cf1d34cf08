package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errBTF is wrapped by every error that means that the kernel's types were not as documented.
var errBTF = errors.New("unexpected format of BTF")

// types are the kernel's types, as /sys/kernel/btf/vmlinux has them.
//
// A library that reads them takes 15 ms of processor time, since it prepares for any
// question about 120,000 types; here few structs are looked for, in 2.
//
// Source: Documentation/bpf/btf.rst.
type types struct {
	records, names []byte
	at             []uint32          // of each type in records, by id less one
	structs        map[string]uint32 // ids of those that are looked for
}

// Kinds of types, and how large their records are beside the head of 12 bytes.
const (
	kindInt, kindArray, kindStruct, kindUnion, kindEnum  = 1, 3, 4, 5, 6
	kindProto, kindVar, kindSection, kindTag, kindEnum64 = 13, 14, 15, 17, 19

	head, member = 12, 12
)

func rest(kind, count uint32) uint32 {
	switch kind {
	case kindInt, kindVar, kindTag:
		return 4
	case kindArray:
		return 12
	case kindStruct, kindUnion, kindSection, kindEnum64:
		return 12 * count
	case kindEnum, kindProto:
		return 8 * count
	}
	return 0
}

// parseTypes finds the structs with these names.
func parseTypes(text []byte, wanted []string) (*types, error) {
	const header, magic = 24, 0xeb9f
	if len(text) < header || binary.NativeEndian.Uint16(text) != magic {
		return nil, fmt.Errorf("%w: no header", errBTF)
	}
	word := func(at int) uint64 { return uint64(binary.NativeEndian.Uint32(text[at:])) }
	from := word(4)
	section := func(at int) []byte {
		begin, end := from+word(at), from+word(at)+word(at+4)
		if end > uint64(len(text)) {
			return nil
		}
		return text[begin:end]
	}
	t := &types{records: section(8), names: section(16), structs: make(map[string]uint32, len(wanted))}
	if len(t.records) == 0 || len(t.names) == 0 {
		return nil, fmt.Errorf("%w: sections end behind %d bytes", errBTF, len(text))
	}
	t.at = make([]uint32, 0, len(t.records)/24)
	for at := 0; at < len(t.records); {
		if at+head > len(t.records) {
			return nil, fmt.Errorf("%w: type %d is cut", errBTF, len(t.at)+1)
		}
		t.at = append(t.at, uint32(at))
		kind, count := t.info(uint32(at))
		if kind == kindStruct {
			t.find(uint32(at), wanted)
		}
		at += head + int(rest(kind, count))
		if at > len(t.records) {
			return nil, fmt.Errorf("%w: type %d is cut", errBTF, len(t.at))
		}
	}
	return t, nil
}

func (t *types) word(at uint32) uint32 { return binary.NativeEndian.Uint32(t.records[at:]) }

func (t *types) info(at uint32) (kind, count uint32) {
	info := t.word(at + 4)
	return info >> 24 & 0x1f, info & 0xffff
}

// named reports whether the name at an offset is this one.
func (t *types) named(offset uint32, name string) bool {
	if uint64(offset)+uint64(len(name)) >= uint64(len(t.names)) {
		return false
	}
	text := t.names[offset:]
	return text[len(name)] == 0 && string(text[:len(name)]) == name
}

func (t *types) find(at uint32, wanted []string) {
	for _, name := range wanted {
		if t.named(t.word(at), name) {
			if _, ok := t.structs[name]; !ok { // of two with one name the first is the kernel's own
				t.structs[name] = uint32(len(t.at))
			}
			return
		}
	}
}

// offset returns at which byte of a struct a member is, also of one in a member without a name.
func (t *types) offset(name, field string) (uint32, error) {
	id, ok := t.structs[name]
	if !ok {
		return 0, fmt.Errorf("the kernel has no struct %s", name)
	}
	const deep = 8
	bits, ok := t.bits(id, field, deep)
	if !ok || bits%8 != 0 {
		return 0, fmt.Errorf("the kernel's struct %s has no %s", name, field)
	}
	return bits / 8, nil
}

// bits finds a member, or one in members without a name, which are structs and unions.
func (t *types) bits(id uint32, field string, deep int) (uint32, bool) {
	if id == 0 || int(id) > len(t.at) || deep == 0 {
		return 0, false
	}
	at := t.at[id-1]
	kind, count := t.info(at)
	if kind != kindStruct && kind != kindUnion || uint64(at)+head+uint64(count)*member > uint64(len(t.records)) {
		return 0, false
	}
	hasBitfields := t.word(at+4)>>31 != 0
	for i := range count {
		m := at + head + i*member
		offset := t.word(m + 8)
		if hasBitfields {
			if offset>>24 != 0 {
				continue
			}
			offset &= 1<<24 - 1
		}
		if t.named(t.word(m), field) {
			return offset, true
		}
		if t.named(t.word(m), "") {
			if inner, ok := t.bits(t.word(m+4), field, deep-1); ok {
				return offset + inner, true
			}
		}
	}
	return 0, false
}
