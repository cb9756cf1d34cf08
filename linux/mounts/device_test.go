package mounts

import "testing"

func TestParseDevice(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Device
		ok   bool
	}{
		{"8:16", Device{8, 16}, true},
		{"0:0", Device{}, true},
		{"4294967295:4294967295", Device{1<<32 - 1, 1<<32 - 1}, true},
		{in: ""}, {in: ":"}, {in: "8"}, {in: "8:"}, {in: ":16"}, {in: "8:16:1"}, {in: "8:16 "}, {in: "+8:16"}, {in: "-8:16"},
		{in: "8:0x10"}, {in: "8:1_6"}, {in: "4294967296:0"}, {in: "0:99999999999999999999"}, {in: "a:b"}, {in: "8\x00:16"},
	} {
		got, ok := ParseDevice(tt.in)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: %v, %v", tt.in, got, ok)
		}
		if again, ok := ParseDevice(got.String()); tt.ok && (!ok || again != got) {
			t.Errorf("%q: written %q and read %v", tt.in, got, again)
		}
	}
}

func FuzzParseDevice(f *testing.F) {
	f.Add("8:16")
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := ParseDevice(text); ok {
			if again, ok := ParseDevice(d.String()); !ok || again != d {
				t.Fatalf("%q: %v, written and read %v", text, d, again)
			}
		}
	})
}
