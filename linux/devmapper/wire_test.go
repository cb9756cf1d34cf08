package devmapper

import (
	"errors"
	"slices"
	"testing"
)

func TestHeader(t *testing.T) {
	h := header{targets: 2, flags: flagDeferred | flagLive, event: 7, device: Number{254, 70000}, name: "docker-7:1-1-aaaa", uuid: "LVM-abc"}
	b := h.encode(1000, []byte("data"))
	if len(b) != 1000 {
		t.Fatalf("%d bytes", len(b))
	}
	got, rest, err := decode(b)
	if err != nil || got != h || string(rest[:5]) != "data\x00" {
		t.Errorf("got %+v, %.5q, %v, want %+v", got, rest, err, h)
	}
	order.PutUint32(b[atDataSize:], 305) // as the kernel says where there is no data
	if _, rest, err := decode(b); err != nil || len(rest) != 0 {
		t.Errorf("no data: %q, %v", rest, err)
	}
	order.PutUint32(b[atDataStart:], 2000)
	for _, b := range [][]byte{nil, b[:headerSize-1], b} {
		if _, _, err := decode(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}

func TestParseNames(t *testing.T) {
	entry := func(n Number, next uint32, name string) []byte {
		b := make([]byte, 12, 64)
		order.PutUint64(b, n.pack())
		order.PutUint32(b[8:], next)
		b = append(b, name...)
		return b[:max(len(b), int(next))]
	}
	two := slices.Concat(entry(Number{254, 0}, 24, "pool\x00"), entry(Number{254, 257}, 0, "thin\x00"))
	got, err := parseNames(two)
	if want := []Number{{254, 0}, {254, 257}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := parseNames(entry(Number{}, 0, "\x00")); err != nil || got != nil {
		t.Errorf("an empty list: %v, %v", got, err)
	}
	for _, b := range [][]byte{two[:30], entry(Number{254, 0}, 8, "x"), entry(Number{254, 0}, 24, "x")[:20]} {
		if got, err := parseNames(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes: %v, %v", len(b), got, err)
		}
	}
}

// given is what a list of targets is in an answer, where distances are from its beginning.
func given(all []Target) []byte {
	b := encodeTargets(all)
	at := 0
	for range all {
		next := at + int(order.Uint32(b[at+20:]))
		order.PutUint32(b[at+20:], uint32(next))
		at = next
	}
	return b
}

func TestTargets(t *testing.T) {
	want := []Target{{Start: 0, Length: 8, Type: "linear", Table: "7:0 0"}, {Start: 8, Length: 64, Type: "thin-pool"}, {Start: 72, Length: 1, Type: "thin", Table: "254:0 16777215"}}
	b := given(want)
	got, err := parseTargets(b, 3)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	back := slices.Clone(b)
	order.PutUint32(back[20:], 0) // to itself
	for _, tt := range []struct {
		b     []byte
		count uint32
	}{{b, 4}, {b[:39], 1}, {back, 3}, {nil, 1 << 31}} {
		if got, err := parseTargets(tt.b, tt.count); !errors.Is(err, ErrFormat) {
			t.Errorf("%d of %d bytes: %v, %v", tt.count, len(tt.b), got, err)
		}
	}
}

func TestParseDeps(t *testing.T) {
	b := make([]byte, 24)
	order.PutUint32(b, 2)
	order.PutUint64(b[8:], Number{7, 0}.pack())
	order.PutUint64(b[16:], Number{259, 70000}.pack())
	got, err := parseDeps(b)
	if want := []Number{{7, 0}, {259, 70000}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	order.PutUint32(b, 1<<31)
	for _, b := range [][]byte{nil, b} {
		if _, err := parseDeps(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}

func TestLoaded(t *testing.T) {
	for _, tt := range []struct {
		misc string
		want bool
	}{
		{"237 loop-control\n236 device-mapper\n", true}, {"236 device-mapper", true}, {"", false}, {"237 loop-control\n", false},
		{"236 other\n", false}, {"1236 device-mapper\n", false}, {"236 device-mapper-x\n", false},
	} {
		if got := loaded([]byte(tt.misc)); got != tt.want {
			t.Errorf("%q: %v", tt.misc, got)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(header{name: "x"}.encode(400, given([]Target{{Type: "thin", Table: "254:0 1"}})), uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, count uint32) {
		_, rest, err := decode(b)
		if err != nil {
			rest = b
		}
		if all, err := parseTargets(rest, count); err == nil && len(all) != int(count) {
			t.Errorf("%d targets of %d", len(all), count)
		}
		parseNames(rest)
		if all, err := parseDeps(rest); err == nil && len(all) > len(rest) {
			t.Errorf("%d devices of %d bytes", len(all), len(rest))
		}
	})
}
