package devmapper

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// What an ioctl is given and gives back is a header, struct dm_ioctl, and behind it
// what the command is about. All numbers are in the byte order of the machine.
//
// Source: Linux 6.12 include/uapi/linux/dm-ioctl.h.
const (
	headerSize = 312
	maxName    = 127 // bytes of a name; DM_NAME_LEN without its NUL
	maxUUID    = 128
	specSize   = 40 // struct dm_target_spec

	atDataSize  = 12
	atDataStart = 16
	atTargets   = 20
	atOpen      = 24
	atFlags     = 28
	atEvent     = 32
	atDevice    = 40
	atName      = 48
	atUUID      = 176
)

// Flags of the header.
const (
	flagReadOnly = 1 << 0
	flagSuspend  = 1 << 1
	flagTable    = 1 << 4 // give the table, not the status
	flagLive     = 1 << 5
	flagFull     = 1 << 8  // the answer did not fit
	flagNoFlush  = 1 << 11 // a pool must not write its metadata to answer
	flagDeferred = 1 << 17
)

var order = binary.NativeEndian

// A header is what of struct dm_ioctl matters.
type header struct {
	targets, flags, event uint32
	open                  int32
	device                Number
	name, uuid            string
}

// encode makes a request of size bytes with data behind the header. A device is
// named by its name or its number, never both.
func (h header) encode(size int, data []byte) []byte {
	b := make([]byte, max(size, headerSize+len(data)))
	order.PutUint32(b, 4) // interface version 4.0, which each kernel since 2.6 takes
	order.PutUint32(b[atDataSize:], uint32(len(b)))
	order.PutUint32(b[atDataStart:], headerSize)
	order.PutUint32(b[atTargets:], h.targets)
	order.PutUint32(b[atFlags:], h.flags)
	order.PutUint32(b[atEvent:], h.event)
	if h.device != (Number{}) {
		order.PutUint64(b[atDevice:], h.device.pack())
	}
	copy(b[atName:atName+maxName], h.name)
	copy(b[atUUID:atUUID+maxUUID], h.uuid)
	copy(b[headerSize:], data)
	return b
}

// decode reads an answer: its header, and what is behind it.
func decode(b []byte) (header, []byte, error) {
	if len(b) < headerSize {
		return header{}, nil, fmt.Errorf("%w: an answer of %d bytes", ErrFormat, len(b))
	}
	size, start := order.Uint32(b[atDataSize:]), order.Uint32(b[atDataStart:])
	if size > uint32(len(b)) || start > uint32(len(b)) {
		return header{}, nil, fmt.Errorf("%w: data from %d to %d in %d bytes", ErrFormat, start, size, len(b))
	}
	size = max(size, start) // one without data ends where that would begin, or before
	h := header{
		targets: order.Uint32(b[atTargets:]), flags: order.Uint32(b[atFlags:]), event: order.Uint32(b[atEvent:]), open: int32(order.Uint32(b[atOpen:])),
		device: unpack(order.Uint64(b[atDevice:])), name: text(b[atName : atName+maxName+1]), uuid: text(b[atUUID : atUUID+maxUUID+1]),
	}
	return h, b[start:size], nil
}

// text reads up to the first NUL.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// parseNames reads a list of devices: number, distance to the next, name.
func parseNames(b []byte) ([]Number, error) {
	var out []Number
	for len(b) > 0 {
		if len(b) < 12 {
			return nil, fmt.Errorf("%w: %d bytes of a name", ErrFormat, len(b))
		}
		device, next := order.Uint64(b), order.Uint32(b[8:])
		if device != 0 { // an empty list has one entry without a device
			out = append(out, unpack(device))
		}
		if next == 0 {
			return out, nil
		}
		if next < 12 || int64(next) > int64(len(b)) {
			return nil, fmt.Errorf("%w: the next name is %d bytes on of %d", ErrFormat, next, len(b))
		}
		b = b[next:]
	}
	return out, nil
}

// parseTargets reads count lines of a table or status: a struct dm_target_spec and
// a text each. The distance to the next is counted from the beginning of b.
func parseTargets(b []byte, count uint32) ([]Target, error) {
	var out []Target
	at := 0
	for range count {
		if at < 0 || at+specSize > len(b) {
			return nil, fmt.Errorf("%w: %d of %d targets in %d bytes", ErrFormat, len(out), count, len(b))
		}
		spec := b[at : at+specSize]
		next := int(order.Uint32(spec[20:]))
		end := len(b)
		if next > at && next <= len(b) {
			end = next
		}
		if at+specSize > end {
			return nil, fmt.Errorf("%w: a target of %d bytes", ErrFormat, end-at)
		}
		out = append(out, Target{Start: order.Uint64(spec), Length: order.Uint64(spec[8:]), Type: text(spec[24:40]), Table: text(b[at+specSize : end])})
		if uint32(len(out)) < count && next <= at {
			return nil, fmt.Errorf("%w: the next target is at %d, behind %d", ErrFormat, next, at)
		}
		at = next
	}
	return out, nil
}

// parseDeps reads what a device stands on: how many, then their numbers.
func parseDeps(b []byte) ([]Number, error) {
	if len(b) < 8 {
		return nil, fmt.Errorf("%w: %d bytes of what it stands on", ErrFormat, len(b))
	}
	count, b := order.Uint32(b), b[8:]
	if int64(count)*8 > int64(len(b)) {
		return nil, fmt.Errorf("%w: %d devices in %d bytes", ErrFormat, count, len(b))
	}
	var out []Number
	for ; count > 0; count-- {
		out = append(out, unpack(order.Uint64(b)))
		b = b[8:]
	}
	return out, nil
}

// encodeTargets is the same the other way. Here the distance is counted from the
// beginning of each target.
func encodeTargets(all []Target) []byte {
	var out []byte
	for _, t := range all {
		b := make([]byte, (specSize+len(t.Table)+1+7)&^7)
		order.PutUint64(b, t.Start)
		order.PutUint64(b[8:], t.Length)
		order.PutUint32(b[20:], uint32(len(b)))
		copy(b[24:39], t.Type)
		copy(b[specSize:], t.Table)
		out = append(out, b...)
	}
	return out
}
