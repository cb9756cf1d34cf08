package errtext

import (
	"strings"
)

// A Table is what one table says of a thin pool or a device-mapper device. A
// field is empty or nil where it does not say.
type Table struct {
	Kind   string `json:"kind"` // dmsetup status, dmsetup info, dmsetup info -c, lvs, docker info, docker error, docker error + docker info
	Pool   string `json:"pool,omitempty"`
	Device string `json:"device,omitempty"` // of dmsetup info: the name
	VG     string `json:"vg,omitempty"`     // of lvs: the volume group
	State  string `json:"state,omitempty"`  // of dmsetup info, as printed: ACTIVE, SUSPENDED
	Attr   string `json:"attr,omitempty"`   // of lvs, as printed

	TransactionID *int64 `json:"transactionID,omitempty"`
	MetadataUsed  any    `json:"metadataUsed,omitempty"` // int64: blocks of 4 KiB, of dmsetup; string: as docker info prints it
	MetadataTotal any    `json:"metadataTotal,omitempty"`
	DataUsed      any    `json:"dataUsed,omitempty"` // int64: blocks of the pool, of dmsetup; string: as docker info prints it
	DataTotal     any    `json:"dataTotal,omitempty"`
	Mode          string `json:"mode,omitempty"`       // rw, ro, out_of_data_space; Fail, Error: the pool does not work
	NeedsCheck    *bool  `json:"needsCheck,omitempty"` // the metadata must be checked by thin_check before the pool is used
	NoSpace       string `json:"noSpace,omitempty"`    // what happens to writes when it is full: queue or error
	ThinDevices   *int64 `json:"thinDevices,omitempty"`

	Major     *int64 `json:"major,omitempty"`
	Minor     *int64 `json:"minor,omitempty"`
	OpenCount *int64 `json:"openCount,omitempty"`
	Segments  *int64 `json:"segments,omitempty"`
	Events    *int64 `json:"events,omitempty"`

	Size              string `json:"size,omitempty"` // of lvs
	DataPercent       string `json:"dataPercent,omitempty"`
	MetadataPercent   string `json:"metadataPercent,omitempty"`
	DataAvailable     string `json:"dataAvailable,omitempty"`
	MetadataAvailable string `json:"metadataAvailable,omitempty"`
	MinimumFree       string `json:"minimumFree,omitempty"`
	FreeDataBlocks    *int64 `json:"freeDataBlocks,omitempty"`
	RequiredBlocks    *int64 `json:"requiredDataBlocks,omitempty"`
	Loopback          *bool  `json:"loopback,omitempty"` // the pool is in files: slow, and full when their file system is

	Verdict string `json:"verdict,omitempty"` // what is wrong, in our words
	Says    string `json:"says,omitempty"`    // what the table tells, in a sentence or two
	Next    string `json:"next,omitempty"`    // what to do about that
}

// mostTables bounds the answer, as mostEvents does.
const mostTables = 10000

// Tables reads the tables of device-mapper in a text: dmsetup status and info,
// lvs, docker info, and docker's error about free blocks. Lines around them and
// wraps inside of them do not matter.
//
// Source: Linux 6.12 Documentation/admin-guide/device-mapper/thin-provisioning.rst;
// dmsetup(8), lvs(8); moby 17.09 daemon/graphdriver/devmapper/driver.go.
func Tables(text []byte) []Table {
	var lines []string
	var words []string
	for raw := range strings.Lines(string(text)) {
		l := line{text: clean(raw), times: 1}
		l.quoteMark()
		l.text = strings.TrimLeft(l.text, " \t*|")
		lines = append(lines, l.text)
		words = append(words, strings.Fields(l.text)...)
	}
	out := statusTables(words)
	out = append(out, infoTables(lines)...)
	out = append(out, rowTables(lines)...)
	if t, ok := dockerTable(lines); ok {
		out = append(out, t)
	}
	out = out[:min(len(out), mostTables)]
	for i := range out {
		out[i].Verdict = out[i].verdict()
		out[i].Says, out[i].Next = out[i].says(), out[i].next()
	}
	return out
}

// verdict says what the numbers mean, "" if nothing is wrong.
func (t Table) verdict() string {
	full := func(used, total any) bool { return used != nil && used == total }
	switch {
	case t.Mode == "Fail" || t.Mode == "Error":
		return "the pool has failed: its metadata must be repaired"
	case t.NeedsCheck != nil && *t.NeedsCheck:
		return "the pool's metadata must be checked by thin_check"
	case full(t.DataUsed, t.DataTotal) || t.Mode == "out_of_data_space" || t.DataPercent == "100.00":
		return "data space exhausted"
	case full(t.MetadataUsed, t.MetadataTotal) || t.MetadataPercent == "100.00":
		return "metadata space exhausted"
	case t.Mode == "ro":
		return "pool read-only though it is not full: its metadata could not be written, or its device has errors"
	case t.FreeDataBlocks != nil && *t.FreeDataBlocks == 0:
		return "data space exhausted"
	case t.FreeDataBlocks != nil:
		return "below docker's minimum free space, not full"
	case t.near(nearlyFull):
		return "nearly full"
	case strings.Contains(t.State, "SUSPENDED"):
		return "it is suspended: what is written to it waits"
	case strings.Contains(t.State, "DEFERRED REMOVE"):
		return "it is to be removed, and somebody still has it open"
	case len(t.Attr) >= 9 && t.Attr[8] != '-':
		return map[byte]string{'D': "data space exhausted", 'M': "metadata is read-only", 'F': "the pool has failed", 'p': "a physical volume is missing"}[t.Attr[8]]
	}
	return ""
}
