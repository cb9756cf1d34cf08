package door

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// OpenAny opens a recording or a sos report, whichever path is.
func OpenAny(path string) (*Recording, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if info.IsDir() {
		return OpenSOS(path)
	}
	sos, err := startsSOS(path, file)
	if err != nil {
		return nil, err
	}
	if sos {
		return OpenSOS(path)
	}
	return OpenRecording(path)
}

// startsSOS reports whether the first entry of an archive is not a recording's.
// One that ends before it has an entry is a recording: those may be cut.
func startsSOS(name string, r io.Reader) (bool, error) {
	stream, err := unpack(name, r, maxBytes)
	if err != nil {
		return false, err
	}
	defer stream.Close()
	h, err := tar.NewReader(stream).Next()
	return err == nil && h.Name != manifestName, nil
}

// Magic numbers. Sources: RFC 8878, RFC 1952, the .xz file format 1.2, bzip2.
var (
	magicZstd  = []byte("\x28\xb5\x2f\xfd")
	magicGzip  = []byte("\x1f\x8b")
	magicXZ    = []byte("\xfd7zXZ\x00")
	magicBzip2 = []byte("BZh")
)

// unpack returns the tar stream in r, which may be compressed. Reading more
// than limit bytes of it gives [ErrTooLarge].
func unpack(name string, r io.Reader, limit int64) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(tarMagicEnd)
	if err != nil && err != io.EOF {
		return nil, err
	}
	damaged := func(err error) error { return &FileError{name, "is damaged", "", err} }
	switch {
	case bytes.HasPrefix(head, magicZstd):
		zip, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return nil, damaged(err)
		}
		return &stream{zip, limit, zip.Close}, nil
	case bytes.HasPrefix(head, magicGzip):
		zip, err := gzip.NewReader(in)
		if err != nil {
			return nil, damaged(err)
		}
		return &stream{zip, limit, func() { zip.Close() }}, nil
	case bytes.HasPrefix(head, magicBzip2):
		return &stream{bzip2.NewReader(in), limit, func() {}}, nil
	case bytes.HasPrefix(head, magicXZ):
		zip, err := xz.NewReader(in)
		if err != nil {
			return nil, damaged(err)
		}
		return &stream{zip, limit, func() {}}, nil
	case len(head) == tarMagicEnd && strings.HasPrefix(string(head[tarMagic:]), "ustar"):
		return &stream{in, limit, func() {}}, nil
	case len(head) < len(magicZstd) && bytes.HasPrefix(magicZstd, head):
		return nil, &FileError{Path: name, Why: "ends early: it was not finished", Try: "record again"}
	}
	return nil, &FileError{Path: name, Why: "is neither a recording nor a sos report"}
}

// Where "ustar" stands in the first header of a tar archive. Source: tar(5).
const (
	tarMagic    = 257
	tarMagicEnd = tarMagic + len("ustar")
)

// A stream reads at most its limit.
type stream struct {
	r     io.Reader
	room  int64
	close func()
}

func (s *stream) Read(p []byte) (int, error) {
	if s.room <= 0 {
		return 0, ErrTooLarge
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.room)])
	s.room -= int64(n)
	return n, err
}

func (s *stream) Close() error {
	s.close()
	return nil
}
