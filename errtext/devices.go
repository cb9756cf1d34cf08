package errtext

import "strings"

// deviceCues stand before the name of a device, a logical volume, a dataset or
// an image of rbd.
var deviceCues = []string{
	"failed to remove device ", "error unmounting device ", "unmounting device ", "error removing device ", "failed to deactivate device ", "unable to deactivate ", "failed to suspend ", "non existing device ", "thin-pool (", "unmap for spec (", "map for spec (",
	"logical volume ", "open logical volume ", "ioctl on ", "cannot destroy ", "cannot mount ", "cannot export ", "cannot unmount dataset ", "cannot unmount '", "cannot import ", "waiting for ", "(device ", "of thin device ", "delete thin device ", "on dev ", ", dev ", "journal superblock for ", "aborting journal on device ", "file data on ", "ext4-fs (", "xfs (", "btrfs (device ",
	"device-mapper: thin: ", "device-mapper: table: ", "device-mapper: multipath: ", "rbd image ", "rbd: image ", "rbd: error removing ", "thin pool ", "volume group ", "failed path ", "failing path ", "mapping ", "dataset ", "lv ", "thin volume ", "device ", "failed to activate ", "unmap image ", "luksclose ", "closing ", "rbd rm ", "rbd unmap ", "rbd map ", "périphérique ", "mapped device ", "removing ", "pool ", "deactivate open ", "deactivate ", "unmount of ", "device=", "device links for ", "[unmap ", "[map ",
}

// tokens that follow a cue and are no device.
var notDevices = []string{
	"or", "is", "busy", "has", "for", "with", "not", "already", "in", "of", "on", "the", "a", "an", "to", "and", "uuid", "file", "mapper", "may", "that", "which", "root", "mount", "mounted", "failed", "error", "container", "containers", "storage", "image", "images", "volume", "volumes", "layer", "path", "name", "no", "type", "does", "could", "cannot", "was", "metadata", "still", "plugin", "data", "network", "directory", "cgroup", "resource", "exclusively", "id", "netns", "from", "at", "by", "as", "contains", "rule", "rules", "could not", "transaction_id", "full", "read-only", "connection", "response", "condition", "lock", "unmount", "umount", "cleanup", "pod", "sandbox", "used", "must", "free", "tdata", "tmeta", "now", "be", "mode", "removal", "files", "process", "processes", "socket", "stale", "all", "snapshot", "snapshots", "filesystem",
}

// saidOfDevice are said of the name before them alone.
var saidOfDevice = []string{": map in use", ": dataset is busy", ": pool or dataset is busy", ": state change failed"}

// netCue ends what stands behind the name of a net device.
const netCue = " to become free"

// deviceOf finds the block device, dm device, dataset, logical volume, rbd image
// or net device that a failure is about.
func deviceOf(text, low string, v verdict) string {
	if before, _, ok := strings.Cut(low, netCue); ok {
		if i := strings.LastIndexByte(before, ' '); i >= 0 {
			return text[i+1 : len(before)]
		}
	}
	for _, said := range saidOfDevice {
		before, _, ok := strings.Cut(low, said)
		if !ok {
			continue
		}
		name := strings.Trim(before[strings.LastIndexAny(before, " \n")+1:], "'\"")
		if i := strings.LastIndex(before, name); name != "" && name[0] != '-' && name[0] != '/' && !contains(notDevices, name) {
			return text[i : i+len(name)]
		}
	}
	if p, ok := devPath(low, v.at); ok {
		return text[p.start:p.end]
	}
	if d, ok := kernelDevice(low, v.at); ok && text[d.start:d.end] == low[d.start:d.end] {
		return text[d.start:d.end]
	}
	if d, ok := imageOf(low); ok {
		return text[d.start:d.end]
	}
	for _, cue := range deviceCues {
		from := 0
		for range 4 {
			i := strings.Index(low[from:], cue)
			if i < 0 {
				break
			}
			from += i + len(cue)
			if start := from - len(cue); start > 0 && isLetter(low[start-1]) && isLetter(cue[0]) {
				continue // the end of a longer word
			}
			if d, ok := deviceName(low, from); ok && !((cue == "pool " || cue == "waiting for ") && allDigits(low[d.start:d.end])) { // of dmsetup status, a count
				return text[d.start:d.end]
			}
		}
	}
	return ""
}

// imageOf finds the image that rbd was told to map or unmap, behind its options:
// "rbd args: [--id x map pool/image]".
func imageOf(low string) (span, bool) {
	begin := strings.Index(low, "rbd args: [")
	if begin < 0 {
		return span{}, false
	}
	end := begin + leading(low[begin:], func(c byte) bool { return c != ']' })
	for _, verb := range []string{" map ", " unmap "} {
		i := strings.Index(low[begin:end], verb)
		if i < 0 {
			continue
		}
		start := begin + i + len(verb)
		n := leading(low[start:end], func(c byte) bool { return c != ' ' })
		return span{start, start + n}, n > 0 && low[start] != '-'
	}
	return span{}, false
}

// devPath finds the path of a device: the nearest before at, else the first.
func devPath(low string, at int) (span, bool) {
	var best span
	found := false
	for from, n := 0, 0; n < 64; n++ {
		p, ok := nextPath(low, from)
		if !ok {
			break
		}
		if from = p.end; !isDevPath(low[p.start:p.end]) || found && p.end > at {
			continue
		}
		best, found = p, true
		if colon := strings.IndexByte(low[p.start:p.end], ':'); colon > 0 && p.start+colon+1 < p.end && isLetter(low[p.start+colon+1]) {
			best.end = p.start + colon
		}
	}
	return best, found
}

