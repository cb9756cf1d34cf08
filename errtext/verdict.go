package errtext

import (
	"slices"
	"strings"
	"sync"
)

// A verdict is what the words of a record say happened.
type verdict struct {
	family  Family
	cause   string
	noLeak  string
	at      int  // where the words that decide begin
	context bool // goes with a verdict nearby, and is none alone
}

// A rule gives a verdict to texts that have one of its phrases, and one of the
// phrases of with if there are any, and none of not.
type rule struct {
	verdict
	any, with, not []string
}

// judge finds the verdict of a record. The first rule that matches decides, so
// what is certain stands before what is likely.
func judge(low string) (verdict, bool) {
	if !tellingWords().in(low) {
		return verdict{}, false
	}
	if v, ok := certainRules.first(low); ok {
		return v, true
	}
	if v, ok := busy(low); ok {
		return v, true
	}
	if v, ok := likelyRules.first(low); ok {
		return v, true
	}
	if at, ok := timedOut(low); ok {
		return verdict{family: RuntimeHang, cause: slow, at: at}, true
	}
	if v, ok := restRules.first(low); ok {
		return v, true
	}
	if at := strings.Index(low, "umount: /"); at >= 0 && leading(low, func(c byte) bool { return c < 0x80 }) < len(low) {
		return verdict{family: MountBusy, cause: "an unmount failed, most often since it is busy; in which words is not known", at: at}, true
	}
	return verdict{}, false
}

// timedOut tells that a part of a sentence ends in "timeout": what timed out is
// before it. A setting has its value behind, or says that it is set.
func timedOut(low string) (int, bool) {
	for from := 0; ; {
		i := strings.Index(low[from:], "timeout")
		if i < 0 {
			return 0, false
		}
		at := from + i
		from = at + len("timeout")
		rest := low[from:]
		if value, ok := strings.CutPrefix(rest, ": "); ok && value != "" && !isDigit(value[0]) && !hasWord(low[:at], []string{"set ", "with "}) {
			return at, true
		}
		if at == 0 || low[at-1] != ' ' || strings.HasPrefix(rest, ": ") {
			continue
		}
		if rest == "" || strings.IndexByte("\"'(),;:\n", rest[0]) >= 0 || rest[0] == ' ' && fieldName(rest[1:]) > 0 {
			return max(0, at-1), true
		}
	}
}

func first(rules []rule, low string) (verdict, bool) {
	for _, r := range rules {
		at, ok := hasAny(low, r.any...)
		if !ok {
			continue
		}
		if _, with := hasAny(low, r.with...); !with && len(r.with) > 0 {
			continue
		}
		if _, not := hasAny(low, r.not...); not {
			continue
		}
		r.verdict.at = at
		return r.verdict, true
	}
	return verdict{}, false
}

// stems are in most texts that a rule reads, so that the quiet lines of a log are
// passed over soon.
var stems = []string{
	"busy", "fail", "err", "can", "able", "not ", "time", "oom", "kill", "memory cgroup", "mems_allowed", "zombie", "defunct", "use", "thin", "pool", "refuse", "denied", "invalid", "deadline", "block", "reject", "unexpected", "fatal", "conflict", "mount", "fork", "exhaust", "limit", "process", "space", "device", "stuck", "hung", "lock", "reserved", "progress", "still", "wait", "stale", "host", "empty", "permission", "pleg", "closed", "already", "full", "stall", "low on", "medium", "active", "exclusiv", "sigterm", "resource", "pod", "abort", "shut", "corrupt", "memory", "down", "exist", "session", "read-only", "pressure", "stopped", "notready", "job is running", "long time",
}

// tellingWords has the stems, and the phrases of rules that have none of them. A text
// that is not ASCII may be in any language.
var tellingWords = sync.OnceValue(func() *sieve {
	known, all := newSieve(stems), append(slices.Clone(stems), busyAbroad...)
	for _, r := range slices.Concat(certain, noLeaks, likely, rest) {
		if without := func(p string) bool { return !known.in(p) }; len(r.with) > 0 && !slices.ContainsFunc(r.with, without) {
			continue // it needs a word that has one
		}
		for _, p := range r.any {
			if !known.in(p) {
				all = append(all, p)
			}
		}
	}
	return newSieve(all)
})

// failed is what every error says in one way or the other.
var failed = []string{"fail", "error", "cannot", "can't", "could not", "couldn't", "unable", "not ", "refused", "denied", "invalid", "timed out", "timeout", "warning", "deadline", "blocked", "rejected", "unexpected", "fatal", "panic", "abort", "conflict", "no such"}

// errnos are what libc says of common errors behind a colon.
var errnos = []string{": no such file or directory", ": file exists", ": not a directory", ": is a directory", ": broken pipe", ": bad file descriptor", ": too many open files", ": too many levels of symbolic links", ": operation not supported", ": function not implemented", ": file name too long", ": protocol error", ": file too large"}

