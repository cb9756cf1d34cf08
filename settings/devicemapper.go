package settings

import (
	"strings"

	"sexton.dev/check"
)

const (
	loopName  = "devicemapper-loop"
	forceName = "directlvm-force"
)

// option is the value of a storage option, which the last of its uses has.
func (d *Daemon) option(name string) (found *Setting, value string) {
	for i := range d.Options {
		if key, text, _ := strings.Cut(d.Options[i].Value, "="); strings.EqualFold(strings.TrimSpace(key), name) {
			found, value = &d.Options[i], strings.TrimSpace(text)
		}
	}
	return found, value
}

// mapper is where a daemon is told to use devicemapper: by its name, or by options
// of that driver alone, by which old versions find it.
func (d *Daemon) mapper() *Setting {
	if d.Driver != nil {
		if d.Driver.Value == "devicemapper" {
			return d.Driver
		}
		return nil
	}
	for i := range d.Options {
		if strings.HasPrefix(d.Options[i].Value, "dm.") {
			return &d.Options[i]
		}
	}
	return nil
}

func loop(d *Daemon) []check.Finding {
	told := d.mapper()
	pool, _ := d.option("dm.thinpooldev")
	device, _ := d.option("dm.directlvm_device")
	raw, _ := d.option("dm.datadev")
	if told == nil || pool != nil || device != nil || raw != nil {
		return nil
	}
	f := ofDaemon(told)
	f.Severity = check.Warning
	f.Title = "dockerd keeps the pool of devicemapper in loop files"
	f.Cause = "Without dm.thinpooldev or dm.directlvm_device dockerd makes two sparse files and puts loop devices on them (loop-lvm)"
	f.Harm = "Each write passes two file systems, and a full disk beneath stops the pool with every container on it, often with the file systems broken. It is for trials"
	f.Advice = []string{
		"overlay2, if the kernel is 4.0 or later or RHEL 7.4: docker removed devicemapper in version 25",
		`else dm.directlvm_device=/dev/DISK with a choice of dm.directlvm_device_force, or dm.thinpooldev with a pool of your own; both begin with an empty store`,
	}
	if force, value := d.option("dm.directlvm_device_force"); force != nil {
		f.Evidence = append(f.Evidence, seen(force.Place, force.Value))
		f.Cause += "; dm.directlvm_device_force=" + value + " without a device does nothing"
	}
	return []check.Finding{f}
}

func force(d *Daemon) []check.Finding {
	device, path := d.option("dm.directlvm_device")
	if device == nil || d.mapper() == nil {
		return nil
	}
	said, value := d.option("dm.directlvm_device_force")
	f := ofDaemon(device)
	f.Harm = "When the data root is moved or emptied dockerd sets the device up anew: with false it does not start (\"Non existing device docker-thinpool\", or a device that is in use), with true it wipes what is on it"
	switch {
	case said == nil:
		f.Severity = check.Warning
		f.Title = "dm.directlvm_device=" + path + " without a choice of dm.directlvm_device_force"
		f.Cause = "It is false unless it is set: a device with a file system or a pool of before is left alone, and dockerd does not start on it"
		f.Advice = []string{
			`"dm.directlvm_device_force=false" keeps what is on the device: write it, and the one who finds dockerd down knows why`,
			"true is for a device that holds nothing: back up images and volumes, lvremove the pool and vgremove its group first, and set it back to false afterwards",
		}
	case value == "true" || value == "1" || strings.EqualFold(value, "t"):
		f.Severity = check.Info
		f.Title = "dm.directlvm_device_force=" + value + " wipes " + path + " whenever dockerd sets it up anew"
		f.Cause = "It is true: dockerd makes a new pool on the device though there is a file system or a pool of before on it"
		f.Evidence = append(f.Evidence, seen(said.Place, said.Value))
		f.Advice = []string{"set it back to false once the pool is made"}
	default:
		return nil
	}
	return []check.Finding{f}
}

func ofDaemon(at *Setting) check.Finding {
	return check.Finding{
		ID:       at.File,
		Subject:  check.Subject{Kind: "runtime", Name: "dockerd", File: at.File, Line: at.Line},
		Evidence: []check.Evidence{seen(at.Place, at.Value)},
	}
}
