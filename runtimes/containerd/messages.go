package containerd

import (
	"fmt"

	"sexton.dev/runtimes/rpc"
)

// The messages of containerd's API, as far as they are read. The numbers are
// those of the fields.
//
// Source: github.com/containerd/containerd/api v1.12: services/version/v1/version.proto,
// services/namespaces/v1/namespace.proto, services/containers/v1/containers.proto,
// services/tasks/v1/tasks.proto, types/task/task.proto.

// A record is a container in containerd's database.
type record struct {
	id, image, runtime string
	labels             map[string]string
	specType           string
	spec               []byte
}

// parseVersion reads a VersionResponse.
func parseVersion(message []byte) (version string, err error) {
	err = rpc.Fields(message, func(f rpc.Field) error {
		if f.Number == 1 {
			version = f.Text()
		}
		return nil
	})
	return version, err
}

// parseNamespaces reads a ListNamespacesResponse.
func parseNamespaces(message []byte) (names []string, err error) {
	err = rpc.Fields(message, func(f rpc.Field) error {
		if f.Number != 1 {
			return nil
		}
		names = append(names, "")
		return rpc.Fields(f.Bytes, func(f rpc.Field) error {
			if f.Number == 1 {
				names[len(names)-1] = f.Text()
			}
			return nil
		})
	})
	return names, err
}

// parseRecords reads a ListContainersResponse, or a ListContainerMessage, which
// has the same form and one container.
func parseRecords(message []byte) (found []record, err error) {
	err = rpc.Fields(message, func(f rpc.Field) error {
		if f.Number != 1 {
			return nil
		}
		r, err := parseRecord(f.Bytes)
		found = append(found, r)
		return err
	})
	return found, err
}

// parseRecord reads a Container.
func parseRecord(message []byte) (r record, err error) {
	err = rpc.Fields(message, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			r.id = f.Text()
		case 2:
			key, value, err := rpc.Entry(f.Bytes)
			if r.labels == nil {
				r.labels = map[string]string{}
			}
			r.labels[key] = value
			return err
		case 3:
			r.image = f.Text()
		case 4: // Runtime: its name
			return rpc.Fields(f.Bytes, func(f rpc.Field) error {
				if f.Number == 1 {
					r.runtime = f.Text()
				}
				return nil
			})
		case 5: // google.protobuf.Any: type and value
			return rpc.Fields(f.Bytes, func(f rpc.Field) error {
				switch f.Number {
				case 1:
					r.specType = f.Text()
				case 2:
					r.spec = append([]byte(nil), f.Bytes...)
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("container %.80q: %w", r.id, err)
	}
	return r, nil
}

// A taskStatus is a task's.
type taskStatus uint64

const (
	created taskStatus = 1
	running taskStatus = 2
	stopped taskStatus = 3
	paused  taskStatus = 4
	pausing taskStatus = 5
)

// A taskProcess is a task's first.
type taskProcess struct {
	pid    uint32
	status taskStatus
}

// parseProcess reads a GetResponse of the tasks service.
func parseProcess(message []byte) (p taskProcess, err error) {
	err = rpc.Fields(message, func(f rpc.Field) error {
		if f.Number != 1 {
			return nil
		}
		return rpc.Fields(f.Bytes, func(f rpc.Field) error {
			switch f.Number {
			case 3:
				p.pid = uint32(f.Varint)
			case 4:
				p.status = taskStatus(f.Varint)
			}
			return nil
		})
	})
	return p, err
}
