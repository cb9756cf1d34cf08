// Package procfs parses the text of the kernel's /proc files. It opens none.
//
// Every parser takes the bytes of one file. What a process may choose (its
// comm) is taken whole, with any bytes in it. Errors wrap [ErrFormat] and name
// the text that failed.
package procfs

import (
	"errors"
	"fmt"
	"math"
)

// ErrFormat is wrapped by every error that means the kernel's text was not as documented.
var ErrFormat = errors.New("unexpected format")

// bad makes an error that names the file's kind, the field and the text that failed, cut to 40 bytes.
func bad(file, field string, text []byte) error {
	if len(text) > 40 {
		text = text[:40]
	}
	return fmt.Errorf("%s: %w: %s %q", file, ErrFormat, field, text)
}

// number parses an unsigned decimal number without allocating.
func number(text []byte) (uint64, bool) {
	if len(text) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range text {
		if c < '0' || c > '9' || n > (math.MaxUint64-9)/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// count parses a decimal number from 0 that fits an int32, as pids and counts do. A pid
// must never be read as negative: kill(2) would take it for a whole process group.
func count(text []byte) (int, bool) {
	n, ok := integer(text)
	return n, ok && n >= 0
}

// integer parses a decimal number, maybe negative, that fits an int32, as exit codes do.
func integer(text []byte) (int, bool) {
	sign := 1
	if len(text) > 0 && text[0] == '-' {
		sign, text = -1, text[1:]
	}
	n, ok := number(text)
	if !ok || n > math.MaxInt32 {
		return 0, false
	}
	return sign * int(n), true
}
