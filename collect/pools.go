package collect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sexton.dev/collect/door"
	"sexton.dev/runtimes/dockerd"
	"sexton.dev/snapshot"
)

const mapperWithin = 5 * time.Second // for all devices: a pool that is at work may not answer

// A mapperLine is one line of the child that asks device-mapper. It comes again for a
// device when more of it is known.
type mapperLine struct {
	Device *snapshot.Mapped `json:"device,omitempty"`
	Lack   string           `json:"lack,omitempty"`  // why a part of it is not known
	None   bool             `json:"none,omitempty"`  // the kernel has no device-mapper
	Whole  string           `json:"whole,omitempty"` // why nothing is known
	All    bool             `json:"all,omitempty"`   // all devices were told of: what follows is more of them
	End    bool             `json:"end,omitempty"`
}

// pools reads the devices of device-mapper, and who was told to use a thin pool.
func (l *looker) pools(ctx context.Context) {
	if !l.wants(snapshot.Storage) {
		return
	}
	p := &snapshot.Pools{}
	if !l.mapper(ctx, p) {
		return
	}
	l.h.Pools = p
	l.spaceTimeout(p)
	l.poolUsers(ctx, p)
}

// spaceTimeout reads for how long a full pool lets writes wait. Without a pool the
// kernel has no such file, nor before Linux 3.15, which lets them wait for ever.
//
// Source: Linux 6.12 drivers/md/dm-thin.c, no_space_timeout_secs.
func (l *looker) spaceTimeout(p *snapshot.Pools) {
	const file = "/sys/module/dm_thin_pool/parameters/no_space_timeout"
	if !slices.ContainsFunc(p.Devices, func(m snapshot.Mapped) bool { return m.Pool != nil }) {
		return
	}
	text, err := l.ReadFile(file)
	if err == nil {
		var n int
		if n, err = strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			p.Timeout = &n
		}
	}
	l.unread(snapshot.Storage, file, ignoreAbsent(err))
}

// mapper asks device-mapper in a child process. It reports whether the devices are known.
func (l *looker) mapper(ctx context.Context, p *snapshot.Pools) bool {
	const what = "the devices of device-mapper"
	text, err := l.Ask("devmapper", func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, mapperWithin)
		defer cancel()
		out, err := l.Child(ctx, "devmapper", l.Proc, l.Root)
		if len(out) > 0 && errors.Is(err, door.ErrDeadline) {
			return out, nil // its last line is missing, which tells
		}
		return out, err
	})
	if err != nil {
		l.missing(snapshot.Storage, what, cause(err))
		return false
	}
	all, ended := false, false
	known := map[string]mapperLine{} // by the device's number: the last line of each
	for line := range bytes.Lines(text) {
		var m mapperLine
		if err := json.Unmarshal(line, &m); err != nil {
			break // cut off
		}
		all, ended = all || m.All, ended || m.End
		switch {
		case m.Whole != "":
			l.missing(snapshot.Storage, what, m.Whole)
			return false
		case m.None:
			return true
		case m.Device != nil:
			known[m.Device.Device] = m
		}
	}
	p.Loaded, p.Partial = true, !all
	if !ended {
		l.lackOf(snapshot.Storage, what, "some did not answer in time")
	}
	for _, m := range known {
		p.Devices = append(p.Devices, *m.Device)
		if m.Lack != "" {
			l.lackOf(snapshot.Storage, "device "+m.Device.Name, m.Lack)
		}
	}
	slices.SortFunc(p.Devices, func(a, b snapshot.Mapped) int {
		return cmp.Or(len(a.Device)-len(b.Device), cmp.Compare(a.Device, b.Device))
	})
	return true
}

// A usersQuestion is what the child that reads files of settings is asked.
type usersQuestion struct {
	Root       string `json:"root"`
	Docker     string `json:"docker"`     // file of dockerd's settings
	DataRoot   string `json:"dataRoot"`   // of its command line
	Containerd string `json:"containerd"` // file of containerd's
}

// A usersReply is its answer: of the files it has what concerns thin pools alone.
type usersReply struct {
	Docker     *dockerd.File     `json:"docker,omitempty"`
	Used       bool              `json:"used,omitempty"` // docker's data root has records of devicemapper
	Containerd *containerdPool   `json:"containerd,omitempty"`
	LVM        *snapshot.LVM     `json:"lvm,omitempty"`
	Lacks      []snapshot.Unread `json:"lacks,omitempty"`
}

// poolUsers reads who was told to use which pool, and what LVM's files say.
func (l *looker) poolUsers(ctx context.Context, p *snapshot.Pools) {
	docker, flags, file := l.toldDocker()
	q := usersQuestion{Root: l.Root, Docker: file, DataRoot: flags.DataRoot, Containerd: containerdFile}
	containerd := l.daemon("containerd")
	if containerd != nil {
		q.Containerd = cmp.Or(containerdConfig(containerd.Argv), q.Containerd)
	}
	r, err := askFor[usersReply](l, "pools", func() ([]byte, error) { return l.Child.ask(ctx, settingsWithin, q, "pools") })
	if err != nil {
		l.missing(snapshot.Storage, "who was told to use a thin pool", cause(err))
		return
	}
	l.h.Unread = append(l.h.Unread, r.Lacks...)
	p.LVM = r.LVM
	if u := dockerPool(flags, r.Docker, q.Docker); u != nil {
		u.PID, u.Used = pidOf(docker), r.Used
		p.Users = append(p.Users, *u)
	}
	if c := r.Containerd; c != nil && c.Pool != "" {
		p.Users = append(p.Users, snapshot.PoolUser{Daemon: "containerd", Pool: mapped(c.Pool), Root: c.Root, PID: pidOf(containerd),
			Said: fmt.Sprintf("%s: pool_name = %q", q.Containerd, c.Pool)})
	}
}

func pidOf(p *snapshot.Process) int {
	if p == nil {
		return 0
	}
	return p.PID
}
