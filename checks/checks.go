// Package checks lists every check that sexton ships.
package checks

import (
	"sexton.dev/check"
	"sexton.dev/checks/busymount"
	"sexton.dev/checks/deadcontainer"
	"sexton.dev/checks/detachedmount"
	"sexton.dev/checks/execfifo"
	"sexton.dev/checks/halfdead"
	"sexton.dev/checks/helddevice"
	"sexton.dev/checks/hostpathnopropagation"
	"sexton.dev/checks/hungtask"
	"sexton.dev/checks/leakedmount"
	"sexton.dev/checks/memorylimittoolow"
	"sexton.dev/checks/mountflagsliverestore"
	"sexton.dev/checks/mountmultiplication"
	"sexton.dev/checks/namespacesplit"
	"sexton.dev/checks/noinit"
	"sexton.dev/checks/nolazydetach"
	"sexton.dev/checks/oomcontainer"
	"sexton.dev/checks/oomruntime"
	"sexton.dev/checks/pidbudget"
	"sexton.dev/checks/privategraphroot"
	"sexton.dev/checks/privateunit"
	"sexton.dev/checks/runtimehung"
	"sexton.dev/checks/thindeletefailed"
	"sexton.dev/checks/thinpoolmissing"
	"sexton.dev/checks/thinpoolspace"
	"sexton.dev/checks/unreapedchildren"
)

// All returns the checks in the order in which they run and are documented.
func All() []*check.Check {
	return []*check.Check{
		unreapedchildren.Check,
		halfdead.Check,
		pidbudget.Check,
		noinit.Check,
		hungtask.Check,
		runtimehung.Check,
		execfifo.Check,
		oomruntime.Check,
		oomcontainer.Check,
		memorylimittoolow.Check,
		leakedmount.Check,
		busymount.Check,
		deadcontainer.Check,
		detachedmount.Check,
		helddevice.Check,
		thinpoolspace.Check,
		thinpoolmissing.Check,
		thindeletefailed.Check,
		mountmultiplication.Check,
		hostpathnopropagation.Check,
		privategraphroot.Check,
		nolazydetach.Check,
		privateunit.Check,
		namespacesplit.Check,
		mountflagsliverestore.Check,
	}
}
