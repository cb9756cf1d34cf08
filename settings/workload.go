package settings

import (
	"fmt"
	"strings"
)

// A Place is where in a file something stands.
type Place struct {
	File string
	Line int // from 1; 0: the whole file
}

// Where is the place as compilers write it.
func (p Place) Where() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// A Workload are containers that one object asks for: a pod or what makes pods, a
// service of a compose file, an image.
type Workload struct {
	Format    Format
	Kind      string // DaemonSet, service, image
	Name      string // with its namespace, if it has one: kube-system/agent
	File      string
	OtherPID1 bool // PID 1 is the pod's pause container, or the host's init

	Containers []Container
}

// A Format is the language in which a workload is written. It decides how a remedy is.
type Format int

// The formats that are read.
const (
	Kubernetes Format = iota
	Compose
	Image // for docker run
)

// A Container is one of a workload's.
type Container struct {
	Name    string
	Brief   bool // an init container: it ends before the others start
	Init    bool // its runtime puts an init in front: init: true
	Program Program
	Binds   []Bind
	Memory  Memory
}

// A Program is what is to be PID 1. Without an Argv that is left to the image.
type Program struct {
	Argv  []string
	Shell string // of a Dockerfile's shell form: why it is one
	Place
}

// A Bind is a directory of the host in a container.
type Bind struct {
	Host, At    string   // on the host, in the container
	Propagation string   // as the format has it: HostToContainer, rslave; "" if it does not say
	Shallow     bool     // without the mounts below it
	Options     []string // further ones, in the short form: ro, z
	Place
}

// Memory is a limit; Bytes are 0 where there is none.
type Memory struct {
	Bytes int64
	Text  string
	Place
}

// label names one container of a workload in full.
func (w *Workload) label(c *Container) string {
	text := w.Kind + " " + w.Name
	if w.Format == Image {
		text = strings.TrimSuffix("the image of "+w.File+", "+w.Name, ", ")
	}
	if c.Name != "" && w.Format == Kubernetes {
		text += ", container " + c.Name
	}
	return text
}
