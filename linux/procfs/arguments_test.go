package procfs

import "testing"

func TestParseArgument(t *testing.T) {
	const write = "1 0x1 0x7ffd 0x200 0x0 0x0 0xffffffffffffffff 0x7ffe 0x7f00\n"
	for _, tt := range []struct {
		name, text string
		i          int
		want       uint64
		ok         bool
	}{
		{"first", write, 0, 1, true},
		{"third", write, 2, 512, true},
		{"last", write, 5, 1<<64 - 1, true},
		{"stack pointer", write, 6, 0, false},
		{"before the first", write, -1, 0, false},
		{"running", "running\n", 0, 0, false},
		{"in none", "-1 0x7ffe 0x7f00\n", 0, 0, false},
		{"in none, padded", "-1 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1\n", 0, 0, false},
		{"no number", "1 1 0x1 0x1 0x1 0x1 0x1\n", 0, 0, false},
		{"too large", "1 0x11111111111111111 0x1 0x1 0x1 0x1 0x1\n", 0, 0, false},
		{"nothing", "", 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := ParseArgument([]byte(tt.text), tt.i); ok != tt.ok || ok && got != tt.want {
				t.Errorf("%d, %v", got, ok)
			}
		})
	}
}
