package godump

import "bytes"

// piece takes a line of the text. journald cuts a message at 48 KiB, docker and the
// CRI at 16, so an escaped dump that is longer is in several entries: where one of
// them ends amid a line, the next goes on with it.
//
// Source: journald.conf(5), LineMax; moby daemon/logger/copier.go; containerd
// internal/cri/io/logger.go.
func (d *reader) piece(line []byte, escaped bool) {
	if p := d.pending; d.waiting {
		d.waiting = false
		rest, ok := d.goesOn(line, escaped)
		whole := bytes.TrimRight(p, `\\`)
		switch {
		case !ok:
			d.line(p)
			d.inside = false
		case len(whole) < len(p) && bytes.HasPrefix(rest, []byte("n")): // an escape was cut
			d.line(whole)
			line = rest[1:]
		default:
			d.buf = append(p, rest...)
			line = d.buf
		}
	}
	open := !escaped && d.inside && d.last != nil && d.last.begun
	d.inside = escaped || open
	if open && !bytes.HasPrefix(line, []byte(`"`)) && len(line) <= longest && !bytes.Contains(line, []byte("=== END")) {
		d.buf = append(d.buf[:0], endOfMessage(line)...)
		d.pending, d.waiting = d.buf, true
		return
	}
	d.line(line)
}

// goesOn tells whether a line goes on with the pending one, and what of it: it is of
// the same writer and begins nothing of its own. If it is empty, the cut was before an escape.
func (d *reader) goesOn(line []byte, escaped bool) (rest []byte, ok bool) {
	if rest = line; d.last.writer != "" {
		prefix := []byte(d.last.writer + ": ")
		k := bytes.Index(line[:min(len(line), 300)], prefix)
		if k < 0 {
			return nil, false
		}
		rest = line[k+len(prefix):]
	} else if bytes.HasPrefix(line, []byte("{")) {
		rest = message(line)
	} else {
		rest = afterStream(line)
	}
	for _, own := range []string{"goroutine ", "time=", "SIGQUIT", `{"`} {
		if bytes.HasPrefix(rest, []byte(own)) {
			return nil, false
		}
	}
	return rest, len(rest) > 0 || escaped
}

// endOfMessage cuts off what an object of JSON has behind its message.
func endOfMessage(line []byte) []byte {
	for _, end := range []string{`","`, `", "`, `"}`} {
		if k := bytes.Index(line, []byte(end)); k >= 0 {
			return line[:k]
		}
	}
	return line
}

// afterStream takes off what the CRI puts before a part of a message: "TIME stderr P ".
func afterStream(line []byte) []byte {
	for _, cue := range []string{" stderr P ", " stderr F ", " stdout P ", " stdout F "} {
		if k := bytes.Index(line[:min(len(line), 64)], []byte(cue)); k > 0 && bytes.IndexByte(line[:k], ' ') < 0 {
			return line[k+len(cue):]
		}
	}
	return line
}

// octal reads a message in which rsyslog wrote newlines as #012.
//
// Source: rsyslog, $EscapeControlCharactersOnReceive.
func (d *reader) octal(line []byte) {
	first, rest, _ := bytes.Cut(line, octalNewline)
	if k := bytes.Index(first, []byte(": ")); k >= 0 {
		d.of(first[:k+1])
	}
	d.line(first)
	d.same = true
	for part := range bytes.SplitSeq(rest, octalNewline) {
		d.line(part)
	}
	d.same = false
}

var octalNewline = []byte("#012")
