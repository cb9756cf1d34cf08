package collect

import (
	"context"
	"fmt"
	"path"
	"time"

	"sexton.dev/linux/kmsg"
	"sexton.dev/snapshot"
)

// kernelLog reads what the kernel's log tells of trouble, to its end. Nothing of it
// is cleared, and what others read of it they read all the same.
func (l *looker) kernelLog(ctx context.Context) {
	if !l.wants(snapshot.Log) {
		return
	}
	text, err := l.Ask("kmsg", func() ([]byte, error) { return kmsg.Copy(ctx, path.Join("/", l.Root, kmsg.Device), time.Now) })
	if err != nil {
		l.missing(snapshot.Log, "the kernel's log", cause(err))
		return
	}
	past := kmsg.ReadCopy(text)
	l.unread(snapshot.Log, "a record of the kernel's log", past.Unread)
	lack := func(why string) {
		l.h.Unread = append(l.h.Unread, snapshot.Unread{Part: snapshot.Log, Path: "the kernel's log", Err: why})
	}
	began := l.h.Taken.Add(-time.Duration(l.h.Uptime * float64(time.Second))) // of the records' clock, which stands still while the host sleeps
	if past.Clock > 0 {
		began = past.Time.Add(-past.Clock)
	}
	log := &snapshot.KernelLog{PIDs: !l.h.Nested}
	if past.First >= 0 {
		log.From = began.Add(past.First).UTC().Truncate(time.Second)
	}
	if past.Wrapped && l.h.Taken.Sub(log.From) < l.Since {
		lack(fmt.Sprintf("its oldest record is of %s: what it told before has been overwritten", log.From.Format(time.RFC3339)))
	}
	if past.Lost > 0 {
		lack(fmt.Sprintf("%d records were overwritten while it was read", past.Lost))
	}
	if past.Left > 0 {
		lack(fmt.Sprintf("it tells of more than is kept: the oldest %d events are left out", past.Left))
	}
	for _, e := range past.Events {
		log.Events = append(log.Events, logEvent(e, began))
	}
	l.h.Log = log
}

func logEvent(e kmsg.Event, began time.Time) snapshot.LogEvent {
	out := snapshot.LogEvent{Family: string(e.Family), Container: e.Container, PodUID: e.PodUID, Process: e.Process, PID: e.PID,
		Cgroup: e.Cgroup, Global: e.Global, Limit: e.Limit, Device: e.Device, Text: e.Text}
	if e.Boot >= 0 && !began.IsZero() {
		out.Time = began.Add(e.Boot).UTC().Truncate(time.Second)
	}
	if e.Times > 1 {
		out.Times = e.Times
		if e.Last >= 0 && !began.IsZero() {
			out.Last = began.Add(e.Last).UTC().Truncate(time.Second)
		}
	}
	return out
}