// saysError tells that a text without a rule of its own has an errno's words, or
// says what went wrong as programs in Go do: "error creating x".
func saysError(low string) bool {
	if _, ok := hasAny(low, errnos...); ok {
		return true
	}
	i := strings.Index(low, "error ")
	if i < 0 || i > 0 && isLetter(low[i-1]) {
		return false
	}
	verb := low[i+len("error "):]
	return strings.HasSuffix(verb[:leading(verb, isLetter)], "ing")
}

// busyPhrases are EBUSY in the spellings of libc, tools and daemons.
var busyPhrases = []string{
	"resource busy", "device is busy", "device busy", "target is busy", "pool or dataset is busy", "mountpoint or dataset is busy", "dataset is busy", "pool is busy", "mount point is busy", "mount point busy", "ebusy", "text file busy", "errno 16", "errno=16", "errno: 16", "error is 16", "(16)", " is busy", "os error 16", "resource is busy", "or busy", "map in use", "still busy", "volume busy", "file busy",
}

// busyAbroad is EBUSY in other languages.
//
// Source: the translations of glibc, util-linux.
var busyAbroad = []string{
	"设备或资源忙", "設備或資源忙碌中", "裝置或系統資源忙碌中", "目标忙", "デバイスもしくはリソースがビジー状態です", "デバイスもしくはリソースがビジー", "장치나 자원이 동작 중", "ist belegt", "wird gerade benutzt", "occupé", "périphérique ou ressource", "recurso ocupado", "está ocupado", "risorsa occupata", "è occupat", "устройство или ресурс занято", "Устройство или ресурс занято", "zasoby zajęte", "jest zajęt", "is bezig", "meşgul", "är upptagen", "er optaget", "er opptatt", "resurssi varattu", "erőforrás foglalt", "ресурс зайнят", "recurs ocupat", "je zaneprázdněn", "jsou používány", "đang bận",
}

var abroad = lazySieve(busyAbroad)

// inUse are weaker words: they mean EBUSY for a device or a mount alone.
var inUse = []string{
	"filesystem in use", "in use by the system", "is still in use", "still in use", "is used by another", "currently in use", "already mounted", "still mounted", "is mounted", "being used", "in use.", "open logical volume", "in use by", "currently mapped", "still being used", "has watchers", "exclusively", "exclusive access", "used by another device", "currently used by", "is in use", "can't remove open", "exit status 16", "contains a filesystem in use", "not unmounted", "still attached", "busy", "could not logout", "error (9 - internal error)", "device not unmapped", "mounts still exist", "has active", "has dependent", "holders", "contains a mounted", "deactivate open", "remove open device", "held open", "still contains", "is used as thin pool", "currently mounted", "is prohibited while", " open device(s)", "open file descriptors", "overlapping loop device", "is using it", "session exists", "process using the image", "unable to deactivate", "can't remove physical volume",
}

// inUseDevice are weaker still: they mean EBUSY for a device alone.
var inUseDevice = []string{" in use", "is used by"}

// deviceWords are operations on a block device, a dataset or a logical volume.
var deviceWords = []string{
	"remove device", "removedevice", "unmounting device", "device is busy", "logical volume", "ioctl on", "unmap", "rbd: ", "luksclose", "losetup", "detach failed", "apparently in use", "mkfs", "mke2fs", "wipefs", "pvcreate", "vgremove", "lvremove", "mdadm", "cryptsetup", "still in use", "dataset", "pool is busy", "zfs destroy", "multipath", "map in use", "iscsiadm", "logout", "has watchers", "rbd image", "vgchange", "open count", "exclusively", "exclusive access", "blkdiscard", "sgdisk", "blockdev", "partprobe", "dmsetup", "delete_thin", "thin device", "deactivate", "unmapping", "detach", "device-mapper", "devmapper", "devicemapper", "nbd", "loop device", "swapoff", "blkid", "fsck", "open /dev/", "opening /dev/", "open device", "volume group", "physical volume", "physical drive", "/dev/rbd", "unstage", "partition", "this disk", "problem opening", "blkrrpart", "swapon", "drbd", " lv ", "not deactivating", "resize2fs", "tune2fs", "targetcli", " lun ", " lun:", "held open", "mapped device", "dm core error", "dm_dev_",
}

// mountWords are operations on a mount or on a directory entry.
var mountWords = []string{
	"umount", "unmount", "unlink", "rename", "rmdir", "remove", "removing", "mount", "rm:", "mv:", "delete", "replacing", "subvolume", "cleanup", "clean up", "removal", "destroy", "filesystem", "pivot_root", "switch_root",
}

// unknownBusy is the cause where all that is said is EBUSY.
const unknownBusy = "something is busy; the text does not say what"