// kernelDevices begin the names that the kernel gives to block devices, and
// what follows: a letter (sda) or a digit (md0).
//
// Source: Linux 6.12 Documentation/admin-guide/devices.txt.
var kernelDevices = map[string]func(byte) bool{
	"sd": isLetter, "hd": isLetter, "vd": isLetter, "xvd": isLetter,
	"nvme": isDigit, "dm-": isDigit, "md": isDigit, "loop": isDigit, "rbd": isDigit, "nbd": isDigit, "drbd": isDigit, "zram": isDigit, "zd": isDigit, "mmcblk": isDigit, "bcache": isDigit, "pmem": isDigit,
}

// kernelDevice finds the name of a block device that the words at are said of,
// "md: md0 still in use", or that the text begins with, perhaps behind a word:
// "drbd0: State change failed".
func kernelDevice(low string, at int) (span, bool) {
	if d, ok := saidOf(low, at); ok {
		return d, true
	}
	if i := strings.Index(low, ": ["); i >= 0 { // sd 3:0:0:1: [sdb] text
		n := leading(low[i+3:], isKernelName)
		if strings.HasPrefix(low[i+3+n:], "] ") && isKernelDevice(low[i+3:i+3+n]) {
			return span{i + 3, i + 3 + n}, true
		}
	}
	begin := 0
	if head, _, ok := strings.Cut(low, ": "); ok && strings.HasPrefix(low, "drbd ") && strings.Count(head, " ") == 2 {
		begin = strings.LastIndexByte(head, ' ') + 1 // drbd resource/0 drbd1000: text
	} else if n := leading(low, isKernelName); strings.HasPrefix(low[n:], " ") {
		begin = n + 1 // block nbd0: text
	} else if strings.HasPrefix(low[n:], ": ") && !isKernelDevice(low[:n]) {
		begin = n + 2 // rbd: rbd0: text
	}
	n := leading(low[begin:], isKernelName)
	return span{begin, begin + n}, strings.HasPrefix(low[begin+n:], ": ") && isKernelDevice(low[begin:begin+n])
}

// saidOf finds the kernel's name of a block device right before at.
func saidOf(low string, at int) (span, bool) {
	before := strings.TrimSuffix(strings.TrimRight(low[:at], " "), "device or") // resource busy
	end := len(strings.TrimRight(strings.TrimSuffix(strings.TrimRight(before, " "), " is"), " :"))
	n := trailing(low[:end], isKernelName)
	return span{end - n, end}, isKernelDevice(low[end-n:end]) && (end == n || low[end-n-1] != '/')
}

func isKernelName(c byte) bool { return isLetter(c) || isDigit(c) || c == '-' }

func isKernelDevice(name string) bool {
	for prefix, in := range kernelDevices {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && len(rest) <= 8 && in(rest[0]) && (isDigit(rest[0]) || leading(rest, isLetter) <= 3) {
			return true
		}
	}
	return false
}

// isDevPath tells a block device from the other files of /dev.
func isDevPath(path string) bool {
	name, ok := strings.CutPrefix(path, "/dev/")
	if !ok || name == "" {
		return false
	}
	for _, no := range []string{"shm", "mqueue", "pts", "null", "fuse", "kvm", "net/", "kmsg", "console", "tty", "hugepages", "termination-log", "stdin", "stdout", "stderr", "fd/", "zero", "random", "urandom", "vhost", "video", "snd", "nvidia"} {
		if strings.HasPrefix(name, no) {
			return false
		}
	}
	return true
}

// deviceName reads the name at from: quoted, in parentheses, or one word, and
// "" if it is a word of the sentence.
func deviceName(low string, from int) (span, bool) {
	i := from + leading(low[from:], func(c byte) bool { return c == ' ' })
	quoted, word := false, true
	if i < len(low) && strings.IndexByte("\"'(", low[i]) >= 0 {
		word = low[i] == '('
		quoted = !word
		i++
	}
	n := leading(low[i:], func(c byte) bool { return c > ' ' && !strings.ContainsRune("\"'(),;=<>[]{}", rune(c)) })
	n = len(strings.TrimSuffix(low[i:i+n], ":"))
	if !strings.HasSuffix(low[i:i+n], "...") {
		n = len(strings.TrimRight(low[i:i+n], ".:"))
	}
	if colon := strings.IndexByte(low[i:i+n], ':'); colon > 0 && colon+1 < n && isLetter(low[i+colon+1]) && !quoted {
		n = colon // what went wrong with it
	}
	name := low[i : i+n]
	if n == 0 || n > 255 || word && contains(notDevices, name) || strings.Contains(name, ":/") || strings.HasSuffix(name, "-") {
		return span{}, false
	}
	if stem, ok := strings.CutSuffix(name, "-8"); ok && isKernelDevice(stem) && (strings.Contains(low[:from], "journal ") || strings.HasPrefix(low, "jbd2: ")) {
		n = len(stem) // JBD2 adds the number of the inode that is the journal
	}
	if isNumbers(name) {
		return span{i, i + n}, true
	}
	busy := strings.HasSuffix(low[:from], "device ") && hasPrefix(low[i+n:], []string{" is busy", " is still in use", " is in use"})
	plain := !busy && leading(name, func(c byte) bool { return isLetter(c) || c == '\'' }) == n
	if strings.HasPrefix(name, "/") || strings.Contains(name, ": ") || plain && !quoted && !isKernelDevice(name) && !strings.HasSuffix(low[:from], "ioctl on ") {
		return span{}, false
	}
	return span{i, i + n}, true
}

func allDigits(s string) bool { return s != "" && leading(s, isDigit) == len(s) }
