package kmsg

import "strings"

// deviceMapper reads "thin: 253:3: switching pool to ...", "thin: Deletion of thin
// device 86 failed.", "table: 253:5: thin: ..." and the rest of dm.
//
// Source: Linux 3.10 to 6.12 drivers/md/dm-thin.c, dm-thin-metadata.c,
// persistent-data/, dm-table.c; include/linux/device-mapper.h, DM_MSG_PREFIX.
func deviceMapper(rest, _ string) (Event, bool) {
	module, message, ok := strings.Cut(rest, ": ")
	if !ok {
		return Event{}, false
	}
	e := Event{Family: FSError, Device: leadingNumbers(message)}
	switch {
	case module == "thin":
		return thin(e, message)
	case strings.HasPrefix(module, "thin") || strings.HasPrefix(module, "space map") || strings.HasPrefix(module, "btree") ||
		module == "block manager" || module == "transaction manager" || module == "array":
		e.Family = ThinPool
		return e, true
	case module == "table" && (strings.Contains(message, ": thin: ") || strings.Contains(message, ": thin-pool: ")):
		e.Family = ThinPool
		return e, true
	case module == "ioctl" && strings.HasPrefix(message, "error adding target to table"): // its cause was told before
		return e, false
	}
	if _, name, ok := strings.Cut(message, "unable to remove open device "); ok {
		e.Device = deviceWord(name)
	}
	return e, trouble(message)
}

// thin reads what the target says of a pool, or of a device inside of it.
func thin(e Event, message string) (Event, bool) {
	e.Family = ThinPool
	if id, ok := strings.CutPrefix(message, "Deletion of thin device "); ok {
		e.Family = ThinDelete
		e.Device, _, ok = strings.Cut(id, " failed")
		return e, ok
	}
	for _, made := range []string{"Creation of new thinly-provisioned device with id ", "Creation of new snapshot "} {
		if id, ok := strings.CutPrefix(message, made); ok {
			e.Device, _, _ = strings.Cut(id, " ")
			return e, strings.Contains(id, " failed")
		}
	}
	if strings.HasSuffix(strings.TrimRight(message, "."), "isabling discard passdown") || strings.HasPrefix(message, "version ") {
		return e, false // a setting
	}
	return e, true
}

// leadingNumbers reads the "253:3" that a message of dm begins with.
func leadingNumbers(s string) string {
	device, _, ok := strings.Cut(s, ": ")
	major, minor, colon := strings.Cut(device, ":")
	if !ok || !colon || !allDigits(major) || !allDigits(minor) {
		return ""
	}
	return device
}

// fileSystem reads "EXT4-fs error (device dm-7): ...", "EXT4-fs (dm-0): ...",
// "XFS (dm-3): ...", "BTRFS: error (device dm-0) in ...", "BTRFS error (device sda1 state EA): ...".
//
// Source: Linux 3.10 to 6.12 fs/ext4/super.c, fs/xfs/xfs_message.c, fs/btrfs/messages.c.
func fileSystem(rest, text string) (Event, bool) {
	e := Event{Family: FSError}
	head, message, _ := strings.Cut(text, ": ")
	if strings.HasPrefix(text, "BTRFS: ") { // the level and the device come after that
		more, after, _ := strings.Cut(message, ": ")
		head, message = head+" "+more, message+after
	}
	if before, in, ok := strings.Cut(head, "("); ok {
		in, _, _ = strings.Cut(in, ")")
		name, isDevice := strings.CutPrefix(in, "device ")
		if isDevice || !strings.Contains(before, ": ") {
			e.Device, _, _ = strings.Cut(name, " ")
		}
	}
	level := strings.ToLower(head)
	for _, word := range []string{" error", " critical", "-fs error", " alert", " emergency"} {
		if strings.Contains(level, word) {
			return e, true
		}
	}
	return e, !quiet(message) && trouble(message)
}

// quiet tells the messages of mounting, which print options such as errors=remount-ro.
func quiet(message string) bool {
	for _, begin := range []string{"mounted filesystem", "re-mounted", "mounting ", "Mounting ", "unmounting ", "Unmounting ", "recovery complete", "couldn't mount as ext", "Ending clean mount", "Starting recovery", "Ending recovery", "bdev "} {
		if strings.HasPrefix(message, begin) {
			return true
		}
	}
	return false
}

// trouble tells a message that something went wrong by its words.
func trouble(message string) bool {
	low := strings.ToLower(message)
	for _, word := range []string{"error", "fail", "corrupt", "shutdown", "shutting down", "shut down", "abort", "remounting filesystem read-only", "forced readonly", "unable", "lost", "deadlock", "repair", "rectify", "duplicate uuid", "can't", "cannot", "couldn't", "bad ", "invalid", "missing", "needs_check", "no space", "out of", "index full"} {
		if strings.Contains(low, word) {
			return true
		}
	}
	return false
}

// remounted reads "(dm-3): Remounting filesystem read-only" of any file system.
func remounted(text string) (Event, bool) {
	if !strings.HasSuffix(strings.TrimRight(text, "."), "emounting filesystem read-only") {
		return Event{}, false
	}
	e := Event{Family: FSError}
	if _, in, ok := strings.Cut(text[:min(len(text), headerRoom)], "("); ok {
		in, _, _ = strings.Cut(in, ")")
		e.Device = strings.TrimPrefix(in, "device ")
	}
	return e, true
}

