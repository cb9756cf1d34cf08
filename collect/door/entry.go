package door

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"
)

// The archive, format 1. tar -tf lists it, tar -xf makes a tree to grep in:
//
//	manifest.json           first: who recorded what, when
//	look-1/look.json        when the look began
//	look-1/proc/1/stat      a file
//	look-1/proc/1/exe       a link
//	look-1/proc/1/fd/.names the names in a directory, one a line
//	look-1/ask/NAME         what was asked and is no file
//	look-1/proc/1/stack.error  the text of an error
//	look-1/other/7          what has no name that suits a tar
//	end.json                last: how many entries there should be
//
// An error, and all whose name does not say it, carries its question in PAX
// records, and then the name is for people only.
const (
	format       = 1
	manifestName = "manifest.json"
	endName      = "end.json"
	kind         = "sexton recording"
	namesFile    = ".names"
)

// The PAX records. GNU tar warns of each keyword that it does not know, but not
// of extended attributes.
const (
	pax        = "SCHILY.xattr.user.sexton."
	paxOp      = pax + "op"
	paxPath    = pax + "path"
	paxError   = pax + "error"   // its text
	paxErrno   = pax + "errno"   // ESRCH
	paxIs      = pax + "is"      // names of sentinels, split by commas
	paxPartial = pax + "partial" // the body is data that came with the error
	paxSplit   = pax + "split"   // names end with NUL: one of them has a newline in it
)

// manifest is the first entry.
type manifest struct {
	Kind   string `json:"kind"`
	Format int    `json:"format"`
	Meta
	Interval string `json:"interval"` // as time.Duration prints it; hides Meta's
}

// lookHead begins a look.
type lookHead struct {
	Taken time.Time `json:"taken"`
}

// tail is the last entry.
type tail struct {
	Looks   int `json:"looks"`
	Entries int `json:"entries"` // answers, in all looks
}

// entryOf makes the tar entry of an answer. serial is not used twice.
func entryOf(look, serial int, q question, a answer, taken time.Time) (*tar.Header, []byte) {
	h := &tar.Header{Typeflag: tar.TypeReg, Mode: 0o600, ModTime: taken.Truncate(time.Second)}
	records := map[string]string{}
	body := a.data
	if q.op == opDir && a.err == nil {
		split := "\n"
		for _, name := range a.names {
			if strings.Contains(name, "\n") {
				split = "\x00"
				records[paxSplit] = "nul"
				break
			}
		}
		body = joinNames(a.names, split)
	}
	name, plain := nameOf(q)
	if a.err != nil {
		plain = false
		name += ".error"
		text, errno, is := describe(a.err.(*Error).Err)
		records[paxError] = text
		if errno != "" {
			records[paxErrno] = errno
		}
		if len(is) > 0 {
			records[paxIs] = strings.Join(is, ",")
		}
		if len(a.data) > 0 {
			records[paxPartial] = "yes"
		} else {
			body = []byte(text + "\n")
		}
	} else if q.op == opLink && plain && len(a.data) > 0 {
		h.Typeflag, h.Linkname, body = tar.TypeSymlink, string(a.data), nil
	} else if q.op == opLink {
		plain = false
	}
	if name == "" || name == ".error" {
		name = fmt.Sprintf("/other/%d%s", serial, name)
	}
	if !plain {
		records[paxOp], records[paxPath] = q.op, q.path
	}
	if len(records) > 0 {
		h.PAXRecords = records
		h.Format = tar.FormatPAX
	}
	h.Name, h.Size = "look-"+strconv.Itoa(look)+name, int64(len(body))
	return h, body
}

// nameOf returns the name below look-N and whether it says the question. It is
// "" where only a number will do.
func nameOf(q question) (name string, plain bool) {
	if q.op == opAsk {
		if name = "/ask/" + q.path; path.Clean(name) != name || strings.ContainsRune(name, 0) || strings.Contains(name, "/"+namesFile) {
			return "", false
		}
		return name, true
	}
	if strings.Contains(q.path+"/", "/"+namesFile+"/") {
		return "", false
	}
	switch q.op {
	case opDir:
		return q.path + "/" + namesFile, true
	case opLink:
		// A link that is also walked through (/proc/self, /sys/block/sda) would
		// be a link and a directory to tar.
		first, below, _ := strings.Cut(strings.TrimPrefix(q.path, pidPrefix), "/")
		if number(first) && below != "" {
			return q.path, true
		}
		return q.path + ".link", false
	}
	return q.path, true
}

func joinNames(names []string, split string) []byte {
	var b bytes.Buffer
	for _, name := range names {
		b.WriteString(name)
		b.WriteString(split)
	}
	return b.Bytes()
}

// lookOf splits "look-3/proc/1/stat" into 3 and "/proc/1/stat".
func lookOf(name string) (look int, rest string, ok bool) {
	name, ok = strings.CutPrefix(name, "look-")
	i := strings.IndexByte(name, '/')
	if !ok || i < 0 {
		return 0, "", false
	}
	look, err := strconv.Atoi(name[:i])
	return look, name[i:], err == nil && look >= 1
}

// questionOf says what an entry answers; rest is its name behind look-N.
func questionOf(h *tar.Header, rest string) (question, error) {
	if op, ok := h.PAXRecords[paxOp]; ok {
		switch op {
		case opRead, opLink, opDir, opAsk:
			return question{op, h.PAXRecords[paxPath]}, nil
		}
		return question{}, fmt.Errorf("entry %q has an unknown operation %q", h.Name, op)
	}
	if name, ok := strings.CutPrefix(rest, "/ask/"); ok {
		return question{opAsk, name}, nil
	}
	if name, ok := strings.CutSuffix(rest, "/"+namesFile); ok {
		return question{opDir, name}, nil
	}
	if h.Typeflag == tar.TypeSymlink {
		return question{opLink, rest}, nil
	}
	return question{opRead, rest}, nil
}

// answerOf makes the answer of an entry and its body.
func answerOf(h *tar.Header, q question, body []byte) (answer, error) {
	if text, ok := h.PAXRecords[paxError]; ok {
		var is []string
		if names := h.PAXRecords[paxIs]; names != "" {
			is = strings.Split(names, ",")
		}
		a := answer{err: &Error{q.op, q.path, revive(text, h.PAXRecords[paxErrno], is)}}
		if _, ok := h.PAXRecords[paxPartial]; ok {
			a.data = body
		}
		return a, nil
	}
	if h.Typeflag == tar.TypeSymlink {
		return answer{data: []byte(h.Linkname)}, nil
	}
	if q.op != opDir {
		return answer{data: body}, nil
	}
	split := "\n"
	if _, ok := h.PAXRecords[paxSplit]; ok {
		split = "\x00"
	}
	text := string(body)
	if text != "" && !strings.HasSuffix(text, split) {
		return answer{}, fmt.Errorf("entry %q: the last name has no end", h.Name)
	}
	names := strings.Split(text, split)
	return answer{names: names[:len(names)-1]}, nil
}

// writeJSON writes one of the entries that are not answers.
func writeJSON(w *tar.Writer, name string, taken time.Time, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	text = append(text, '\n')
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, ModTime: taken.Truncate(time.Second), Size: int64(len(text))}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readBody reads the body of an entry if it is not larger than limit.
func readBody(h *tar.Header, r io.Reader, limit int64) ([]byte, error) {
	if h.Typeflag != tar.TypeReg {
		return nil, nil
	}
	if h.Size > limit {
		return nil, ErrTooLarge
	}
	body := make([]byte, h.Size)
	_, err := io.ReadFull(r, body)
	return body, err
}
