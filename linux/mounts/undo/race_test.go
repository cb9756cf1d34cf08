package undo

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/nsfs"
)

// A racer does one thing at the mount point over and over, in the namespace of the
// unmount or in another that has the same directories.
type racer struct {
	name   string
	inside bool                // in the namespace of the unmount
	master bool                // in the one that it receives from
	turn   func(w world) error // errors are normal: it races
}

var racers = []racer{
	{"swaps it with another mount point", false, false, func(w world) error {
		return unix.Renameat2(unix.AT_FDCWD, w.dir+"/in/a", unix.AT_FDCWD, w.dir+"/in/live", unix.RENAME_EXCHANGE)
	}},
	{"swaps it with a link to another", false, false, func(w world) error {
		return unix.Renameat2(unix.AT_FDCWD, w.dir+"/in/a", unix.AT_FDCWD, w.dir+"/in/link", unix.RENAME_EXCHANGE)
	}},
	{"swaps the directory above with another's", false, false, func(w world) error {
		return unix.Renameat2(unix.AT_FDCWD, w.dir+"/in", unix.AT_FDCWD, w.dir+"/live", unix.RENAME_EXCHANGE)
	}},
	{"swaps the directory above with a link", false, false, func(w world) error {
		return unix.Renameat2(unix.AT_FDCWD, w.dir+"/in", unix.AT_FDCWD, w.dir+"/link", unix.RENAME_EXCHANGE)
	}},
	{"mounts on it and takes that off again", true, false, cover},
	{"mounts on it from elsewhere", false, true, cover},
}

// cover mounts on the mount point and takes that off again.
func cover(w world) error {
	if err := unix.Mount("cover", w.dir+"/in/a", "tmpfs", 0, "size=64k"); err != nil { // unlike the wanted one
		return nil // it was unmounted on the way
	}
	for end := time.Now().Add(time.Duration(rand.IntN(500)) * time.Microsecond); time.Now().Before(end); {
	}
	for {
		if err := unix.Unmount(w.dir+"/in/a", unix.UMOUNT_NOFOLLOW); !errors.Is(err, unix.EBUSY) { // a walk may have it open
			return err
		}
	}
}

// raced has the wanted mount on in/a, live ones wherever a racer may lead, and a
// foreign namespace of the same directories without their mounts, in which what is
// a mount point here can be renamed.
func raced(t *testing.T) (w, foreign world) {
	w = newWorld(t)
	w.do(func() error {
		return errors.Join(os.MkdirAll(w.dir+"/in/a", 0o755), os.MkdirAll(w.dir+"/in/live", 0o755), os.MkdirAll(w.dir+"/live/a", 0o755),
			os.Symlink("live", w.dir+"/in/link"), os.Symlink("live", w.dir+"/link"))
	})
	foreign = w.clone(unix.MS_PRIVATE)
	w.mount("in/live")
	w.mount("live/a")
	return w, foreign
}

// While somebody swaps what is at the path as fast as he can, only the wanted mount
// ever goes; and what cannot be told is refused.
func TestUnmountRaces(t *testing.T) {
	rounds := 300
	if os.Getenv("SEXTON_VERIFY") == "full" {
		rounds = 10_000
	}
	if n, err := strconv.Atoi(os.Getenv("SEXTON_TRIALS")); err == nil {
		rounds = n
	}
	for _, r := range racers {
		t.Run(r.name, func(t *testing.T) {
			w, foreign := raced(t)
			race := race{racer: r, w: w, where: foreign, mounter: w}
			if r.inside {
				race.where = w
			}
			if r.master {
				race.where, race.mounter, race.w = w, w, w.clone(unix.MS_SLAVE)
			}
			race.run(t, rounds)
		})
	}
}

// A race is one racer against unmounts.
type race struct {
	racer
	w, where world
	mounter  world      // mounts the wanted one
	mu       sync.Mutex // held for a turn, and between two unmounts
	turns    int        // that were made
	robbed   int        // times that what the racer mounted was gone when it came
}

func (r *race) step() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch err := r.turn(r.w); {
	case err == nil:
		r.turns++
	case r.inside && errors.Is(err, unix.EINVAL):
		r.robbed++
	}
}

