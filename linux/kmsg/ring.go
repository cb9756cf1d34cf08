package kmsg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mostCopied bounds the text of a copy in bytes; the newest is kept.
const mostCopied = 8 << 20

// The heads of a copy's own lines; no record begins so.
const (
	clockHead = "# clock "
	firstHead = "# first "
	lostHead  = "# lost "
)

// Copy reads the log at path to its end and returns what tells of trouble in it, as
// text that [ReadCopy] reads: its own lines first, then records as the kernel gives
// them. Records of other things, and those that a process wrote, are left out: some
// hold command lines. path may also be a regular file with records in it, which has
// no clock; now is the host's. Errors are those of [Open] and [Log.Next].
func Copy(ctx context.Context, path string, now func() time.Time) ([]byte, error) {
	log, err := Open(path, false)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	var out []byte
	switch kind, err := log.kind(); {
	case err != nil:
		return nil, err
	case kind == unix.S_IFREG:
		if out, err = io.ReadAll(io.LimitReader(reader(log.from), mostOfRing)); err != nil {
			return nil, fmt.Errorf("read the kernel log: %w", err)
		}
		return newest(told(out), mostCopied), nil
	}
	c := copier{log: log}
	if err := c.copy(ctx); err != nil {
		return nil, err
	}
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
		return nil, err
	}
	out = fmt.Appendf(out, "%s%d %s\n", clockHead, clock.Nano()/1000, now().UTC().Format(time.RFC3339Nano))
	out = append(append(out, c.head...), newest(c.records, mostCopied)...)
	return out, nil
}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) {
	n, err := r(p)
	if n <= 0 && err == nil {
		return 0, io.EOF
	}
	return max(n, 0), err
}

// kind tells a device from a file; anything else is not a kernel log.
func (l *Log) kind() (uint32, error) {
	var st unix.Stat_t
	if err := unix.Fstat(l.fd, &st); err != nil {
		return 0, err
	}
	kind := st.Mode & unix.S_IFMT
	device := kind == unix.S_IFCHR && unix.Major(st.Rdev) == 1 && unix.Minor(st.Rdev) == 11
	if !device && kind != unix.S_IFREG {
		return 0, errors.New("it is not the kernel's log, device 1:11: something else was put in its place")
	}
	return kind, nil
}

// A copier keeps the records that tell of trouble.
type copier struct {
	log           *Log
	head, records []byte
}

func (c *copier) copy(ctx context.Context) error {
	for first := true; ; {
		r, err := c.log.Next(ctx)
		if lost, is := errors.AsType[Lost](err); is {
			c.head = fmt.Appendf(c.head, "%s%d\n", lostHead, lost.Records)
			err = nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, ErrFormat): // there is no such record; the next may be one
			continue
		case err != nil:
			return err
		}
		if first {
			c.head = fmt.Appendf(c.head, "%s%d %d\n", firstHead, r.Seq, r.Boot.Microseconds())
			first = false
		}
		if tells(r) {
			c.records = append(c.records, c.log.raw...)
			if len(c.records) > 2*mostCopied {
				c.records = slices.Clone(newest(c.records, mostCopied))
			}
		}
	}
}

// tells reports whether a record is a part of what an [Assembler] makes events of.
func tells(r Record) bool {
	if !r.Kernel {
		return false
	}
	if r.Partial || readOOM(r.Text).kind != none || isStall(r.Text) {
		return true
	}
	_, ok := single(r.Text)
	return ok
}

// told keeps the records of a text that tell of trouble.
func told(text []byte) (out []byte) {
	eachRecord(text, func(raw []byte) {
		if r, err := ParseRecord(raw); err == nil && tells(r) {
			out = append(out, raw...)
		}
	})
	return out
}

// newest returns the end of a text of records that is not longer than most.
func newest(records []byte, most int) []byte {
	for len(records) > most {
		_, records, _ = bytes.Cut(records, []byte{'\n'})
	}
	return records
}

// eachRecord calls f with each record of a text, its lines of keys and values with it.
func eachRecord(text []byte, f func(raw []byte)) {
	for len(text) > 0 {
		end := 0
		for end == 0 || end < len(text) && text[end] == ' ' {
			next := bytes.IndexByte(text[end:], '\n') + 1
			if next == 0 {
				end = len(text)
				break
			}
			end += next
		}
		f(text[:end])
		text = text[end:]
	}
}

// A Past is what a kernel log told of trouble when it was copied.
type Past struct {
	Clock   time.Duration // of the records, when it was read; 0: not said
	Time    time.Time     // the same moment by the host's clock
	First   time.Duration // since boot, of the oldest record that was left; -1: not said
	Wrapped bool          // older ones were overwritten
	Lost    uint64        // records that were overwritten while it was read
	Unread  error         // the first line that is no record
	Events  []Event       // in the log's order, at most mostEvents, the newest
	Left    int           // older ones that were not kept
}

// mostEvents bounds the events of a copy: a log may have nothing but trouble in it.
const mostEvents = 2000

// ReadCopy reads what [Copy] returned, or any text of records in the format of /dev/kmsg.
func ReadCopy(text []byte) Past {
	p := Past{First: -1}
	var a Assembler
	var fold Folder
	add := func(events []Event) {
		for _, e := range events {
			fold.Add(e)
		}
	}
	eachRecord(text, func(raw []byte) {
		if raw[0] == '#' {
			p.own(strings.TrimSuffix(string(raw), "\n"))
			return
		}
		r, err := ParseRecord(raw)
		if err != nil {
			if p.Unread == nil {
				p.Unread = err
			}
			return
		}
		add(a.Add(r))
	})
	add(a.Flush())
	fold.Sort()
	p.Left = max(0, len(fold.Events)-mostEvents)
	p.Events = fold.Events[p.Left:]
	return p
}

// own reads a line of the copy's own.
func (p *Past) own(line string) {
	if rest, ok := strings.CutPrefix(line, clockHead); ok {
		usec, at, _ := strings.Cut(rest, " ")
		n, err1 := strconv.ParseInt(usec, 10, 53)
		t, err2 := time.Parse(time.RFC3339Nano, at)
		if err1 == nil && err2 == nil && n > 0 {
			p.Clock, p.Time = time.Duration(n)*time.Microsecond, t
		}
	}
	if rest, ok := strings.CutPrefix(line, firstHead); ok {
		seq, usec, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseInt(usec, 10, 53)
		if err == nil {
			p.First, p.Wrapped = time.Duration(n)*time.Microsecond, seq != "0"
		}
	}
	if rest, ok := strings.CutPrefix(line, lostHead); ok {
		n, _ := strconv.ParseUint(rest, 10, 63) // 0: it is not known how many
		p.Lost += max(1, n)
	}
}
