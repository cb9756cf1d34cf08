package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sexton.dev/linux/kmsg"
)

// A kernelLog is what kmsg prints.
type kernelLog struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Items      []kernelEvent `json:"items"`
	Left       int           `json:"left,omitempty"` // events beyond the first 10,000
	Lost       uint64        `json:"lost,omitempty"` // records that were overwritten before they were read
}

// A kernelEvent is one event; what the log does not say is null.
type kernelEvent struct {
	Family        string     `json:"family"`
	ContainerID   *string    `json:"containerID"`
	PodUID        *string    `json:"podUID"`
	VictimProcess *string    `json:"victimProcess"`
	VictimPID     *int       `json:"victimPID"`
	Device        *string    `json:"device"`
	Time          *time.Time `json:"time"`
	Stamp         string     `json:"stamp,omitempty"` // the time as the log has it
	Seq           *int64     `json:"seq"`
	Cgroup        string     `json:"cgroup,omitempty"`
	Outer         []string   `json:"outerContainers,omitempty"`
	Global        bool       `json:"global,omitempty"` // an OOM of the host
	Limit         uint64     `json:"limit,omitempty"`  // bytes
	Times         int        `json:"times"`
	Log           string     `json:"log,omitempty"` // of a sos report: the first of its files that tells of it
	Text          string     `json:"text"`
}

func kernelItem(e kmsg.Event) kernelEvent {
	item := kernelEvent{Family: string(e.Family), ContainerID: orNull(e.Container), PodUID: orNull(e.PodUID), VictimProcess: orNull(e.Process),
		VictimPID: orNull(e.PID), Device: orNull(e.Device), Stamp: stampOf(e), Cgroup: e.Cgroup, Outer: e.Outer, Global: e.Global, Limit: e.Limit,
		Times: e.Times, Log: e.Log, Text: e.Text}
	if !e.Time.IsZero() {
		item.Time = &e.Time
	}
	if e.Seq >= 0 {
		item.Seq = &e.Seq
	}
	return item
}

// stampOf is the time as the log has it. In /dev/kmsg that is since boot, which
// dmesg prints in seconds.
func stampOf(e kmsg.Event) string {
	if e.Stamp == "" && e.Boot >= 0 {
		return fmt.Sprintf("%.6f", e.Boot.Seconds())
	}
	return e.Stamp
}

// orNull is nil for a value that says nothing.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// printKernelEvent prints one event as it comes.
func (s *session) printKernelEvent(out outputFlags, e kmsg.Event) error {
	item := kernelItem(e)
	return s.print(out, item, []any{item}, func(p *page, wide bool) {
		row := kernelRow(e, wide)
		var said []string
		for _, cell := range row {
			if cell != "" {
				said = append(said, cell)
			}
		}
		p.line("%s", strings.Join(said, "  "))
	})
}

func drawKernelLog(events []kmsg.Event) func(*page, bool) {
	return func(p *page, wide bool) {
		if len(events) == 0 {
			p.line("The log tells of no trouble.")
			return
		}
		heads := []string{"WHEN", "FAMILY", "CONTAINER", "PROCESS", "DEVICE", "TIMES", "WHAT"}
		var rows [][]string
		several := slices.ContainsFunc(events, func(e kmsg.Event) bool { return e.Log != "" })
		for _, e := range events {
			row := kernelRow(e, wide)
			if several {
				row = slices.Insert(row, len(row)-1, e.Log)
			}
			rows = append(rows, row)
		}
		if several {
			heads = slices.Insert(heads, len(heads)-1, "LOG")
		}
		p.table(heads, rows)
	}
}

// kernelRow is an event for people. Of several messages the last tells most: it
// is the kill, or the worst that a device came to.
func kernelRow(e kmsg.Event, wide bool) []string {
	when := stampOf(e)
	if !e.Time.IsZero() {
		when = e.Time.Local().Format(time.DateTime)
	}
	container, process := e.Container, e.Process
	what := e.Text[strings.LastIndexByte(e.Text, '\n')+1:]
	if wide {
		what = e.Text
		if e.PodUID != "" {
			container = strings.TrimPrefix(e.PodUID+"/"+container, "/")
		}
	} else {
		container = container[:min(len(container), 12)]
		if container == "" && e.PodUID != "" {
			container = "pod " + e.PodUID
		}
	}
	if e.PID != 0 {
		process = strings.TrimSpace(process + " " + strconv.Itoa(e.PID))
	}
	return []string{when, string(e.Family), container, process, e.Device, strconv.Itoa(e.Times), what}
}
