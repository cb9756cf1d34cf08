package errtext

import "strings"

// dockerTable reads the part of docker info on its thin pool, and docker's error
// when the pool has fewer free blocks than it wants to keep.
func dockerTable(lines []string) (Table, bool) {
	var t Table
	for _, l := range lines {
		name, value, ok := strings.Cut(l, ": ")
		if value = strings.TrimSpace(value); ok && value != "" {
			t.dockerInfo(strings.TrimSpace(name), value)
		}
		t.dockerError(l)
	}
	info, failed := t.DataUsed != nil || t.Pool != "" && t.MetadataUsed != nil, t.FreeDataBlocks != nil
	switch {
	case info && failed:
		t.Kind = "docker error + docker info"
	case info:
		t.Kind = "docker info"
	case failed:
		t.Kind = "docker error"
	}
	return t, t.Kind != ""
}

// dockerInfo takes one line of docker info. Of several infos in a text the first counts.
func (t *Table) dockerInfo(name, value string) {
	anyway := func(to *any) {
		if *to == nil {
			*to = value
		}
	}
	set := func(to *string) {
		if *to == "" {
			*to = value
		}
	}
	switch name {
	case "Pool Name":
		set(&t.Pool)
	case "Data Space Used":
		anyway(&t.DataUsed)
	case "Data Space Total":
		anyway(&t.DataTotal)
	case "Data Space Available":
		set(&t.DataAvailable)
	case "Metadata Space Used":
		anyway(&t.MetadataUsed)
	case "Metadata Space Total":
		anyway(&t.MetadataTotal)
	case "Metadata Space Available":
		set(&t.MetadataAvailable)
	case "Thin Pool Minimum Free Space":
		set(&t.MinimumFree)
	case "Data file", "Data loop file":
		if loop := strings.HasPrefix(value, "/dev/loop") || name == "Data loop file"; loop || t.Loopback == nil {
			t.Loopback = &loop
		}
	}
}

// dockerError takes "Thin Pool has N free data blocks which is less than minimum
// required M free data blocks".
func (t *Table) dockerError(l string) {
	_, rest, ok := strings.Cut(l, "Thin Pool has ")
	if !ok || t.FreeDataBlocks != nil {
		return
	}
	free, rest, ok1 := strings.Cut(rest, " free data blocks which is less than minimum required ")
	required, _, ok2 := strings.Cut(rest, " ")
	n, ok3 := number(free)
	m, ok4 := number(required)
	if ok1 && ok2 && ok3 && ok4 {
		t.FreeDataBlocks, t.RequiredBlocks = &n, &m
	}
}
