package harm_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/heal"
	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
	"sexton.dev/plan"
)

// TestChurn acts while pids, mounts and mount namespaces are made and unmade as
// fast as the machine can, and while somebody puts another thing in the target's
// place. Each act hits its own target, or is refused or not needed.
func TestChurn(t *testing.T) {
	n, seed := hosttest.Trials(t, 200, 5_000)
	r := ask(t, order{"churn", n, seed.Uint64()}, time.Minute+time.Duration(n)*500*time.Millisecond)
	r.tell(t)
	if r.Counts["acts done"] < n/8 || r.Counts["churned mounts"] == 0 || r.Counts["churned processes"] == 0 || r.Counts["churned namespaces"] == 0 {
		t.Error("they did not meet")
	}
}

// A churn is a host on which all comes and goes.
type churn struct {
	*host
	*report
	*rand.Rand
	journal *heal.Journal
	stop    atomic.Bool
	mu      sync.Mutex // Counts and Misses, of the report
}

const target, live = "/x/target", "/x/live"

func churnTrials(h *host, o order, r *report) error {
	journal, err := heal.OpenJournal(journalFile)
	if err != nil {
		return err
	}
	defer journal.Close()
	c := &churn{host: h, report: r, Rand: rand.New(rand.NewPCG(o.Seed, 1)), journal: journal}
	if err := h.begin(); err != nil {
		return err
	}
	defer h.end()
	dirs := []string{target, live, "/x/churn"}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := errors.Join(os.WriteFile("/program", program(), 0o755), unix.Mount("", "/x", "", unix.MS_SHARED, "")); err != nil {
		return err
	}
	var running sync.WaitGroup
	for what, turn := range map[string]func() error{"churned mounts": turnMount, "churned processes": turnProcess, "churned namespaces": turnNamespace} {
		running.Go(func() { c.churn(what, turn) })
	}
	acts := []func() error{c.unmount, c.unmountPrivate, c.removeMountpoint, c.resume}
	for n := 0; n < o.N && err == nil; n++ {
		if err = acts[n%len(acts)](); n%100 == 0 {
			err = errors.Join(err, os.Truncate(journalFile, 0))
		}
	}
	c.stop.Store(true)
	running.Wait()
	return err
}

