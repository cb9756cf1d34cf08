package rpc

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"sexton.dev/runtimes/dial"
)

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		want int // fields that are passed on
		ok   bool
	}{
		{"empty", "", 0, true},
		{"two empty elements", "\x0a\x00\x0a\x00", 2, true},
		{"varint; fixed and group are passed over", "\x08\x01\x0d\x00\x00\x00\x00\x13\x14", 1, true},
		{"cut short", "\x0a\x05ab", 0, false},
		{"length past all memory", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 0, false},
		{"varint without end", "\x08" + strings.Repeat("\xff", 11), 0, false},
		{"group that is not ended", "\x13\x08\x01", 0, false},
		{"groups in groups", strings.Repeat("\x13", 100000), 0, false},
		{"field number 0", "\x00\x01", 0, false},
		{"not the wire format", "HTTP/1.1", 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			err := Fields([]byte(tt.in), func(Field) error { n++; return nil })
			if n != tt.want || (err == nil) != tt.ok {
				t.Errorf("%d fields, %v", n, err)
			}
		})
	}
}

func TestFieldsRefusesMany(t *testing.T) {
	list := &structpb.ListValue{Values: make([]*structpb.Value, dial.MaxContainers+1)}
	for i := range list.Values {
		list.Values[i] = &structpb.Value{}
	}
	for _, tt := range []struct {
		n    int
		want error
	}{{dial.MaxContainers + 1, errTooMany}, {dial.MaxContainers, nil}} {
		list.Values = list.Values[:tt.n]
		data, err := proto.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := Fields(data, func(Field) error { n++; return nil }); !errors.Is(err, tt.want) || n != dial.MaxContainers {
			t.Errorf("%d: %d fields, %v", tt.n, n, err)
		}
	}
}

func TestReadFrame(t *testing.T) {
	for _, tt := range []struct{ name, in, want, wantErr string }{
		{name: "one", in: "\x00\x00\x00\x00\x02hi", want: "hi"},
		{name: "empty", in: "\x00\x00\x00\x00\x00"},
		{name: "none", wantErr: "EOF"},
		{name: "head cut off", in: "\x00\x00", wantErr: "unexpected EOF"},
		{name: "message cut off", in: "\x00\x00\x00\x00\x05hi", wantErr: "cut off after 2 of 5 bytes"},
		{name: "compressed", in: "\x01\x00\x00\x00\x02hi", wantErr: "compressed"},
		{name: "larger than all memory", in: "\x00\xff\xff\xff\xffhi", wantErr: "larger than max"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readFrame(strings.NewReader(tt.in))
			switch {
			case tt.wantErr == "" && (err != nil || string(got) != tt.want):
				t.Errorf("%q, %v", got, err)
			case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
		})
	}
}

func TestStatusOf(t *testing.T) {
	for _, tt := range []struct {
		name            string
		header, trailer http.Header
		want            string // "" for none
		code            Code
	}{
		{name: "fine", trailer: http.Header{"Grpc-Status": {"0"}}},
		{name: "in the headers", header: http.Header{"Grpc-Status": {"12"}, "Grpc-Message": {"unknown service x"}}, want: "unknown service x", code: Unimplemented},
		{name: "escaped", trailer: http.Header{"Grpc-Status": {"5"}, "Grpc-Message": {"no%20task%0a"}}, want: "no task\n", code: NotFound},
		{name: "badly escaped", trailer: http.Header{"Grpc-Status": {"5"}, "Grpc-Message": {"100%"}}, want: "100%", code: NotFound},
		{name: "without words", trailer: http.Header{"Grpc-Status": {"13"}}, want: "status 13", code: 13},
		{name: "none", want: "without a status"},
		{name: "no number", trailer: http.Header{"Grpc-Status": {"\x1b[2J"}}, want: `without a status: "\x1b[2J"`},
		{name: "negative", trailer: http.Header{"Grpc-Status": {"-1"}}, want: "without a status"},
		{name: "endless words", trailer: http.Header{"Grpc-Status": {"2"}, "Grpc-Message": {strings.Repeat("x", 1<<20)}}, want: "xxx", code: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := statusOf(&http.Response{Header: tt.header, Trailer: tt.trailer})
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("error %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > maxStatus || CodeOf(err) != tt.code):
				t.Errorf("error %.100v, code %d", err, CodeOf(err))
			}
		})
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

func FuzzFields(f *testing.F) {
	f.Add([]byte("\x0a\x00\x0a\x02\x08\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := Fields(b, func(f Field) error { n += 1 + len(f.Bytes); return nil })
		if n > len(b) {
			t.Errorf("%d of %d bytes, %v", n, len(b), err)
		}
		_, _, _ = Entry(b)
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02hi\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			m, err := readFrame(r)
			if err != nil {
				if len(m) > 0 {
					t.Errorf("%d bytes beside %v", len(m), err)
				}
				return
			}
			if len(m) > len(b) {
				t.Errorf("%d of %d bytes", len(m), len(b))
			}
		}
	})
}
