package bpfiter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

// row is a record as the program writes it.
func row(words ...uint32) (text []byte) {
	for _, w := range words {
		text = binary.NativeEndian.AppendUint32(text, w)
	}
	return text
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name    string
		in      []byte
		want    []Keeper
		wantErr string // "" for none; else part of an error that wraps ErrFormat
	}{
		{"none", nil, nil, ""},
		{"two", row(7, 7, 1, 8<<20|16, 4194304, 12, 6, 0), []Keeper{{7, 7, Directory, Device{8, 16}}, {4194304, 12, Unsure, Device{}}}, ""},
		{"the highest device", row(1, 2, 4, 1<<32-1), []Keeper{{1, 2, Descriptor, Device{1<<12 - 1, 1<<20 - 1}}}, ""},
		{"cut short", row(7, 7, 1, 8, 9)[:17], nil, "cut short: 09"},
		{"no process", row(0, 7, 1, 8), nil, "00 00 00 00 07"},
		{"no thread", row(7, 0, 1, 8), nil, "07 00 00 00 00"},
		{"a negative process", row(1<<31, 7, 1, 8), nil, "00 00 00 80"},
		{"a negative thread", row(7, 1<<32-1, 1, 8), nil, "ff ff ff ff"},
		{"no reason", row(7, 7, 0, 8), nil, "not a record"},
		{"another reason", row(7, 7, 7, 8), nil, "not a record"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.in)
			if !slices.Equal(got, tt.want) || (err == nil) != (tt.wantErr == "") {
				t.Fatalf("%+v, %v", got, err)
			}
			if err != nil && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// hiccups is a reader that is interrupted before each piece, as the kernel's is where it
// has long nothing to tell.
type hiccups struct {
	pieces [][]byte
	errs   []error
}

func (h *hiccups) Read(into []byte) (int, error) {
	if len(h.errs) > 0 {
		err := h.errs[0]
		h.errs = h.errs[1:]
		return 0, err
	}
	if len(h.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(into, h.pieces[0])
	h.pieces = h.pieces[1:]
	return n, nil
}

func TestRead(t *testing.T) {
	two := []Keeper{{7, 7, Directory, Device{8, 16}}, {8, 9, Ring, Device{}}}
	pieces := [][]byte{row(7, 7, 1, 8<<20|16), row(8, 9, 5, 0)}
	for _, tt := range []struct {
		name string
		in   io.Reader
		most int
		want []Keeper
		err  error
	}{
		{"goes on", &hiccups{pieces, []error{unix.EAGAIN, unix.EINTR, unix.EAGAIN}}, 2, two, nil},
		{"the end with the last", iotest.DataErrReader(bytes.NewReader(bytes.Join(pieces, nil))), 2, two, nil},
		{"too many", &hiccups{pieces, nil}, 1, nil, ErrMany},
		{"an error", &hiccups{pieces, []error{unix.E2BIG}}, 2, nil, unix.E2BIG},
		{"another program", &hiccups{[][]byte{row(7)}, nil}, 2, nil, ErrFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(t.Context(), tt.in, tt.most)
			if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// A device that is asked about is that, though it is listed as well.
func TestEntries(t *testing.T) {
	keys, values := entries(Question{Devices: []Device{{8, 16}, {0, 5}, {8, 16}, {0, 1}}, Unlisted: []Device{{0, 6}, {8, 16}, {0, 6}}}, Device{0, 1})
	if !slices.Equal(keys, []uint32{1, 8<<20 | 16, 5, 6}) || !slices.Equal(values, []uint8{3, 1, 1, 2}) {
		t.Errorf("%x are %d", keys, values)
	}
}

func TestBounds(t *testing.T) {
	q := Question{Unlisted: make([]Device, 0, mostDevices+1)}
	for i := range mostDevices + 1 {
		q.Unlisted = append(q.Unlisted, Device{0, uint32(i)})
	}
	for _, q := range []Question{q, {Unlisted: []Device{}}} {
		if got, err := Keepers(t.Context(), q); err == nil || !strings.Contains(err.Error(), "want 1 to") {
			t.Errorf("%d devices: %v, %v", len(q.Unlisted), got, err)
		}
	}
}

// Whatever is read, what is told of it is a process, and all of it is told or an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(row(7, 7, 1, 8<<20|16))
	f.Add(row(7, 7, 1, 8<<20|16, 8, 9, 5)[:25])
	f.Add(row(1<<32-1, 7, 9, 8))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parse(text)
		if err != nil {
			if all != nil || !errors.Is(err, ErrFormat) {
				t.Fatalf("%+v, %v", all, err)
			}
			return
		}
		var again []byte
		for _, k := range all {
			if k.PID <= 0 || k.TID <= 0 || k.Reason < Directory || k.Reason > Unsure {
				t.Fatalf("%+v", k)
			}
			again = append(again, row(uint32(k.PID), uint32(k.TID), uint32(k.Reason), k.Device.number())...)
		}
		if !bytes.Equal(again, text) {
			t.Errorf("% x is told as % x", text, again)
		}
	})
}
