package devmapper

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePool(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Pool
		wantErr  string // "" for none; else part of an error that wraps ErrFormat
	}{
		{name: "6.1", in: "0 12/2048 0/2048 - rw discard_passdown queue_if_no_space - 1024 ", want: Pool{Mode: "rw", MetaUsed: 12, MetaTotal: 2048, DataTotal: 2048, Queues: true}},
		{name: "docker, 3.10", in: "91 422/524288 18338/1638400 - rw discard_passdown queue_if_no_space -",
			want: Pool{Mode: "rw", Transaction: 91, MetaUsed: 422, MetaTotal: 524288, DataUsed: 18338, DataTotal: 1638400, Queues: true}},
		{name: "full, held root", in: "7 12/2048 2048/2048 9 out_of_data_space no_discard_passdown error_if_no_space - 1024",
			want: Pool{Mode: "out_of_data_space", Transaction: 7, MetaUsed: 12, MetaTotal: 2048, DataUsed: 2048, DataTotal: 2048}},
		{name: "needs check", in: "7 12/2048 8/2048 - ro ignore_discard queue_if_no_space needs_check 1024",
			want: Pool{Mode: "ro", Transaction: 7, MetaUsed: 12, MetaTotal: 2048, DataUsed: 8, DataTotal: 2048, Queues: true, NeedsCheck: true}},
		{name: "failed", in: "Fail", want: Pool{Mode: "Fail"}},
		{name: "error", in: "Error\n", want: Pool{Mode: "Error"}},
		{name: "words of a later kernel", in: "1 1/2 1/2 - rw a b c - 9 new words", want: Pool{Mode: "rw", Transaction: 1, MetaUsed: 1, MetaTotal: 2, DataUsed: 1, DataTotal: 2, Queues: true}},
		{name: "nothing", in: " ", wantErr: "0 words"},
		{name: "a table", in: "7:0 7:1 128 1024 0", wantErr: "transaction id"},
		{name: "negative", in: "-1 1/2 1/2 - rw", wantErr: "transaction id"},
		{name: "more than all", in: "1 3/2 1/2 - rw", wantErr: "no part of a whole"},
		{name: "of nothing", in: "1 0/0 1/2 - rw", wantErr: "no part of a whole"},
		{name: "no ratio", in: "1 1 1/2 - rw", wantErr: "no part of a whole"},
		{name: "too large", in: "1 1/2 1/99999999999999999999 - rw", wantErr: "no part of a whole"},
		{name: "mode", in: "1 1/2 1/2 - \x1b[2J", wantErr: "mode"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParsePool(tt.in)
			check(t, got == tt.want || err != nil, err, tt.wantErr)
			if err == nil && got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func check(t *testing.T, same bool, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil, want != "" && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want %q", err, want)
	case !same:
		t.Error("another value")
	}
}

func TestParseTables(t *testing.T) {
	pool, err := ParsePoolTable("7:0 254:1048575 128 1024 1 skip_block_zeroing ")
	if want := (PoolTable{Number{7, 0}, Number{254, 1048575}, 128, 1024, true}); err != nil || pool != want {
		t.Errorf("got %+v, %v, want %+v", pool, err, want)
	}
	if pool, err := ParsePoolTable("7:0 7:1 128 0 2 skip_block_zeroing error_if_no_space "); err != nil || pool.Queues {
		t.Errorf("%+v, %v: it was told to have writes fail", pool, err)
	}
	thin, err := ParseThinTable("254:3 16777215 7:5")
	if want := (ThinTable{Number{254, 3}, 1<<24 - 1}); err != nil || thin != want {
		t.Errorf("got %+v, %v, want %+v", thin, err, want)
	}
	n, err := ParseNumber("4095:1048575")
	if n != (Number{4095, 1048575}) || err != nil {
		t.Errorf("got %v, %v", n, err)
	}
	for _, tt := range []struct{ parser, in, wantErr string }{
		{"pool", "", "0 words"}, {"pool", "a 7:1 128 1", "metadata device"}, {"pool", "7:0 7 128 1", "data device"}, {"pool", "7:0 7:1 0 1", "block size"},
		{"pool", "7:0 7:1 128 -1", "low water"}, {"pool", "7:4294967296 7:1 128 1", "metadata device"},
		{"thin", "254:3", "1 words"}, {"thin", "/dev/x 1", "pool"}, {"thin", "254:3 16777216", "id"}, {"thin", "254:3 +1", "id"},
		{"number", "8:3:4", "number"}, {"number", "4096:0", "number"}, {"number", "8:1048576", "number"}, {"number", "-1:0", "number"}, {"number", "8", "number"},
	} {
		t.Run(tt.parser+" "+tt.in, func(t *testing.T) {
			var err error
			switch tt.parser {
			case "pool":
				_, err = ParsePoolTable(tt.in)
			case "thin":
				_, err = ParseThinTable(tt.in)
			case "number":
				_, err = ParseNumber(tt.in)
			}
			check(t, true, err, tt.wantErr)
		})
	}
}

func TestParseThin(t *testing.T) {
	for _, tt := range []struct {
		in      string
		mapped  uint64
		failed  bool
		wantErr string
	}{
		{in: "20480 131071", mapped: 20480}, {in: "0 -"}, {in: "-"}, {in: "Fail", failed: true}, {in: "Error", failed: true},
		{in: "", wantErr: `""`}, {in: "x 1", wantErr: "x 1"}, {in: "-5 1", wantErr: "-5"},
	} {
		mapped, failed, err := ParseThin(tt.in)
		check(t, err != nil || mapped == tt.mapped && failed == tt.failed, err, tt.wantErr)
	}
}

func FuzzParseTargets(f *testing.F) {
	f.Add("91 422/524288 18338/1638400 - rw discard_passdown queue_if_no_space -")
	f.Add("254:3 16777215 7:5")
	f.Add("7:0 254:1 128 1024 1 skip_block_zeroing")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := ParsePool(text); err == nil && (p.DataUsed > p.DataTotal || p.MetaUsed > p.MetaTotal || p.Mode == "") || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
		for _, err := range []error{second(ParsePoolTable(text)), second(ParseThinTable(text)), second(ParseNumber(text)), third(ParseThin(text))} {
			if err != nil && !errors.Is(err, ErrFormat) {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }
