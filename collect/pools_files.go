package collect

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"sexton.dev/collect/door"
	"sexton.dev/linux/lvm"
	"sexton.dev/runtimes/dockerd"
	"sexton.dev/snapshot"
)

const (
	containerdFile = "/etc/containerd/config.toml"
	lvmDir         = "/etc/lvm"
	dockerMadePool = "docker-thinpool" // by dm.directlvm_device: volume group docker, logical volume thinpool
	mostGroups     = 200
	maxGroup       = 16 << 20 // bytes of one backup: a line or two for each volume
)

// A containerdPool is what containerd's devmapper snapshotter was told.
type containerdPool struct {
	Pool string `json:"pool,omitempty"`
	Root string `json:"root,omitempty"`
}

// childUsers is the child that reads files.
func childUsers(out io.Writer, text string) error {
	var q usersQuestion
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return err
	}
	var r usersReply
	lack := func(what string, err error) {
		if err != nil && !door.Gone(err) {
			r.Lacks = append(r.Lacks, snapshot.Unread{Part: snapshot.Storage, Path: what, Err: cause(err)})
		}
	}
	var err error
	r.Docker, err = readDocker(path.Join("/", q.Root, q.Docker))
	lack(q.Docker, err)
	r.Used = usedBefore(q, r.Docker)
	file, err := readSome(path.Join("/", q.Root, q.Containerd), maxSettings)
	if err == nil {
		r.Containerd, err = parseContainerd(file)
	}
	lack(q.Containerd, err)
	r.LVM, err = readLVM(path.Join("/", q.Root, lvmDir))
	lack(lvmDir, err)
	return json.NewEncoder(out).Encode(r)
}

// usedBefore reports whether docker has records of pools in its data root.
func usedBefore(q usersQuestion, file *dockerd.File) bool {
	root := dockerd.DefaultDataRoot
	if file != nil {
		root = cmp.Or(file.Root(), root)
	}
	_, err := os.Lstat(path.Join("/", q.Root, cmp.Or(q.DataRoot, root), "devicemapper"))
	return err == nil
}

// parseContainerd reads config.toml of any version: the snapshotter was "devmapper"
// in the first, and has its full name since.
//
// Source: containerd 2.0 docs/snapshotters/devmapper.md.
func parseContainerd(text []byte) (*containerdPool, error) {
	var file struct {
		Plugins map[string]any `toml:"plugins"`
	}
	if err := toml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("containerd's settings: %w", err)
	}
	for _, name := range []string{"io.containerd.snapshotter.v1.devmapper", "devmapper"} {
		if told, ok := file.Plugins[name].(map[string]any); ok {
			pool, _ := told["pool_name"].(string)
			root, _ := told["root_path"].(string)
			return &containerdPool{pool, root}, nil
		}
	}
	return nil, nil
}

// containerdConfig is the file that containerd's command line names, "" if none.
func containerdConfig(argv []string) string {
	for i, word := range argv {
		name, value, given := strings.Cut(word, "=")
		if name != "--config" && name != "-c" {
			continue
		}
		if !given && i+1 < len(argv) {
			value = argv[i+1]
		}
		return value
	}
	return ""
}

// dockerPool is the pool that dockerd was told to use, nil if none: one that it makes
// in files itself has a name that no setting has.
//
// Source: moby v24 daemon/graphdriver/devmapper/deviceset.go, NewDeviceSet; device_setup.go.
func dockerPool(flags dockerd.Flags, file *dockerd.File, name string) *snapshot.PoolUser {
	if file == nil {
		file = &dockerd.File{} // sets nothing either
	}
	driver := cmp.Or(flags.StorageDriver, file.StorageDriver)
	u := &snapshot.PoolUser{Daemon: "docker", Root: cmp.Or(flags.DataRoot, file.Root(), dockerd.DefaultDataRoot)}
	take := func(where string, options []string) {
		for _, o := range options {
			key, value, _ := strings.Cut(o, "=")
			switch strings.ToLower(strings.TrimSpace(key)) {
			case "dm.thinpooldev":
				u.Pool, u.Said = mapped(value), where+o
			case "dm.directlvm_device":
				u.Disk = value
				if u.Pool == "" {
					u.Pool, u.Said = dockerMadePool, where+o
				}
			case "dm.directlvm_device_force":
				u.Force, _ = strconv.ParseBool(value)
			}
		}
	}
	take(name+": storage-opts: ", file.StorageOpts)
	take("command line of dockerd: --storage-opt ", flags.StorageOpts)
	if u.Pool == "" || driver != "" && driver != "devicemapper" {
		return nil
	}
	return u
}

// mapped is the name of a mapped device as settings may have it.
func mapped(pool string) string { return strings.TrimPrefix(strings.TrimSpace(pool), "/dev/mapper/") }

// readLVM reads LVM's settings, profiles and backups; nil where it keeps none.
func readLVM(dir string) (*snapshot.LVM, error) {
	out := &snapshot.LVM{}
	conf, err := readConf(path.Join(dir, "lvm.conf"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path.Join(dir, "backup")); err != nil {
			return nil, err
		}
	}
	errs := []error{ignoreAbsent(err)}
	out.Threshold, out.Percent = autoextend(conf)
	profiles, err := filesIn(path.Join(dir, "profile"))
	errs = append(errs, err)
	for _, file := range profiles {
		conf, err := readConf(file)
		errs = append(errs, ignoreAbsent(err))
		name := strings.TrimSuffix(path.Base(file), ".profile")
		if threshold, percent := autoextend(conf); threshold != 0 {
			out.Profiles = append(out.Profiles, snapshot.LVMProfile{Name: name, Threshold: threshold, Percent: percent})
		}
	}
	groups, err := filesIn(path.Join(dir, "backup"))
	errs = append(errs, err)
	for _, file := range groups {
		conf, err := readConf(file)
		errs = append(errs, ignoreAbsent(err))
		if g := groupOf(path.Base(file), conf); g != nil {
			out.Groups = append(out.Groups, *g)
		}
	}
	return out, errors.Join(errs...)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// filesIn lists a directory, at most mostGroups of its files.
func filesIn(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, ignoreAbsent(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(mostGroups)
	if err == io.EOF {
		err = nil
	}
	slices.Sort(names)
	for i := range names {
		names[i] = path.Join(dir, names[i])
	}
	return names, err
}

func readConf(file string) (lvm.Settings, error) {
	text, err := readSome(file, maxGroup)
	if err != nil {
		return nil, err
	}
	conf, err := lvm.Parse(text)
	if err != nil {
		return conf, fmt.Errorf("%s: %w", path.Base(file), err)
	}
	return conf, nil
}

// autoextend are the settings by which a pool grows: from how many percent on, and by how many.
//
// Source: lvm.conf(5), activation/thin_pool_autoextend_threshold.
func autoextend(s lvm.Settings) (threshold, percent int) {
	return s.Number("activation/thin_pool_autoextend_threshold"), s.Number("activation/thin_pool_autoextend_percent")
}

// groupOf is what a volume group's backup says; nil if it is none.
func groupOf(name string, s lvm.Settings) *snapshot.VolumeGroup {
	if s["contents"] != "Text Format Volume Group" || s[name+"/id"] == "" {
		return nil
	}
	g := &snapshot.VolumeGroup{Name: name, File: lvmDir + "/backup/" + name}
	if at := s.Number("creation_time"); at > 0 {
		g.Written = time.Unix(int64(at), 0).UTC()
	}
	for disk := range s.Below(name + "/physical_volumes") {
		if device := s[name+"/physical_volumes/"+disk+"/device"]; device != "" {
			g.Disks = append(g.Disks, device)
		}
	}
	slices.Sort(g.Disks)
	for volume := range s.Below(name + "/logical_volumes") {
		at := name + "/logical_volumes/" + volume
		if s[at+"/segment1/type"] == "thin-pool" {
			g.Pools = append(g.Pools, snapshot.LVMPool{Name: volume, Profile: s[at+"/profile"]})
		}
	}
	slices.SortFunc(g.Pools, func(a, b snapshot.LVMPool) int { return strings.Compare(a.Name, b.Name) })
	return g
}
