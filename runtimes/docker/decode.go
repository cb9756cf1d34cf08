package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
)

var errNotList = errors.New("the reply is not a list of containers")

// maxEntry bounds one container's entry in bytes. Kubernetes keeps annotations
// of up to 256 KiB in labels.
const maxEntry = 4 << 20

// maxBlank bounds the bytes between entries: the decoder reads blanks again
// from the first one whenever more come.
const maxBlank = 64 << 10

// An entry is the part of a listed container that is kept. What is not here
// (commands, mounts, all other labels) is skipped while it is read.
type entry struct {
	ID     string `json:"Id"`
	Names  firstName
	Image  string
	State  string
	Status string
	Labels struct {
		Pod       string `json:"io.kubernetes.pod.name"`
		PodNS     string `json:"io.kubernetes.pod.namespace"`
		PodUID    string `json:"io.kubernetes.pod.uid"`
		Container string `json:"io.kubernetes.container.name"`
		Type      string `json:"io.kubernetes.docker.type"`
	}
}

// decodeList reads GET /containers/json. It holds one entry at a time, and
// fails past [dial.MaxContainers] entries or maxEntry bytes of one. Errors for
// a reply of another kind wrap errNotList; for a body that breaks off they are
// those of the reader.
//
// Source: Docker Engine API v1.24, ContainerList.
func decodeList(r io.Reader) ([]runtimes.Container, error) {
	bounded := &io.LimitedReader{R: r, N: maxBlank}
	dec := json.NewDecoder(bounded)
	start, err := dec.Token()
	if err != nil {
		return nil, readError(bounded, 0, err)
	}
	if start != json.Delim('[') {
		return nil, fmt.Errorf("%w: it starts with %.40q", errNotList, fmt.Sprint(start))
	}
	var found []runtimes.Container
	for more(dec, bounded) {
		var e entry
		bounded.N = maxEntry
		if err := dec.Decode(&e); err != nil {
			return nil, readError(bounded, len(found), err)
		}
		if e.ID == "" {
			return nil, fmt.Errorf("%w: entry %d has no Id", errNotList, len(found))
		}
		if len(found) == dial.MaxContainers {
			return nil, fmt.Errorf("over %d containers", dial.MaxContainers)
		}
		found = append(found, e.container())
	}
	if _, err := dec.Token(); err != nil {
		return nil, readError(bounded, len(found), err)
	}
	return found, nil
}

func more(dec *json.Decoder, bounded *io.LimitedReader) bool {
	bounded.N = maxBlank
	return dec.More()
}

// readError tells a broken reply from one that is something else.
func readError(bounded *io.LimitedReader, n int, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case bounded.N <= 0:
		return fmt.Errorf("%w: entry %d does not end", errNotList, n)
	case errors.As(err, &syntax), errors.As(err, &kind):
		return fmt.Errorf("%w: entry %d: %w", errNotList, n, err)
	}
	return fmt.Errorf("entry %d: %w", n, err)
}

func (e *entry) container() runtimes.Container {
	c := runtimes.Container{
		ID:      e.ID,
		Name:    string(e.Names),
		Image:   e.Image,
		State:   strings.ToLower(e.State),
		Status:  e.Status,
		Health:  healthChecked(e.Status),
		Pod:     e.Labels.Pod,
		PodNS:   e.Labels.PodNS,
		PodUID:  e.Labels.PodUID,
		Sandbox: e.Labels.Type == "podsandbox",
	}
	if c.Pod != "" && e.Labels.Container != "" {
		c.Name = e.Labels.Container
	}
	return c
}

// healthChecked reports whether the status sentence ends in the state of a
// health check.
//
// Source: moby v20.10 container/state.go, State.String, and container/health.go.
func healthChecked(status string) bool {
	for _, end := range []string{"(healthy)", "(unhealthy)", "(health: starting)"} {
		if strings.HasSuffix(status, end) {
			return true
		}
	}
	return false
}

// A firstName is a container's own name out of its list of names. The others
// are links, "/parent/alias", and may come first.
type firstName string

// UnmarshalJSON reads name by name, as a list of empty names is longer in
// memory than on the wire.
func (f *firstName) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	start, err := dec.Token()
	if err != nil || start == nil {
		return err
	}
	if start != json.Delim('[') {
		return fmt.Errorf("%w: Names is %.40q", errNotList, b)
	}
	*f = ""
	for dec.More() {
		var name string
		if err := dec.Decode(&name); err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "/")
		if *f == "" || !strings.Contains(name, "/") {
			*f = firstName(name)
		}
		if name != "" && !strings.Contains(name, "/") {
			return nil
		}
	}
	return nil
}
