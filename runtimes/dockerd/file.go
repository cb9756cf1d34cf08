package dockerd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A File is a daemon's file of settings, daemon.json.
type File struct {
	LiveRestore   *bool    `json:"live-restore,omitempty"`
	DataRoot      string   `json:"data-root,omitempty"`
	Graph         string   `json:"graph,omitempty"` // the name of data-root before 17.05
	ExecRoot      string   `json:"exec-root,omitempty"`
	Debug         bool     `json:"debug,omitempty"`
	LogLevel      string   `json:"log-level,omitempty"`
	StorageDriver string   `json:"storage-driver,omitempty"`
	StorageOpts   []string `json:"storage-opts,omitempty"`
}

// A FormatError is of a file that is no JSON, or has a setting of another type.
type FormatError struct {
	Line int // from 1
	Err  error
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("line %d: docker's settings: %v", e.Line, e.Err)
}

// Unwrap returns what encoding/json says.
func (e *FormatError) Unwrap() error { return e.Err }

// ParseFile reads daemon.json. An empty file sets nothing, as dockerd has it. The
// error is a [FormatError].
//
// Source: moby v28 daemon/config/config.go, getConflictFreeConfiguration.
func ParseFile(text []byte) (*File, error) {
	var f File
	if len(bytes.TrimSpace(text)) == 0 {
		return &f, nil
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, &FormatError{lineOf(text, err), err}
	}
	return &f, nil
}

// Root is the directory of the data, "" if the file does not say, or says both names.
func (f *File) Root() string {
	if f.DataRoot != "" && f.Graph != "" {
		return ""
	}
	return f.DataRoot + f.Graph
}

// lineOf is the line that an error is about.
func lineOf(text []byte, err error) int {
	at := int64(0)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = syntax.Offset
	} else if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		at = kind.Offset
	}
	return 1 + bytes.Count(text[:min(max(at, 0), int64(len(text)))], []byte("\n"))
}

// Lines tells on which line of a file of settings each value stands, by the name of
// the setting; of a list by the name, a dot and the number from 0: "storage-opts.1".
// Of a name that comes twice it is the last one, which holds. Names are in lower
// case: encoding/json takes them in any.
func Lines(text []byte) map[string]int {
	out := map[string]int{}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return out
	}
	line := func() int { return 1 + bytes.Count(text[:d.InputOffset()], []byte("\n")) }
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return out
		}
		name, _ := key.(string)
		name = strings.ToLower(name)
		out[name] = line()
		if err := values(d, name, func(item string) { out[item] = line() }); err != nil {
			return out
		}
	}
	return out
}

// values passes over one value, and tells the items of a list.
func values(d *json.Decoder, name string, tell func(item string)) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	for n := 0; d.More(); n++ {
		if open == '[' {
			var item json.RawMessage
			if err := d.Decode(&item); err != nil {
				return err
			}
			tell(name + "." + strconv.Itoa(n))
			continue
		}
		if err := skip(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// skip passes over a name and its value.
func skip(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return err
	}
	var value json.RawMessage
	if err := d.Decode(&value); err != nil && err != io.EOF {
		return err
	}
	return nil
}