// churn does something over and over, in the first namespace. Nobody but itself
// ends what it makes.
func (c *churn) churn(what string, turn func() error) {
	n := 0
	err := nsfs.Inside(c.spaces[0].fd, func() (err error) {
		for ; !c.stop.Load() && err == nil; n++ {
			err = turn()
		}
		return err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Counts[what] = n; err != nil {
		c.Misses = append(c.Misses, fmt.Sprintf("%s: something that was made is gone: %v", what, err))
	}
}

func turnMount() error {
	if err := unix.Mount("churn", "/x/churn", "tmpfs", 0, "size=64k"); err != nil {
		return err
	}
	for {
		if err := unix.Unmount("/x/churn", unix.UMOUNT_NOFOLLOW); !errors.Is(err, unix.EBUSY) { // a copy may be held open for a moment
			return err
		}
	}
}

func turnProcess() error {
	p, err := os.StartProcess("/program", []string{"churn"}, &os.ProcAttr{})
	if err == nil {
		stop(p)
	}
	return err
}

func turnNamespace() error { return unix.Unshare(unix.CLONE_NEWNS) }

func (c *churn) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Counts[what]++
}

func (c *churn) miss(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Misses = append(c.Misses, fmt.Sprintf(format, args...))
}

// act carries a step out while meanwhile happens, and counts how it ended.
func (c *churn) act(s plan.Step, what string, meanwhile func() error) (heal.Outcome, error) {
	delay, varied := time.Duration(c.IntN(20_000))*time.Microsecond, make(chan error, 1)
	go func() {
		time.Sleep(delay) // anywhere in the act
		varied <- meanwhile()
	}()
	out, err := c.journal.Child(context.Background(), plan.Plan{}, s)
	err = errors.Join(err, <-varied)
	if err != nil {
		return out, fmt.Errorf("%s, %s: %w", s.Action, what, err)
	}
	if out.Status == "" {
		c.count("acts done")
	}
	c.count(strings.TrimSpace(fmt.Sprintf("%s, %s: %s", s.Action, what, out.Status)))
	return out, nil
}

// A scene is a namespace of its own that has the target and a live mount.
type scene struct {
	*space
	id     uint64 // of the namespace
	mounts map[string]uint64
}

// scene makes one for an act.
func (c *churn) scene(points ...string) (*scene, error) {
	s := &scene{space: c.clone(c.spaces[0], false), mounts: map[string]uint64{}}
	c.spaces = c.spaces[:1] // it goes with the act
	c.story = nil
	if s.space == nil {
		return nil, errors.New("clone a namespace")
	}
	how := []uintptr{unix.MS_SLAVE, unix.MS_PRIVATE}[c.IntN(2)] // of a master mounts come and go beside the target
	err := c.in(s.space, func() error {
		err := unix.Mount("", "/", "", unix.MS_REC|how, "")
		for _, point := range points {
			err = errors.Join(err, s.mount(point))
		}
		return err
	})
	if err == nil {
		s.id, err = nsfs.ID(s.fd)
	}
	return s, err
}

// mount mounts where the thread is.
func (s *scene) mount(point string) (err error) {
	if err := unix.Mount("scene", point, "tmpfs", 0, "size=64k"); err != nil {
		return err
	}
	s.mounts[point], err = mountAt(point)
	return err
}

func (s *scene) close() { unix.Close(s.fd) }

func (s *scene) target(point string) (t plan.Step) {
	t.Target.Kind, t.Target.Path, t.Target.Mount, t.Target.Mounts = "mount", point, s.mounts[point], []uint64{s.mounts[point]}
	t.Target.MountNamespace, t.Target.MountNamespaceID = s.inode, s.id
	return t
}

// left are the mounts of the scene, seen from outside.
func (s *scene) left() ([]uint64, error) { return statmount.NewCaller().List(s.id, nil) }

// judge holds what is left of a scene against how the act ended.
func (c *churn) judge(s *scene, what string, victim uint64, stays []uint64, out heal.Outcome) error {
	left, err := s.left()
	if err != nil {
		return err
	}
	for _, id := range stays {
		if !slices.Contains(left, id) {
			c.miss("%s: mount %d is gone and was not the target, %d: %+v", what, id, victim, out)
		}
	}
	if out.Status == "" && slices.Contains(left, victim) {
		c.miss("%s: it was done, and the target is still there", what)
	}
	return nil
}

func (c *churn) unmount() error {
	s, err := c.scene(target, live)
	if err != nil {
		return err
	}
	defer s.close()
	step := s.target(target)
	step.Action = "unmount-in-namespace"
	return c.unmounts(s, step)
}

func (c *churn) unmountPrivate() error {
	s, err := c.scene(target, live)
	if err != nil {
		return err
	}
	defer s.close()
	if err := c.in(s.space, func() (err error) { s.mounts["/x"], err = mountAt("/x"); return err }); err != nil {
		return err
	}
	step, parent := s.target(target), s.target("/x").Target
	step.Action, step.Parent = "make-private-then-unmount", &parent
	return c.unmounts(s, step)
}

// unmounts acts on the target of a scene while something else happens to it.
func (c *churn) unmounts(s *scene, step plan.Step) error {
	victim, stays := s.mounts[target], []uint64{s.mounts[live]}
	inside := func(f func() error) func() error { return func() error { return nsfs.Inside(s.fd, f) } }
	what, meanwhile := "alone", func() error { return nil }
	switch c.IntN(5) {
	case 0:
		what, meanwhile = "another in its place", inside(func() error {
			unix.Unmount(target, unix.MNT_DETACH) // or the act did
			return s.mount(target)
		})
	case 1:
		what, meanwhile = "covered", inside(func() error { return s.mount(target) })
	case 2:
		what, meanwhile = "swapped by rename", func() error {
			return nsfs.Inside(c.spaces[0].fd, func() error { return unix.Renameat2(-1, target, -1, live, unix.RENAME_EXCHANGE) })
		}
	case 3: // the number of the namespace is then another's, perhaps
		step.Target.MountNamespaceID++
		what = "another namespace"
	}
	out, err := c.act(step, what, meanwhile)
	if err != nil {
		return err
	}
	if id := s.mounts[target]; id != victim {
		stays = append(stays, id)
	}
	if what == "alone" && out.Status != "" {
		c.count("alone, and not done: " + out.Why[strings.LastIndex(out.Why, ": ")+1:])
	}
	if what == "another namespace" && out.Status == "" {
		c.miss("it acted in another namespace than the step names")
	}
	return c.judge(s, step.Action+", "+what, victim, stays, out)
}

func (c *churn) removeMountpoint() error {
	s, err := c.scene(target, live)
	if err != nil {
		return err
	}
	defer s.close()
	first := &scene{space: c.spaces[0], mounts: map[string]uint64{}}
	if first.id, err = nsfs.ID(first.fd); err == nil {
		first.mounts["/x"], err = mountAt("/x")
	}
	if err != nil {
		return err
	}
	step := first.target("/x")
	step.Action, step.Target.Kind, step.Target.Path, step.Target.Root = "remove-mountpoint", "mountpoint", target, "/target"
	step.Target.Mounts = []uint64{s.mounts[target]}
	what, stays, meanwhile := "alone", []uint64{s.mounts[live]}, func() error { return nil }
	switch c.IntN(4) {
	case 0:
		what = "another on it"
		err = c.in(s.space, func() error { return s.mount(target) })
		stays = append(stays, s.mounts[target], step.Target.Mounts[0])
	case 1:
		what = "another directory in its place"
		err = unix.Renameat2(-1, target, -1, live, unix.RENAME_EXCHANGE)
		stays = append(stays, step.Target.Mounts[0])
	case 2:
		what = "another on it meanwhile"
		meanwhile = func() error { return nsfs.Inside(s.fd, func() error { return s.mount(target) }) }
	}
	if err != nil {
		return err
	}
	victim := step.Target.Mounts[0]
	out, err := c.act(step, what, meanwhile)
	if err != nil {
		return err
	}
	switch {
	case what == "another on it meanwhile":
		stays = append(stays, s.mounts[target])
	case what != "alone" && out.Status == "":
		c.miss("remove-mountpoint, %s: done", what)
	}
	return c.judge(s, "remove-mountpoint, "+what, victim, stays, out)
}
