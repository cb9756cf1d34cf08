package kmsg

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// ParseRecord parses one record of /dev/kmsg, as one read(2) returns it:
//
//	PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,KEY=VALUE...];TEXT\n
//	 KEY=VALUE\n
//
// PRIORITY is level + 8*facility. Who writes to /dev/kmsg can have any facility
// but 0, so Kernel tells a real message from one that looks so. In TEXT what is
// not printable, and the backslash, is \xNN; it is undone here. Errors wrap
// [ErrFormat].
//
// Source: Linux 6.12 Documentation/ABI/testing/dev-kmsg, kernel/printk/printk.c,
// devkmsg_write and msg_add_ext_text.
func ParseRecord(raw []byte) (Record, error) {
	line, more, _ := bytes.Cut(raw, []byte{'\n'})
	head, text, ok := strings.Cut(string(line), ";")
	fields := strings.Split(head, ",")
	if !ok || len(head) > 256 || len(fields) < 4 {
		return Record{}, bad("no header in", string(line))
	}
	pri, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return Record{}, bad("priority", fields[0])
	}
	r := Record{Kernel: pri>>3 == 0}
	if r.Seq, err = sequence(fields[1]); err != nil {
		return Record{}, bad("sequence number", fields[1])
	}
	usec, err := strconv.ParseUint(fields[2], 10, 63)
	if err != nil || usec > 1<<53 { // 285 years
		return Record{}, bad("microseconds", fields[2])
	}
	r.Boot = time.Duration(usec) * time.Microsecond
	r.Partial = fields[3] == "c" || fields[3] == "+"
	for _, f := range fields[4:] {
		if caller, ok := strings.CutPrefix(f, "caller="); ok {
			r.Caller = caller
		}
	}
	r.Text = unescape(text)
	for l := range bytes.Lines(more) {
		if dev, ok := bytes.CutPrefix(bytes.TrimSpace(l), []byte("DEVICE=b")); ok && len(dev) < 16 {
			r.Device = string(dev)
		}
	}
	return r, nil
}

// sequence parses a number of the kernel's 64 bits, which it will never use up.
func sequence(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// unescape undoes \xNN.
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i+4 <= len(s) && s[i] == '\\' && s[i+1] == 'x' {
			if c, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
