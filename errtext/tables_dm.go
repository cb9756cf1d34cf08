package errtext

import (
	"strconv"
	"strings"
)

// number reads a whole number that is not below zero.
func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && s[0] != '+'
}

// ratio reads "422/524288".
func ratio(s string) (used, total int64, ok bool) {
	a, b, cut := strings.Cut(s, "/")
	used, ok1 := number(a)
	total, ok2 := number(b)
	return used, total, cut && ok1 && ok2
}

// word is words[i], "" outside.
func word(words []string, i int) string {
	if i < 0 || i >= len(words) {
		return ""
	}
	return words[i]
}

// statusTables reads dmsetup status word by word, since terminals and web pages
// wrap its lines: NAME: START LENGTH thin-pool ID USED/TOTAL USED/TOTAL ROOT MODE
// DISCARD NOSPACE NEEDSCHECK LOWMARK. Old kernels stop earlier.
func statusTables(words []string) []Table {
	var out []Table
	thin := int64(0)
	for i, w := range words {
		_, start := number(word(words, i-2))
		_, length := number(word(words, i-1))
		if !start || !length {
			continue
		}
		switch w {
		case "thin":
			thin++
		case "thin-pool":
			if t, ok := poolStatus(words, i); ok && len(out) < mostTables {
				out = append(out, t)
			}
		}
	}
	if len(out) == 1 && thin > 0 {
		out[0].ThinDevices = &thin // the status of a thin device does not name its pool
	}
	return out
}

// poolStatus reads the pool whose word thin-pool is words[i]. That of dmsetup
// table, which has a device's number next, is none.
func poolStatus(words []string, i int) (Table, bool) {
	t := Table{Kind: "dmsetup status"}
	if name, ok := strings.CutSuffix(word(words, i-3), ":"); ok {
		t.Pool = name
	}
	switch next := word(words, i+1); next {
	case "Fail", "Error":
		t.Mode = next
		return t, true
	}
	id, ok := number(word(words, i+1))
	metaUsed, metaTotal, ok2 := ratio(word(words, i+2))
	dataUsed, dataTotal, ok3 := ratio(word(words, i+3))
	if !ok || !ok2 || !ok3 {
		return Table{}, false
	}
	t.TransactionID, t.MetadataUsed, t.MetadataTotal, t.DataUsed, t.DataTotal = &id, metaUsed, metaTotal, dataUsed, dataTotal
	check := false
	for _, w := range words[min(i+4, len(words)):min(i+9, len(words))] {
		switch w {
		case "rw", "ro", "out_of_data_space":
			t.Mode = w
			t.NeedsCheck = &check
		case "queue_if_no_space":
			t.NoSpace = "queue"
		case "error_if_no_space":
			t.NoSpace = "error"
		case "needs_check":
			check = true
		}
		if strings.HasSuffix(w, ":") {
			break // the next device
		}
	}
	return t, true
}

// infoTables reads dmsetup info, a list of "Name: value" for each device.
func infoTables(lines []string) []Table {
	var out []Table
	var t *Table
	for _, l := range lines {
		name, value, ok := strings.Cut(l, ":")
		value = strings.TrimSpace(value)
		if !ok {
			continue
		}
		if name == "Name" && value != "" && len(out) < mostTables {
			out = append(out, Table{Kind: "dmsetup info", Device: value})
			t = &out[len(out)-1]
		}
		if t == nil {
			continue
		}
		n, isNumber := number(value)
		switch {
		case name == "State":
			t.State = value
		case name == "Major, minor":
			a, b, _ := strings.Cut(value, ",")
			major, ok1 := number(strings.TrimSpace(a))
			minor, ok2 := number(strings.TrimSpace(b))
			if ok1 && ok2 {
				t.Major, t.Minor = &major, &minor
			}
		case !isNumber:
		case name == "Open count":
			t.OpenCount = &n
		case name == "Event number":
			t.Events = &n
		case name == "Number of targets":
			t.Segments = &n
		}
	}
	kept := out[:0]
	for _, t := range out { // a "Name:" of another list has no numbers of a device
		if t.Major != nil || t.OpenCount != nil {
			kept = append(kept, t)
		}
	}
	return kept
}

// rowTables reads the rows of dmsetup info -c and of lvs, with or without their
// headings: a row is known by its shape.
func rowTables(lines []string) []Table {
	var out []Table
	for _, l := range lines {
		if len(out) == mostTables {
			break
		}
		words := strings.Fields(l)
		if t, ok := infoRow(words); ok {
			out = append(out, t)
		} else if t, ok := lvsRow(words); ok {
			out = append(out, t)
		}
	}
	return out
}

// infoRow reads NAME MAJOR MINOR STAT OPEN SEGMENTS EVENTS UUID, where STAT is
// like "L--w".
func infoRow(words []string) (Table, bool) {
	if len(words) < 7 || len(words) > 8 || len(words[3]) != 4 || strings.Trim(words[3], "LIswrRx-") != "" {
		return Table{}, false
	}
	var n [5]int64
	for k, at := range []int{1, 2, 4, 5, 6} {
		v, ok := number(words[at])
		if !ok {
			return Table{}, false
		}
		n[k] = v
	}
	return Table{Kind: "dmsetup info -c", Device: words[0], Major: &n[0], Minor: &n[1], OpenCount: &n[2], Segments: &n[3], Events: &n[4]}, true
}

// lvsRow reads a thin pool or thin volume of lvs: LV VG ATTR SIZE, then DATA%
// META% of a pool, or POOL ORIGIN DATA% of a volume.
func lvsRow(words []string) (Table, bool) {
	if len(words) < 5 || len(words[2]) < 8 || len(words[2]) > 10 || strings.IndexByte("tVT", words[2][0]) < 0 || !strings.Contains(words[2], "-") || strings.IndexByte("wrR", words[2][1]) < 0 {
		return Table{}, false
	}
	t := Table{Kind: "lvs", VG: words[1], Attr: words[2], Size: words[3]}
	var percents []string
	for _, w := range words[4:] {
		if _, err := strconv.ParseFloat(w, 64); err == nil {
			percents = append(percents, w)
		}
	}
	if words[2][0] == 't' {
		t.Pool = words[0]
		t.DataPercent, t.MetadataPercent = word(percents, 0), word(percents, 1)
		return t, t.DataPercent != ""
	}
	t.Device, t.Pool, t.DataPercent = words[0], words[4], word(percents, 0)
	return t, t.DataPercent != ""
}
