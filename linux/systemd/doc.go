// Package systemd reads what systemd was told about a service's mounts: from its
// unit files, merged as systemd merges them.
package systemd
