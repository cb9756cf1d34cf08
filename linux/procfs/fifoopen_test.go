package procfs

import "testing"

func TestParseFIFOOpen(t *testing.T) {
	const read, write = "257 0xffffffffffffff9c 0x1 0x80000 0x0 0x0 0x0 0x7f 0x7f\n", "257 0xffffffffffffff9c 0x1 0x80001 0x0 0x0 0x0 0x7f 0x7f\n"
	for _, tt := range []struct {
		name, machine, syscall, wchan, stack string
		want                                 FIFOOpen
		ok                                   bool
	}{
		{"reads", "x86_64", read, "wait_for_partner", "", FIFOOpen{Dir: -100}, true},
		{"writes", "x86_64", write, "wait_for_partner", "", FIFOOpen{Writes: true, Dir: -100}, true},
		{"relative", "x86_64", "257 0x5 0x1 0x80001 0x0 0x0 0x0 0x7f 0x7f\n", "pipe_wait", "", FIFOOpen{Writes: true, Dir: 5}, true},
		{"open", "x86_64", "2 0x1 0x80001 0x1b6 0x0 0x0 0x0 0x7f 0x7f\n", "fifo_open", "", FIFOOpen{Writes: true, Dir: -1}, true},
		{"arm", "aarch64", "56 0xffffffffffffff9c 0x1 0x80000 0x0 0x0 0x0 0x7f 0x7f\n", "wait_for_partner", "", FIFOOpen{Dir: -100}, true},
		{"stopped", "x86_64", write, "do_signal_stop", "", FIFOOpen{Writes: true, Dir: -100, Held: true}, true},
		{"hidden", "x86_64", read, "0", "wait_for_partner < fifo_open < do_dentry_open", FIFOOpen{Dir: -100}, true},
		{"hidden, another wait", "x86_64", read, "0", "nfs_wait_bit_killable", FIFOOpen{}, false},
		{"another wait", "x86_64", read, "d_alloc_parallel", "fifo_open", FIFOOpen{}, false},
		{"both ways", "x86_64", "257 0x5 0x1 0x80002 0x0 0x0 0x0 0x7f 0x7f\n", "wait_for_partner", "", FIFOOpen{}, false},
		{"another call", "x86_64", "202 0x5 0x1 0x80001 0x0 0x0 0x0 0x7f 0x7f\n", "wait_for_partner", "", FIFOOpen{}, false},
		{"runs", "x86_64", "running\n", "wait_for_partner", "", FIFOOpen{}, false},
		{"cut", "x86_64", "257 0x5", "wait_for_partner", "", FIFOOpen{}, false},
		{"no text", "x86_64", "", "wait_for_partner", "", FIFOOpen{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := ParseFIFOOpen(tt.machine, []byte(tt.syscall), tt.wchan, tt.stack); ok != tt.ok || ok && got != tt.want {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}
