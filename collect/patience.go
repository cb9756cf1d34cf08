package collect

import (
	"sync/atomic"
	"time"
)

// patienceSlices is into how many slices a patience is cut.
const patienceSlices = 10

// A patience is for a read that may block for ever: it is over when there was nothing
// to read for long. It counts the time in which this process ran. One that was starved
// of processors, or stopped, or whose machine was, finds a slice or two gone when it
// runs on, and reads on before the next: else whatever it was just reading would look
// blocked.
type patience struct {
	gone        atomic.Int32 // slices; a ticker drops those for which nobody was there
	done, ended chan struct{}
}

func newPatience(most time.Duration, over func()) *patience {
	p := &patience{done: make(chan struct{}), ended: make(chan struct{})}
	go p.run(time.NewTicker(most/patienceSlices), over)
	return p
}

func (p *patience) run(slice *time.Ticker, over func()) {
	defer close(p.ended)
	defer slice.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-slice.C:
		}
		if p.gone.Add(1) > patienceSlices {
			over()
			return
		}
	}
}

// again lets it begin anew: something was read.
func (p *patience) again() { p.gone.Store(0) }

// stop ends it. When it returns it is over or never will be.
func (p *patience) stop() {
	close(p.done)
	<-p.ended
}
