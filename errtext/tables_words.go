package errtext

import (
	"fmt"
	"strconv"
	"strings"
)

const nearlyFull = 0.8 // share of data or metadata

// says tells what a table has, in words.
func (t Table) says() string {
	switch t.Kind {
	case "dmsetup info", "dmsetup info -c":
		return t.infoWords()
	case "lvs":
		return t.lvsWords()
	}
	name := "The pool"
	if t.Pool != "" {
		name = "Pool " + t.Pool
	}
	var parts []string
	if part := used("data", t.DataUsed, t.DataTotal); part != "" {
		parts = append(parts, part)
	}
	if part := used("metadata", t.MetadataUsed, t.MetadataTotal); part != "" {
		parts = append(parts, part)
	}
	if t.FreeDataBlocks != nil && t.RequiredBlocks != nil {
		parts = append(parts, fmt.Sprintf("has %d free blocks of data, and docker wants to keep %d free (dm.min_free_space)", *t.FreeDataBlocks, *t.RequiredBlocks))
	}
	if t.Mode != "" {
		parts = append(parts, "is in mode "+t.Mode)
	}
	switch t.NoSpace {
	case "queue":
		parts = append(parts, "lets writes wait when it is full, their processes in state D, until no_space_timeout of dm_thin_pool is over (60 s; 0: never)")
	case "error":
		parts = append(parts, "fails writes when it is full")
	}
	if t.Loopback != nil && *t.Loopback {
		parts = append(parts, "is in files on loop devices, which is slow and no more than for trials")
	}
	if len(parts) == 0 {
		return name + " is there."
	}
	return name + " " + strings.Join(parts, ", ") + "."
}

// used says "uses 422 of 524288 blocks of metadata (0 %)".
func used(what string, is, all any) string {
	if is == nil || all == nil {
		return ""
	}
	unit := ""
	if _, blocks := is.(int64); blocks {
		unit = " blocks"
	}
	text := fmt.Sprintf("uses %v of %v%s of %s", is, all, unit, what)
	if share, ok := shareOf(is, all); ok {
		text += fmt.Sprintf(" (%d %%)", int(share*100))
	}
	return text
}

func (t Table) infoWords() string {
	text := "Device " + t.Device
	if t.Major != nil && t.Minor != nil {
		text += fmt.Sprintf(" (%d:%d)", *t.Major, *t.Minor)
	}
	if t.State != "" {
		text += " is " + t.State
	}
	switch {
	case t.OpenCount == nil:
		return text + "."
	case t.State != "":
		text += " and"
	}
	if *t.OpenCount == 0 {
		return text + " is open nowhere: no mount, no device on top of it, no file."
	}
	return fmt.Sprintf("%s is open (count %d): by mounts, in whatever namespace, by devices on top of it, or by files.", text, *t.OpenCount)
}

func (t Table) lvsWords() string {
	name := "Pool " + t.Pool
	if t.Device != "" {
		name = "Volume " + t.Device + " of pool " + t.Pool
	}
	text := fmt.Sprintf("%s in group %s is %s large, %s %% of it in use", name, t.VG, t.Size, t.DataPercent)
	if t.MetadataPercent != "" {
		text += fmt.Sprintf(", and %s %% of its metadata", t.MetadataPercent)
	}
	if len(t.Attr) >= 5 && t.Attr[4] != 'a' {
		text += "; it is not active"
	}
	return text + "."
}

// next is what to do about what a table tells.
func (t Table) next() string {
	device := t.Device
	if t.Major != nil && t.Minor != nil {
		device = fmt.Sprintf("%d:%d", *t.Major, *t.Minor)
	}
	switch v := t.Verdict; {
	case strings.Contains(v, "failed") || strings.Contains(v, "thin_check"):
		return "save the metadata first (dd of its device), then thin_check it, and lvconvert --repair or thin_repair; sexton kmsg tells why it failed"
	case v == "data space exhausted" || v == "nearly full" || strings.HasPrefix(v, "below docker's minimum"):
		return "make it larger (" + t.grow("lvextend -L +SIZE ") + "), or remove containers and images and run fstrim on what stays; sexton scan --check thin-pool-space tells who waits, and whether it grows by itself"
	case v == "metadata space exhausted":
		return "make its metadata larger: " + t.grow("lvextend --poolmetadatasize +SIZE ")
	case strings.Contains(v, "suspended"):
		return "dmsetup resume " + t.Device + ", once nobody works on its table any more"
	case strings.Contains(v, "read-only") || strings.Contains(v, "missing"):
		return "look for errors of its devices: sexton kmsg; dmsetup table names them"
	case t.OpenCount != nil && *t.OpenCount > 0:
		return "who has it open: sexton holders " + device
	}
	return ""
}

func (t Table) grow(command string) string {
	if t.VG != "" && t.Pool != "" {
		return command + t.VG + "/" + t.Pool
	}
	return command + "GROUP/POOL"
}

// near tells that data or metadata is in use to this share.
func (t Table) near(share float64) bool {
	for _, pair := range [][2]any{{t.DataUsed, t.DataTotal}, {t.MetadataUsed, t.MetadataTotal}} {
		if is, ok := shareOf(pair[0], pair[1]); ok && is >= share {
			return true
		}
	}
	for _, percent := range []string{t.DataPercent, t.MetadataPercent} {
		if is, err := strconv.ParseFloat(percent, 64); err == nil && t.Device == "" && is >= share*100 {
			return true
		}
	}
	return false
}

// shareOf is how much of a whole is used, of blocks or of sizes as docker prints them.
func shareOf(is, all any) (float64, bool) {
	a, ok1 := amount(is)
	b, ok2 := amount(all)
	if !ok1 || !ok2 || b <= 0 || a < 0 {
		return 0, false
	}
	return a / b, true
}

// amount reads 422 or "85.9GB".
//
// Source: docker/go-units size.go: units of 1000.
func amount(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case string:
		digits := strings.TrimRight(v, "BkKMGTPEi ")
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return 0, false
		}
		for _, unit := range []string{"k", "M", "G", "T", "P", "E"} {
			n *= 1000
			if strings.HasPrefix(strings.ToLower(v[len(digits):]), strings.ToLower(unit)) {
				return n, true
			}
		}
		return n / 1e18, true
	}
	return 0, false
}