// busy judges what is busy or in use: a mount, a device, or neither.
func busy(low string) (verdict, bool) {
	if strings.Contains(low, "busybox") {
		low = strings.ReplaceAll(low, "busybox", "_______") // a name
	}
	at, strong := hasAny(low, busyPhrases...)
	if !strong && abroad().in(low) {
		at, strong = hasAny(low, busyAbroad...)
	}
	if v, ok := noLeakRules.first(low); ok {
		if strong {
			v.at = at
		}
		return v, true
	}
	deviceOnly := false
	if !strong {
		weak := false
		if at, weak = hasAny(low, inUse...); !weak {
			if at, deviceOnly = hasAny(low, inUseDevice...); !deviceOnly || isFigure(low[at:]) {
				return verdict{}, false
			}
		}
	}
	if _, asked := hasAny(low[max(0, at-64):at], "whether ", "check if "); asked && !strong && !strings.Contains(low, " in use") {
		return verdict{}, false // that it could not find out
	}
	device, onDevice := hasAny(low, deviceWords...)
	_, onMount := hasAny(low, mountWords...)
	block, path := objects(low)
	if _, mounts := hasAny(low, "already mounted or ", "mount point busy", "rm: cannot remove", "rmdir: failed to remove"); mounts {
		onDevice = false // mount names both, and cannot tell which; rm knows no devices
	}
	_, unmounts := hasAny(low, "umount", "unmount")
	_, isDevice := saidOf(low, at)
	if block && !path && !unmounts || busyDevice(low, at) || isDevice && !unmounts {
		device, onDevice = 0, true
	}
	v := verdict{at: at}
	switch {
	case onDevice && !(path && (attachedMount(low, at) || busyPathBehind(low, at))):
		v.family, v.cause = DeviceBusy, "the device is held: by a mount in some mount namespace, a device on top of it, or an open file"
		if _, exclusive := hasAny(low[device:], "exclusively", "exclusive access"); exclusive {
			v.noLeak = "an open that wants the device alone was refused; a partition, volume or array on top of it does that, too"
		}
	case onMount && strong:
		v.family, v.cause = MountBusy, "it is a mount point in some mount namespace, or open in one"
	case onMount && path && !deviceOnly:
		v.family, v.cause = MountBusy, "it is mounted or open elsewhere"
	case strong && (busyPath(low, at) || busyPathBehind(low, at)):
		v.family, v.cause = MountBusy, "it is a mount point in some mount namespace, or open in one"
	case strong:
		v.family, v.cause = Other, unknownBusy
	default:
		return verdict{}, false
	}
	return v, true
}

// isFigure tells how much is in use from that something is: "in use: 12 GB".
func isFigure(text string) bool {
	rest := strings.TrimLeft(strings.TrimPrefix(text, inUseDevice[0]), ": ")
	return rest != "" && isDigit(rest[0]) || strings.HasPrefix(rest, "count")
}

// busyPath tells that a path alone is said to be busy, without what was done to it.
func busyPath(low string, at int) bool {
	p, ok := pathBefore(low, at)
	if !ok || !attached(low, p.end, at) || isDevPath(low[p.start:p.end]) {
		return false
	}
	_, used := hasAny(low[max(0, p.start-12):p.start], "open", "write", "read", "exec", "connect")
	return !used
}

// busyDevice tells that the phrase at is said of what the text calls a device:
// "Device luks-1 is busy", "Le périphérique luks-1 est toujours occupé".
func busyDevice(low string, at int) bool {
	for _, word := range []string{"device ", "périphérique ", "gerät "} {
		i := strings.LastIndex(low[:at], word)
		if i < 0 {
			continue
		}
		d, ok := deviceName(low, i+len(word))
		if ok && d.end <= at && (attached(low, d.end, at) || word != "device " && at-d.end < 24) {
			return true
		}
	}
	return false
}

// busyPathBehind tells that the phrase at is said of the path behind it, as
// Python prints errors: "[Errno 16] Device or resource busy: '/mnt'".
func busyPathBehind(low string, at int) bool {
	p, ok := nextPath(low, at)
	if !ok || p.start-at > 32 {
		return false
	}
	path := low[p.start:p.end]
	for _, no := range []string{"/dev/", "/proc/", "/sys/"} {
		if strings.HasPrefix(path, no) {
			return false
		}
	}
	return strings.HasSuffix(strings.TrimRight(low[at:p.start], "'\"b"), ": ")
}

// objects tells whether a text has paths that an error may be about: of block
// devices, and of anything else.
func objects(low string) (block, other bool) {
	for from, n := 0, 0; n < 64; n++ {
		p, ok := nextPath(low, from)
		if !ok {
			break
		}
		if from = p.end; isDevPath(low[p.start:p.end]) {
			block = true
		} else {
			other = other || isObject(low, p)
		}
	}
	return block, other
}

// attachedMount tells that the phrase at is said of a path that is no device:
// "umount: /mnt: target is busy".
func attachedMount(low string, at int) bool {
	p, ok := pathBefore(low, at)
	if !ok {
		return false
	}
	_, unlinked := hasAny(low[max(0, p.start-48):min(len(low), p.start+1)], "umount", "unmount", "unlink", "remove ", "rename", "rmdir", "rm:", "mount", " on '", " on \"", " on /")
	return attached(low, p.end, at) && unlinked && !strings.HasPrefix(low[p.start:], "/dev/")
}
