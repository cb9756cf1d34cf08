package cri

import (
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/rpc"
)

// The messages of the interface, as far as they are read. The numbers are those
// of the fields.
//
// Source: k8s.io/cri-api v0.37 pkg/apis/runtime/v1/api.proto.

// A pod is a PodSandbox.
type pod struct {
	id, name, uid, namespace string
	state                    uint64
}

// PodSandboxState's.
const (
	sandboxReady    = 0
	sandboxNotReady = 1
)

// A record is a Container.
type record struct {
	id, pod, name                    string
	image, userImage, imageReference string
	state                            uint64
	labels                           map[string]string
}

// ContainerState's.
const (
	containerCreated = 0
	containerRunning = 1
	containerExited  = 2
)

// parseVersion reads a VersionResponse: the runtime's name and version.
func parseVersion(message []byte) (name, version string, err error) {
	err = rpc.Fields(message, func(f rpc.Field) error {
		switch f.Number {
		case 2:
			name = f.Text()
		case 3:
			version = f.Text()
		}
		return nil
	})
	return name, version, err
}

// parsePods reads a ListPodSandboxResponse.
func parsePods(message []byte) (pods []pod, err error) {
	err = rpc.Fields(message, func(f rpc.Field) error {
		if f.Number != 1 {
			return nil
		}
		pods = append(pods, pod{})
		return pods[len(pods)-1].parse(f.Bytes)
	})
	return pods, err
}

func (p *pod) parse(message []byte) error {
	return rpc.Fields(message, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			p.id = f.Text()
		case 2: // PodSandboxMetadata
			return rpc.Fields(f.Bytes, func(f rpc.Field) error {
				switch f.Number {
				case 1:
					p.name = f.Text()
				case 2:
					p.uid = f.Text()
				case 3:
					p.namespace = f.Text()
				}
				return nil
			})
		case 3:
			p.state = f.Varint
		}
		return nil
	})
}

// parseRecords reads a ListContainersResponse.
func parseRecords(message []byte) (found []record, err error) {
	err = rpc.Fields(message, func(f rpc.Field) error {
		if f.Number != 1 {
			return nil
		}
		found = append(found, record{})
		return found[len(found)-1].parse(f.Bytes)
	})
	return found, err
}

func (r *record) parse(message []byte) error {
	return rpc.Fields(message, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			r.id = f.Text()
		case 2:
			r.pod = f.Text()
		case 3: // ContainerMetadata: its name
			return rpc.Fields(f.Bytes, func(f rpc.Field) error {
				if f.Number == 1 {
					r.name = f.Text()
				}
				return nil
			})
		case 4: // ImageSpec
			return rpc.Fields(f.Bytes, func(f rpc.Field) error {
				switch f.Number {
				case 1:
					r.image = f.Text()
				case 18:
					r.userImage = f.Text()
				}
				return nil
			})
		case 5:
			r.imageReference = f.Text()
		case 6:
			r.state = f.Varint
		case 8:
			key, value, err := rpc.Entry(f.Bytes)
			if r.labels == nil {
				r.labels = map[string]string{}
			}
			r.labels[key] = value
			return err
		}
		return nil
	})
}

// A condition is a ContainerStatus, or a PodSandboxStatus as far as it has the same
// fields: its id and state.
type condition struct {
	id      string
	state   uint64
	started int64 // nanoseconds since 1970; 0: never
	labels  map[string]string
}

func (s condition) run() runtimes.Run {
	r := runtimes.Run{ID: s.id, State: state(s.state)}
	if s.started != 0 {
		r.Started = time.Unix(0, s.started).UTC()
	}
	return r
}

// parseStatus reads a ContainerStatusResponse or a PodSandboxStatusResponse.
func parseStatus(message []byte) (s condition, err error) {
	s.labels = map[string]string{}
	err = rpc.Fields(message, func(f rpc.Field) error {
		if f.Number != 1 {
			return nil
		}
		return rpc.Fields(f.Bytes, func(f rpc.Field) error {
			switch f.Number {
			case 1:
				s.id = f.Text()
			case 3:
				s.state = f.Varint
			case 5:
				s.started = int64(f.Varint)
			case 12:
				key, value, err := rpc.Entry(f.Bytes)
				s.labels[key] = value
				return err
			}
			return nil
		})
	})
	return s, err
}
