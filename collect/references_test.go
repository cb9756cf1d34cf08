package collect

import (
	"slices"
	"testing"

	"sexton.dev/snapshot"
)

// What could not be read of one process is told once; a number in a path is no process.
func TestLackOf(t *testing.T) {
	l := &looker{h: &snapshot.Host{}}
	const bound = `mnt:[5], which is bound at "/run/1/x" in mnt:[4]`
	for _, lack := range [][2]string{
		{"fd: 12/fd/7", "readlink 12/fd/7: permission denied"},
		{"mappings: 12/map_files", "open 12/map_files: permission denied"},
		{"open files: 13/task/14/fd", "open 13/task/14/fd: permission denied"},
		{"files registered with the io_uring 15/fdinfo/3", "x: too large"},
		{"/proc/16/fd, root, cwd and map_files", noAnswer},
		{bound, "openat2 of what is in memory: x"},
		{"detached overlays with a layer below /mnt/17/x", "fuse asks a server"},
	} {
		l.lackOf(snapshot.References, lack[0], lack[1])
	}
	const of = "open files, directories and mappings of process "
	want := []snapshot.Unread{
		{Part: snapshot.References, Path: of + "12", Err: "permission denied"},
		{Part: snapshot.References, Path: of + "13", Err: "permission denied"},
		{Part: snapshot.References, Path: of + "15", Err: "too large"},
		{Part: snapshot.References, Path: of + "16", Err: "it waits for a dead file system or a held lock"},
		{Part: snapshot.References, Path: bound, Err: "openat2 of what is in memory: x"},
		{Part: snapshot.References, Path: "detached overlays with a layer below /mnt/17/x", Err: "fuse asks a server"},
	}
	if !slices.Equal(l.h.Unread, want) {
		t.Errorf("%+v", l.h.Unread)
	}
}
