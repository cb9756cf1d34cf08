// Package systemd tells what systemd was told about a service's mounts: by its
// unit files, merged as systemd merges them, and by what a running one has loaded.
// [Restart] is its only act.
package systemd