// begin puts everything in its place and mounts the wanted one.
func (r *race) begin(t *testing.T) Mount {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.inside && !r.master && r.turns%2 == 1 {
		r.where.do(func() error { return r.turn(r.w) })
		r.turns++
	}
	point := r.w.dir + "/in/a"
	clear := func() error {
		for unix.Unmount(point, unix.MNT_DETACH) == nil {
		}
		return nil
	}
	r.w.do(clear)
	r.mounter.do(func() error { return errors.Join(clear(), tmpfs(point)) })
	return r.w.find(point, hasUnique())
}

func (r *race) run(t *testing.T, rounds int) {
	live := r.w.ids()
	var stop atomic.Bool
	ended := make(chan error)
	go func() {
		ended <- nsfs.Inside(r.where.fd, func() error {
			for !stop.Load() {
				r.step()
			}
			return nil
		})
	}()
	done, refused := 0, map[Kind]int{}
	for n := 0; n < rounds && !t.Failed(); n++ {
		m := r.begin(t)
		err := Unmount(r.w.fd, m)
		r.mu.Lock()
		gone := r.w.lost(append(slices.Clone(live), m.ID))
		r.mu.Unlock()
		switch e, _ := errors.AsType[*Error](err); {
		case err == nil && slices.Equal(gone, []uint64{m.ID}):
			done++
		case e != nil && len(gone) == 0:
			refused[e.Kind]++
		default:
			t.Errorf("%v: gone: %d, wanted %d", err, gone, m.ID)
		}
	}
	stop.Store(true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	t.Logf("%d unmounted, refused by kind %v, %d turns, robbed %d times", done, refused, r.turns, r.robbed)
	if r.turns == 0 || done == 0 {
		t.Errorf("they did not meet")
	}
	if r.robbed+refused[Unverified] > 0 {
		t.Errorf("an unmount hit another mount")
	}
	if !r.inside && refused[Unverified]+refused[Locked] > 0 {
		t.Errorf("another mount was hit, or it was said to be locked")
	}
}

// The last look is at a directory that has a name of its own by then. What it refuses is
// as it was; so it is after a crash at that moment. What came on the new one meanwhile stays.
func TestRemoveMountpointLast(t *testing.T) {
	w, path := dressed(t)
	o := w.clone(unix.MS_PRIVATE)
	o.do(func() error { return tmpfs(path) })
	old, before := w.directory(path), o.ids()
	stop := &Error{Other, "somebody came", "plan again"}
	refuse := func(name string) error {
		w.do(func() error {
			var st unix.Stat_t
			err := unix.Stat(filepath.Dir(path)+"/"+name, &st)
			if !strings.HasPrefix(name, temporary) {
				t.Errorf("it is called %q", name)
			}
			return err
		})
		return stop
	}
	same := func(when string) {
		t.Helper()
		if now, gone := w.directory(path), o.lost(before); now != old || len(gone) > 0 {
			t.Errorf("%s: %+v, and was %+v; gone: %d", when, now, old, gone)
		}
	}
	var journal Saved
	keep := func(s Saved) error { journal = s; return nil }
	calls := 0
	once := func(name string) error {
		if calls++; calls == 1 {
			return refuse(name)
		}
		return nil // nothing is on the new one
	}
	if err := RemoveMountpoint(w.fd, old, keep, once); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "somebody came") || calls != 2 {
		t.Errorf("%v, %d calls", err, calls)
	}
	same("refused")
	w.alone(filepath.Dir(path), filepath.Base(path), "lost+found")

	w.do(func() error {
		p, err := walk(path)
		if err != nil {
			return err
		}
		defer p.close()
		made, err := p.make(journal)
		return errors.Join(err, made.Close(), p.exchange(journal))
	})
	calls = 0
	if err := Restore(w.fd, journal, once); err != nil || calls != 2 {
		t.Errorf("%v, %d calls", err, calls)
	}
	same("after a crash")
	w.alone(filepath.Dir(path), filepath.Base(path), "lost+found")

	var on string
	mounted := func(name string) error {
		if on == "" {
			on = name
			o.do(func() error { return errors.Join(unix.Unmount(path+"/../"+name, 0), tmpfs(path)) })
			before = o.ids()
		}
		return stop
	}
	if err := RemoveMountpoint(w.fd, old, keep, mounted); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "is left beside it") {
		t.Error(err)
	}
	same("with a mount on the new one")
}
