package mounts

// A Namespace is a mount namespace and what is mounted in it.
type Namespace struct {
	Inode  uint64 // of its file in nsfs, as in "mnt:[4026532570]"; used again after its end
	ID     uint64 // never used again; 0 before Linux 6.11
	Owner  uint64 // inode of the user namespace that owns it; 0: not known
	Mounts []Mount
	Hidden int // mounts that the kernel counts and lists to nobody; 0 where it does not count them
}

// The namespaces that a machine begins with have the same numbers on all.
//
// Source: Linux 3.8 include/linux/proc_ns.h, PROC_USER_INIT_INO, PROC_PID_INIT_INO.
const (
	FirstUserNamespace = 0xEFFFFFFD
	FirstPIDNamespace  = 0xEFFFFFFC
)

// An Unknown is what exists, or may, and could not be seen.
type Unknown struct{ What, Why string }

// The type of nsfs, as statfs and statmount give it and as mountinfo writes it.
// A mount of nsfs binds the file of a namespace, which lives as long as it.
//
// Source: Linux 6.12 include/uapi/linux/magic.h, NSFS_MAGIC; fs/nsfs.c.
const (
	NamespaceMagic = 0x6e736673
	NamespaceType  = "nsfs"
)

// BoundNamespace returns the inode of the mount namespace that m binds, or
// false if m binds something else.
//
// Source: Linux 6.12 fs/nsfs.c, ns_get_name: the root reads "mnt:[INODE]".
func BoundNamespace(m *Mount) (inode uint64, ok bool) {
	if m.Type != NamespaceType {
		return 0, false
	}
	return NamespaceInode(m.Root)
}

// NamespaceInode parses the text of a mount namespace's link, "mnt:[4026532570]".
//
// Any file may be named like this: only the kernel's own links, and the roots
// of nsfs mounts, may be asked. Source: namespaces(7).
func NamespaceInode[Text string | []byte](text Text) (inode uint64, ok bool) {
	const head = "mnt:["
	if len(text) < len(head)+2 || string(text[:len(head)]) != head || text[len(text)-1] != ']' {
		return 0, false
	}
	for _, c := range []byte(text[len(head) : len(text)-1]) {
		if c < '0' || c > '9' || inode > 1<<32 {
			return 0, false
		}
		inode = inode*10 + uint64(c-'0')
	}
	return inode, inode > 0
}
