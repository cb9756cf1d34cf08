// Package deadcontainer finds containers whose removal failed.
//
// # Check dead-container
//
// dead-container: a container whose removal began and failed
//
// A runtime that removes a container unmounts its layers and deletes them. If
// that fails, as with "device or resource busy", docker keeps the container in
// state Dead: it cannot be started, its name and its place on the disk stay
// taken, and its pod stays Terminating. Nothing tries again by itself.
//
// A finding is a container that its runtime calls dead, or lists as being removed:
// from 17.06 until docker 28 and later, the list shows one whose removal failed as
// "Removal In Progress" until the daemon restarts, though inspect says dead. The
// cause says who still has its root file system mounted, if anybody has: see
// leaked-mount for that.
//
// Info for one that is being removed and that nobody holds: it may be on its way.
// Else warning.
//
// When nothing holds it any more, a second removal succeeds: sexton heal asks the
// runtime for it, never by force, after it has inspected that it is dead.
//
// Sources: Docker Engine API v1.24 to v1.51, ContainerList; moby v28
// daemon/delete.go, cleanupContainer.
package deadcontainer
