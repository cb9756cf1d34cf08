package rpc

import (
	"errors"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"sexton.dev/runtimes/dial"
)

func TestCountFields(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		most int
		want int
		ok   bool
	}{
		{"empty", "", 0, 0, true},
		{"two empty elements", "\x0a\x00\x0a\x00", 2, 2, true},
		{"one too many", "\x0a\x00\x0a\x00", 1, 2, false},
		{"varint, fixed, group", "\x08\x01\x0d\x00\x00\x00\x00\x13\x14", 9, 3, true},
		{"cut short", "\x0a\x05ab", 9, 0, false},
		{"length past all memory", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 9, 0, false},
		{"not the wire format", "HTTP/1.1", 9, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := countFields([]byte(tt.in), tt.most)
			if n != tt.want || (err == nil) != tt.ok {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
}

func TestCodecRefusesMany(t *testing.T) {
	list := &structpb.ListValue{Values: make([]*structpb.Value, dial.MaxContainers+1)}
	for i := range list.Values {
		list.Values[i] = &structpb.Value{}
	}
	c := codec{encoding.GetCodecV2(proto.Name)}
	data, err := c.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Free()
	var got structpb.ListValue
	if err := c.Unmarshal(data, &got); !errors.Is(err, errTooMany) {
		t.Errorf("error %v, want errTooMany", err)
	}
	list.Values = list.Values[1:]
	fewer, err := c.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	defer fewer.Free()
	if err := c.Unmarshal(fewer, &got); err != nil || len(got.Values) != dial.MaxContainers {
		t.Errorf("%d values, %v", len(got.Values), err)
	}
}

func TestSpeaksHTTP2(t *testing.T) {
	for in, want := range map[string]bool{
		"": false, "HTTP/1.1 ": false, "SSH-2.0-O": false, "\x00\x00\x12\x04": false,
		"\x00\x00\x12\x04\x00\x00\x00\x00\x00": true, "\x00\x00\x12\x04\x00\x00\x00\x00\x01": false, "\x00\x00\x12\x07\x00\x00\x00\x00\x00": false,
	} {
		if got := speaksHTTP2([]byte(in)); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func FuzzCountFields(f *testing.F) {
	f.Add([]byte("\x0a\x00\x0a\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := countFields(b, 10)
		if n > 11 || (n == 11) != errors.Is(err, errTooMany) {
			t.Errorf("%d, %v", n, err)
		}
	})
}
