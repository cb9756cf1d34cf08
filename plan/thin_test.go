package plan

import (
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// thinHost has a pool that holds devices 1 and 2, and maps device 1.
func thinHost() *snapshot.Host {
	h := &snapshot.Host{BootID: "b", Pools: &snapshot.Pools{Loaded: true, Devices: []snapshot.Mapped{
		{Name: "pool", UUID: "u", Device: "254:0", Type: "thin-pool", Pool: &snapshot.Pool{Mode: "rw", Transaction: 91, Listed: true, Holds: []snapshot.Held{{ID: 1}, {ID: 2}}}},
		{Name: "one", Device: "254:1", Type: "thin", Thin: &snapshot.Thin{Pool: "254:0", ID: 1}},
	}}}
	h.Sort()
	return h
}

// thinSteps plans both acts on a device of the pool.
func thinSteps(h *snapshot.Host, id uint64) (remove, del *Step) {
	f := check.Finding{ID: "thin-delete-failed/pool/1", Remedies: []check.Remedy{
		{Action: "deferred-remove", Risk: "disruptive", Targets: []check.Target{{Kind: "mapped", Name: "one", Device: "254:1"}}},
		{Action: "delete-thin", Risk: "destructive", Targets: []check.Target{{Kind: "thin", Name: "pool", Device: "254:0", Thin: id}}},
	}}
	p := Make(h, []check.Finding{f})
	for i := range p.Steps {
		switch p.Steps[i].Action {
		case "deferred-remove":
			remove = &p.Steps[i]
		case "delete-thin":
			del = &p.Steps[i]
		}
	}
	return remove, del
}

func TestThinSteps(t *testing.T) {
	for _, tt := range []struct {
		name        string
		id          uint64
		change      func(*snapshot.Pools)
		remove, del string // part of why it is refused; "" if it is not, "-" if there is no step
	}{
		{"mapped", 1, func(*snapshot.Pools) {}, "", "it is mapped as one (254:1)"},
		{"open", 1, func(p *snapshot.Pools) { p.Devices[1].Open = 2 }, "it is open (2 times)", "open 2 times"},
		{"not mapped", 2, func(*snapshot.Pools) {}, "", ""},
		{"not there", 3, func(*snapshot.Pools) {}, "", "-"},
		{"not listed", 3, func(p *snapshot.Pools) { p.Devices[0].Pool.Listed = false }, "", "could not be read"},
		{"read-only", 2, func(p *snapshot.Pools) { p.Devices[0].Pool.Mode = "ro" }, "", "in mode ro"},
		{"other names", 2, func(p *snapshot.Pools) { p.Devices[0].Name, p.Devices[1].Name = "a", "b" }, "-", "-"},
		{"other types", 2, func(p *snapshot.Pools) { p.Devices[0].Pool, p.Devices[1].Thin = nil, nil }, "-", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := thinHost()
			tt.change(h.Pools)
			remove, del := thinSteps(h, tt.id)
			for _, is := range []struct {
				s    *Step
				want string
			}{{remove, tt.remove}, {del, tt.del}} {
				if (is.s == nil) != (is.want == "-") || is.s != nil && (is.want == "" && is.s.Refused != "" || !strings.Contains(is.s.Refused, is.want)) {
					t.Errorf("%+v, want %q", is.s, is.want)
				}
			}
		})
	}
	if remove, del := thinSteps(&snapshot.Host{}, 1); remove != nil || del != nil {
		t.Error("steps on devices that were not read")
	}
	_, del := thinSteps(thinHost(), 2)
	if got := del.Target; got.UUID != "u" || got.Transaction != 91 || got.Thin != 2 || del.Risk != "destructive" {
		t.Errorf("%+v", del)
	}
}

func TestThinGone(t *testing.T) {
	remove, del := thinSteps(thinHost(), 2)
	for _, tt := range []struct {
		name        string
		change      func(*snapshot.Host)
		remove, del string // part of what is left; "" if it is gone
	}{
		{"as it was", func(*snapshot.Host) {}, "one is still there", "still holds thin device 2"},
		{"both gone", func(h *snapshot.Host) {
			h.Pools.Devices = h.Pools.Devices[:1]
			h.Pools.Devices[0].Pool.Holds = []snapshot.Held{{ID: 1}}
		}, "", ""},
		{"the number is another's", func(h *snapshot.Host) { h.Pools.Devices[1].Name = "two" }, "", "still holds"},
		{"not all were asked", func(h *snapshot.Host) { h.Pools.Devices, h.Pools.Partial = nil, true }, "not all devices", "the pool is not there"},
		{"not listed", func(h *snapshot.Host) { h.Pools.Devices[0].Pool.Listed = false }, "one is still there", "could not be read"},
		{"not read", func(h *snapshot.Host) { h.Pools = nil }, "were not read", "were not read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := thinHost()
			tt.change(h)
			for _, is := range []struct {
				s    *Step
				want string
			}{{remove, tt.remove}, {del, tt.del}} {
				if gone, left := Gone(h, *is.s); gone != (is.want == "") || !gone && !strings.Contains(left, is.want) {
					t.Errorf("%s: %v, %q, want %q", is.s.Action, gone, left, is.want)
				}
			}
		})
	}
}
