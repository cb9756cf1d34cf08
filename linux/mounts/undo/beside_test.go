package undo

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// What lies under the wanted mount, and what is beside it and covered so that no
// path leads there, keeps it from nothing; and what is in use stays.
func TestUnmountBesideCovered(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arrange func(w world) (point string)
	}{
		{"on another", func(w world) string { w.mount("a"); return w.mount("a") }},
		{"beside a stack", func(w world) string { w.mount("b"); w.mount("b"); return w.mount("a") }},
		{"beside one below a cover", func(w world) string { w.mount("in/b"); w.mount("in"); return w.mount("a") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, unique bool) {
				for _, used := range []bool{true, false} {
					w := newWorld(t)
					point := tt.arrange(w)
					m := w.find(point, unique)
					if used {
						w.do(func() error {
							fd, err := unix.Open(point, unix.O_PATH|unix.O_CLOEXEC, 0)
							if err == nil {
								t.Cleanup(func() { unix.Close(fd) })
							}
							return err
						})
					}
					before := w.ids()
					err := Unmount(w.fd, m)
					gone := w.lost(before)
					switch {
					case used && (!errors.Is(err, ErrBusy) || len(gone) > 0):
						t.Errorf("used: %v, gone: %d", err, gone)
					case !used && (err != nil || len(gone) != 1 || unique && gone[0] != m.ID):
						t.Errorf("%v, gone: %d, wanted %d", err, gone, m.ID)
					}
				}
			})
		})
	}
}
