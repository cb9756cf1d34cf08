package lab

import (
	"errors"
	"fmt"
	"strings"

	"sexton.dev/linux/devmapper"
)

// The fault of a thin pool that lets writes wait. The keeper makes it, as for [thinPool].
// Half of the pool belongs to a device that nobody uses: without it there is room for
// what waits, which ends no sooner.
var thinPoolWait = Fault{
	Name:    waitName,
	Summary: "a container that waits in state D for room in a full thin pool; for a minute, unless no_space_timeout of dm_thin_pool was set",
	Want: []string{
		"thin-pool-space: sexton-lab-wait-pool is full, and sexton-lab:unit waits for room until no_space_timeout is over",
		"hung-task: sexton-lab:unit waits for room in sexton-lab-wait-pool",
	},
	Remains: []string{"thin-pool-space: a full pool is made larger by a person, or a device of it deleted"},
	Harm:    "a small pool, two loop devices in memory and under 10 MB of it",
	ready:   thinReady,
	build:   waitBuild,
	look:    waitLook,
}

const waitName = "thin-pool-wait"

// Its devices, and the blocks of data of its pool.
const (
	waitPool    = "sexton-lab-wait-pool"
	waitBallast = "sexton-lab-wait-ballast" // mapped only until it is written
	waitHeld    = "sexton-lab-wait-thin"
	waitBlocks  = 64
)

// makeWait makes the pool, fills half of it, and makes a file system in the rest.
func (k *keeper) makeWait() error {
	if err := k.pool(waitPool, waitBlocks*poolBlock*sector, nil, "0"); err != nil {
		return err
	}
	if err := k.thin(waitBallast, waitPool, 1, 8<<20); err != nil {
		return err
	}
	if err := errors.Join(fill(waitBallast, waitBlocks/2), k.dm.Remove(waitBallast)); err != nil {
		return err
	}
	return k.fileSystem(waitHeld, waitPool, 2, 8<<20)
}

// filled lets a unit write a file for which the pool has no room.
func (h mountHost) filled() error {
	_, err := h.unit(0, "fill="+thinMount(h.fault))
	return err
}

func waitBuild(s *site) error {
	h, err := hierarchyOf("freezer")
	if err != nil {
		return err
	}
	dir, err := s.containerGroup(h, containerID(waitName, "first"))
	if err != nil {
		return err
	}
	return thinBuild(s, waitLook, func(s *site) error { return join(dir, s.rec.role("unit").PID) })
}

// waitLook reads the unit's state and the names of devices, which never blocks.
func waitLook(r record) (sight, error) {
	unit := r.role("unit")
	st, err := readStat(unit.PID)
	waits := err == nil && st.Start == unit.Start && st.State == 'D'
	names, namesErr := mappedNames(r.Name)
	there := strings.Contains(names, waitPool+" ")
	word := map[bool]string{true: "waits in state D", false: "does not wait"}[waits]
	return sight{text: fmt.Sprintf("%sunit (pid %d) %s; devices: %s", prefix, unit.PID, word, strings.TrimSpace(names)), all: waits && there, any: waits || there}, errors.Join(gone(err), namesErr)
}

// giveRoom lets go on who waits for room in a fault's pool: no kill ends them.
func giveRoom(fault string) {
	if fault != waitName {
		return
	}
	dm, err := devmapper.Open("/proc", devmapper.Node)
	if err != nil {
		return // no devices either
	}
	defer dm.Close()
	dm.Tell(waitPool, "delete 1") // fails if it is gone
}