// beyondEnd reads "attempt to access beyond end of device", with the device in the
// same message from 5.15 on.
//
// Source: Linux 3.10 to 6.12 block/blk-core.c, bio_check_eod.
func beyondEnd(text string) (Event, bool) {
	_, after, ok := strings.Cut(text[:min(len(text), headerRoom)], "attempt to access beyond end of device")
	device, _, _ := strings.Cut(strings.TrimLeft(after, "\n"), ": rw=")
	if strings.Contains(device, " ") {
		device = ""
	}
	return Event{Family: FSError, Device: device}, ok
}

// journal reads jbd2's messages, which name the journal: "superblock for dm-70-8."
//
// Source: Linux 3.10 to 6.12 fs/jbd2/journal.c; its name is the device's with the
// journal's inode behind it.
func journal(rest, _ string) (Event, bool) {
	if !trouble(rest) {
		return Event{}, false
	}
	e := Event{Family: FSError}
	for _, cue := range []string{" superblock for ", " flushing file data on ", " on device ", " for device ", " log ", " on "} {
		if _, name, ok := strings.Cut(rest, cue); ok {
			e.Device = journalDevice(name)
			break
		}
	}
	return e, true
}

func abortedJournal(rest, _ string) (Event, bool) {
	return Event{Family: FSError, Device: journalDevice(rest)}, true
}

// journalDevice takes the inode off "dm-70-8". An external journal is on a device
// of its own: "dm-70".
func journalDevice(s string) string {
	name := deviceWord(s)
	i := strings.LastIndexByte(name, '-')
	if i > 0 && allDigits(name[i+1:]) && strings.ContainsAny(name[:i], "0123456789") || i > 0 && name[:i] != "dm" && allDigits(name[i+1:]) {
		return name[:i]
	}
	return name
}

// deviceWord is the word at the beginning of s without what ends a sentence.
func deviceWord(s string) string {
	s, _, _ = strings.Cut(strings.TrimLeft(s, " "), " ")
	return strings.TrimRight(s, ".,:;)")
}

// onDevice reads "Buffer I/O error on dev dm-25, logical block 0, lost sync page
// write" and, before 3.16, "Buffer I/O error on device sda1, logical block 0".
//
// Source: Linux 3.10 to 6.12 fs/buffer.c, buffer_io_error.
func onDevice(rest, text string) (Event, bool) {
	rest = strings.TrimPrefix(rest, "ice ")
	return Event{Family: FSError, Device: deviceWord(rest)}, true
}

// blockError reads the block layer's "I/O error, dev sda, sector 123 op ...",
// whatever kind of error it is.
//
// Source: Linux 3.10 to 6.12 block/blk-core.c, blk_errors; block/blk-mq.c, blk_print_req_error.
func blockError(_, text string) (Event, bool) {
	kind, device, ok := strings.Cut(text, " error, dev ")
	if !ok || len(kind) > 64 {
		return Event{}, false
	}
	return Event{Family: FSError, Device: deviceWord(device)}, true
}

// swapError reads "(253:1:1234)": the device's numbers and the sector.
//
// Source: Linux 6.12 mm/page_io.c.
func swapError(rest, _ string) (Event, bool) {
	numbers, _, _ := strings.Cut(strings.TrimPrefix(rest, "("), ")")
	if i := strings.LastIndexByte(numbers, ':'); i > 0 && strings.Count(numbers, ":") == 2 {
		numbers = numbers[:i]
	}
	return Event{Family: FSError, Device: numbers}, true
}

// scsi reads "sd 2:0:0:0: [sda] tag#0 FAILED Result: ..." and "... Sense Key : Medium Error".
//
// Source: Linux 6.12 drivers/scsi/scsi_logging.c.
func scsi(rest, _ string) (Event, bool) {
	_, in, ok := strings.Cut(rest, "[")
	device, message, closed := strings.Cut(in, "]")
	if !ok || !closed || len(device) > 32 {
		return Event{}, false
	}
	for _, words := range []string{"FAILED Result", "Medium Error", "Hardware Error", "Unrecovered read error", "UNKNOWN(0x2003) Result", "Write Protect is on due to"} {
		if strings.Contains(message, words) {
			return Event{Family: FSError, Device: device}, true
		}
	}
	return Event{}, false
}

// nvme reads "nvme0: I/O 12 QID 3 timeout, aborting" and the end of a controller.
//
// Source: Linux 6.12 drivers/nvme/host/pci.c.
func nvme(rest, _ string) (Event, bool) {
	device, message, ok := strings.Cut(rest, ": ")
	bad := strings.Contains(message, "timeout") || strings.Contains(message, "controller is down") || strings.Contains(message, "Removing after probe failure") || strings.Contains(message, "Device not ready")
	return Event{Family: FSError, Device: device}, ok && bad
}

func plainError(string, string) (Event, bool) { return Event{Family: FSError}, true }
