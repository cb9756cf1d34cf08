package errtext

import (
	"slices"
	"strings"
	"testing"
)

// A line of the kernel is an error by a word or a number, if it is of a part that matters.
func TestKernelError(t *testing.T) {
	for _, tt := range []struct {
		low  string
		want bool
	}{
		{"nfs: rpc call returned error 512", true},
		{"cifs: vfs: no writable handle in writepages rc=-9", true},
		{"block drbd1: x returned -22.", true},
		{"ext4-fs (sdb1): mounted filesystem. opts: errors=remount-ro", false},
		{"ext4-fs (sdb1): mounted. opts: x errors=remount-ro", false},
		{"acpi bios error (bug): x", false},
		{"sd 6:0:0:1: [sdc] 41943040 512-byte logical blocks", false},
		{"nvme nvme0: 8/0/0 queues-8", false},
		{"xfs-9", false},
		{"", false},
	} {
		if got := kernelError(tt.low); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.low, got, tt.want)
		}
	}
}

// A sieve finds what a search for each phrase finds.
func TestSieve(t *testing.T) {
	phrases := []string{"busy", "err", "not ", "目标忙"}
	s := newSieve(phrases)
	for _, text := range []string{"", "b", "bu", "bus", "busy", "xbusy", "er", "terr", "not", "not ", "this is not it", "umount: /x: 目标忙", "目标", strings.Repeat("bus", 99)} {
		if _, want := hasAny(text, phrases...); s.in(text) != want {
			t.Errorf("%q: %v, want %v", text, !want, want)
		}
	}
}

// What passes over quiet lines soon passes over none that a rule reads.
func TestTellingWords(t *testing.T) {
	for _, r := range slices.Concat(certain, noLeaks, likely, rest) {
		for _, p := range r.any {
			if tellingWords().in(p) {
				continue
			}
			if len(r.with) == 0 || slices.ContainsFunc(r.with, func(w string) bool { return !tellingWords().in(w) }) {
				t.Errorf("%q is passed over", p)
			}
		}
	}
}
