package door

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Meta says where a recording comes from.
type Meta struct {
	Version  string        `json:"version"` // of the sexton that recorded
	Created  time.Time     `json:"created"`
	Interval time.Duration `json:"-"`    // between looks; 0 if there is one
	Root     bool          `json:"root"` // the recorder was root: what it did not see is not there
	Name     string        `json:"name"` // of the host
	Kernel   string        `json:"kernel"`
	BootID   string        `json:"bootID"`
}

// A Recorder writes what looks at a host were told into one .tar.zst. It holds
// neither files nor answers in memory, only which ones it has.
type Recorder struct {
	mu       sync.Mutex
	file     store
	zip      *zstd.Encoder
	written  int64 // before compression
	tar      *tar.Writer
	taken    []time.Time               // of each look
	has      map[lookQuestion]struct{} // recorded
	again    map[lookQuestion]answer   // those that were asked twice
	err      error                     // the first failure: from then on nothing is recorded
	finished bool
	over     bool
}

type lookQuestion struct {
	look int
	question
}

// A store is what a Recorder needs of its file.
type store interface {
	io.WriteCloser
	io.ReaderAt
	Sync() error
	Name() string
	Stat() (fs.FileInfo, error)
}

// Create makes the file path, which must not exist, readable by its owner
// alone, and writes the head of a recording to it. Errors wrap those of the
// file: [fs.ErrExist], a full disk.
func Create(path string, meta Meta) (*Recorder, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	r, err := newRecorder(file, meta)
	if err != nil {
		file.Close()
		return nil, errors.Join(err, os.Remove(path))
	}
	return r, nil
}

// windowSize is how far back the compressor finds likeness: a process's files
// are like those of the one before. It decides what a recorder weighs.
const windowSize = 1 << 20

func newRecorder(file store, meta Meta) (*Recorder, error) {
	zip, err := zstd.NewWriter(file, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windowSize), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	r := &Recorder{file: file, zip: zip, has: map[lookQuestion]struct{}{}, again: map[lookQuestion]answer{}}
	r.tar = tar.NewWriter((*bounded)(r))
	head := manifest{Kind: kind, Format: format, Meta: meta, Interval: meta.Interval.String()}
	err = writeJSON(r.tar, manifestName, meta.Created, head)
	if err == nil {
		err = r.flush() // a disk without room is told before the scan, not after
	}
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	return r, nil
}

// bounded is the writer between the archive and its compression: what a
// recording cannot be read back from is told while it is made.
type bounded Recorder

func (b *bounded) Write(p []byte) (int, error) {
	const end = 4 << 10 // of the last entry and the archive
	if b.written += int64(len(p)); b.written > maxBytes-end && !b.over {
		return 0, ErrTooLarge
	}
	return b.zip.Write(p)
}

func (r *Recorder) flush() error {
	if err := r.tar.Flush(); err != nil {
		return err
	}
	return r.zip.Flush()
}

// Look returns a door that answers as d does and records each answer, errors
// too. Looks are numbered in the order in which they begin.
//
// In one look a question has one answer: whoever asks again gets the first,
// read back from the file, since that is what a replay will say. It costs
// milliseconds, so do not count on it. Once the recording is broken (a full
// disk), answers are d's own; [Recorder.Close] tells.
func (r *Recorder) Look(d Door) Door {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := d.Taken().UTC().Round(0)
	r.taken = append(r.taken, taken)
	l := &recordedLook{r: r, number: len(r.taken), door: d, taken: taken}
	if r.err == nil && !r.over {
		r.fail(writeJSON(r.tar, fmt.Sprintf("look-%d/look.json", l.number), taken, lookHead{taken}))
	}
	return l
}

// fail remembers the first failure.
func (r *Recorder) fail(err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("write recording: %w", err)
	}
}

// Close writes the end of the recording and waits until it is on the disk. If
// it fails, or anything failed before, there is no usable recording: call
// [Recorder.Abort].
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return r.err
	}
	r.over = true
	if r.err == nil {
		r.fail(r.finish())
	}
	if err := r.file.Close(); err != nil {
		r.fail(err)
	}
	r.finished = r.err == nil
	return r.err
}

