package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// What the lab says that sexton must find of its faults of mounts is what it finds.
func TestLabMounts(t *testing.T) {
	sandboxed(t)
	var w world
	t.Cleanup(func() { w.sexton(t, "lab", "down") })
	var list struct {
		Items []struct {
			Name string
			Want []string
		}
	}
	if err := json.Unmarshal([]byte(w.sexton(t, "lab", "list", "-o", "json").exits(t, clean).stdout), &list); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range list.Items {
		if !strings.HasPrefix(f.Name, "mount-") {
			continue
		}
		seen++
		t.Run(f.Name, func(t *testing.T) {
			w.sexton(t, "lab", "up", f.Name, "--on-this-host").exits(t, clean)
			defer w.sexton(t, "lab", "down", f.Name)
			r := w.sexton(t, "scan", "--interval", "0", "-o", "json").exits(t, clean, findings, cantTell).report(t)
			for _, want := range f.Want {
				check, _, ok := strings.Cut(want, ": ")
				if !ok || strings.Contains(check, " ") || check == "propagation" {
					continue // it says what must not be found, or what another command tells
				}
				if len(r.of(check)) == 0 {
					t.Errorf("must find %s; found %v", want, r.titles())
				}
			}
			for _, f := range r.of("leaked-mount") {
				if strings.Contains(t.Name(), "shared-root") && f.Severity != "info" {
					t.Errorf("a leak where there is none: %s", f.Title)
				}
			}
		})
	}
	if seen != 9 {
		t.Errorf("%d faults of mounts", seen)
	}
}
