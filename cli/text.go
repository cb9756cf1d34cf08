package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxText bounds what a user may paste.
const maxText = 64 << 20

// readText reads a file of the user's, or standard input for "-".
func (s *session) readText(file string) ([]byte, error) {
	in, err := s.openText(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxText+1))
	if err == nil && len(text) > maxText {
		err = withHint(errors.New("too large"), "the lines that matter alone: at most 64 MiB are read")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return text, nil
}

// openText opens a file of the user's, or standard input for "-".
func (s *session) openText(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(s.Stdin), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, withHint(err, "the name of a file, or - for standard input")
	}
	return f, nil
}
