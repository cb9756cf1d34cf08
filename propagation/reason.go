package propagation

// A Reason is why a mount goes, stays, or makes a call fail. Each says which mount [Fate.By] is.
type Reason string

// Reasons to go.
const (
	Victim   Reason = "victim"   // the call names it, or the entry it sits on
	Below    Reason = "below"    // it lies below that; By: its parent
	Received Reason = "received" // a copy that the call reaches; By: its parent, a receiver
)

// Reasons to stay, and for a call to fail.
const (
	// Private: the parent of the original is not shared, so no copy is reached. By: that parent.
	// A move out of a parent that is shared fails with [Shared].
	Private Reason = "private"
	// NotReceiver: a copy at the same entry whose parent gets nothing from the original's parent.
	// By: the copy's parent. That is the break; it is private, or in a group that does not lead there.
	NotReceiver Reason = "not-receiver"
	// Elsewhere: it is mounted on another entry, as a bind is; or the call comes from another
	// namespace. By: the parent, 0 for another namespace.
	Elsewhere Reason = "elsewhere"
	// Root: it is the root of its namespace, or is mounted on "/".
	Root Reason = "root"
	// Submount: it has a submount that is not an overmount. By: the one that stays, which may be deeper.
	Submount Reason = "submount"
	// Locked: it may not be parted from its parent, which stays. By: the parent.
	Locked Reason = "locked"
	// Held: something uses it, a file or a directory of a process for instance.
	Held Reason = "held"
	// Mountpoint: the entry is a mount point in the caller's own namespace, under whatever path.
	Mountpoint Reason = "mountpoint"
	// Unbindable: it may not be bound, or not come below a shared mount.
	Unbindable Reason = "unbindable"
	// Shared: a mount below a shared parent cannot be moved. By: the parent.
	Shared Reason = "shared"
	// Inside: it would be moved below itself.
	Inside Reason = "inside"
	// Unknown: no such mount is listed, or the place is not inside it, or there is no such type.
	Unknown Reason = "unknown"
)