func (r *Recorder) finish() error {
	end := tail{Looks: len(r.taken), Entries: len(r.has)}
	if err := writeJSON(r.tar, endName, time.Unix(0, 0), end); err != nil {
		return err
	}
	if err := r.tar.Close(); err != nil {
		return err
	}
	if err := r.zip.Close(); err != nil {
		return err
	}
	return r.file.Sync()
}

// Abort ends the recording and removes its file, unless Close has finished it:
// it may be deferred.
func (r *Recorder) Abort() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.finished {
		return nil
	}
	own, ownErr := r.file.Stat()
	if !r.over {
		r.over = true
		r.fail(fs.ErrClosed)
	}
	// The name may be another's by now.
	path := r.file.Name()
	there, err := os.Lstat(path)
	if err == nil && (ownErr != nil || os.SameFile(own, there)) {
		err = os.Remove(path)
	}
	r.file.Close()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// A recordedLook is one look through a Recorder.
type recordedLook struct {
	r      *Recorder
	number int
	door   Door
	taken  time.Time
}

func (l *recordedLook) Taken() time.Time { return l.taken }

func (l *recordedLook) ReadFile(path string) ([]byte, error) {
	a := l.answer(question{opRead, path}, func() answer {
		data, err := l.door.ReadFile(path)
		return answer{data: maskFile(path, data), err: err}
	})
	return a.data, a.err
}

func (l *recordedLook) ReadLink(path string) (string, error) {
	a := l.answer(question{opLink, path}, func() answer {
		text, err := l.door.ReadLink(path)
		return answer{data: []byte(text), err: err}
	})
	return string(a.data), a.err
}

func (l *recordedLook) ReadDir(path string) ([]string, error) {
	a := l.answer(question{opDir, path}, func() answer {
		names, err := l.door.ReadDir(path)
		return answer{names: names, err: err}
	})
	return a.names, a.err
}

func (l *recordedLook) Ask(name string, live func() ([]byte, error)) ([]byte, error) {
	a := l.answer(question{opAsk, name}, func() answer {
		data, err := l.door.Ask(name, live)
		return answer{data: maskFile(name, data), err: err}
	})
	return a.data, a.err
}

// answer gets the answer of q, recorded already or from live.
func (l *recordedLook) answer(q question, live func() answer) answer {
	// The last gate before a secret is on a disk.
	if err := refuse(q.op, q.path); err != nil {
		return answer{err: &Error{q.op, q.path, err}}
	}
	key := lookQuestion{l.number, q}
	if a, ok := l.r.recall(key); ok {
		return a
	}
	a := live() // outside of the lock: it may take its time
	if a.err != nil {
		a.err, a.names = recordable(q, a.err), nil
	}
	return l.r.put(key, a, l.taken)
}

// recall returns what is recorded for key, if it is and can be read back.
func (r *Recorder) recall(key lookQuestion) (answer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recallLocked(key)
}

func (r *Recorder) recallLocked(key lookQuestion) (answer, bool) {
	if _, ok := r.has[key]; !ok || r.err != nil || r.over {
		return answer{}, false
	}
	a, ok := r.again[key]
	if !ok {
		err := r.flush()
		if err == nil {
			a, err = findAnswer(io.NewSectionReader(r.file, 0, 1<<62), key)
		}
		if err != nil {
			r.fail(fmt.Errorf("read %s back: %w", key.path, err))
			return answer{}, false
		}
		r.again[key] = a
	}
	return a.clone(), true
}

// put records a, and returns what a replay will say.
func (r *Recorder) put(key lookQuestion, a answer, taken time.Time) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first, ok := r.recallLocked(key); ok {
		return first // another goroutine was faster
	}
	if len(r.has) >= maxEntries/2 {
		r.fail(fmt.Errorf("%d answers: %w", len(r.has), ErrTooLarge))
	}
	if r.err != nil || r.over {
		return a
	}
	h, body := entryOf(key.look, len(r.has), key.question, a, taken)
	err := r.tar.WriteHeader(h)
	if err == nil {
		_, err = r.tar.Write(body)
	}
	if err != nil {
		r.fail(err)
		return a
	}
	r.has[key] = struct{}{}
	return a
}
