package kmsg

import (
	"bufio"
	"errors"
	"io"
	"time"
)

// LongestLine is how much of a line is read. The kernel's records have 1 KiB of text.
const LongestLine = 8 << 10

// Read gives the events of a log in any spelling, see [ParseLine], as they are
// complete, in memory that does not grow with it. Lines of other programs and lines
// that tell of no trouble give none; a longer line is cut. It stops at an error
// of emit, or of the reader.
func Read(in io.Reader, zone *time.Location, emit func(Event) error) error {
	lines := bufio.NewReaderSize(in, LongestLine)
	var a Assembler
	give := func(events []Event) error {
		for _, e := range events {
			if err := emit(e); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		line, err := lines.ReadSlice('\n')
		text := string(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if r, ok := ParseLine(text, zone); ok {
			if err := give(a.Add(r)); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return give(a.Flush())
		case err != nil:
			return errors.Join(give(a.Flush()), err)
		}
	}
}
