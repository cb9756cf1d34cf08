package door

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
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
	plain, compressed, err := inflate(name, in, limit)
	switch {
	case err != nil || compressed || isTar(head):
		return plain, err
	case len(head) < len(magicZstd) && bytes.HasPrefix(magicZstd, head):
		return nil, &FileError{Path: name, Why: "ends early: it was not finished", Try: "record again"}
	}
	return nil, &FileError{Path: name, Why: "is neither a recording nor a sos report"}
}

// inflate returns what is in a stream, and whether it was compressed. Reading more than
// limit bytes of it gives [ErrTooLarge].
func inflate(name string, in *bufio.Reader, limit int64) (plain io.ReadCloser, compressed bool, err error) {
	head, _ := in.Peek(len(magicXZ)) // of less there is nothing to unpack
	var r io.Reader
	end := func() {}
	switch {
	case bytes.HasPrefix(head, magicZstd):
		var zip *zstd.Decoder
		if zip, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20)); err == nil {
			r, end = zip, zip.Close
		}
	case bytes.HasPrefix(head, magicGzip):
		r, err = gzip.NewReader(in)
	case bytes.HasPrefix(head, magicBzip2):
		r = bzip2.NewReader(in)
	case bytes.HasPrefix(head, magicXZ):
		if err = smallDictionary(in); err == nil {
			r, err = xz.NewReader(in)
		}
	default:
		return &stream{in, limit, end}, false, nil
	}
	if err != nil {
		return nil, true, &FileError{name, "is damaged", "", err}
	}
	return &stream{r, limit, end}, true, nil
}

// smallDictionary refuses what wants more memory than xz -9 does: up to 4 GiB are allowed.
//
// Source: the .xz file format 1.2, 3.1: a block begins with its size, flags, and sizes of
// up to 9 bytes, then filters: that of LZMA2 has number 0x21 and one byte, its dictionary.
func smallDictionary(in *bufio.Reader) error {
	const most, streamHeader = 64 << 20, 12
	head, _ := in.Peek(streamHeader + 2 + 9 + 9 + 3)
	at := streamHeader + 2
	for _, size := range []byte{0x40, 0x80} {
		if len(head) < at || head[streamHeader+1]&size == 0 {
			continue
		}
		for at < len(head) && head[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if len(head) < at+3 || head[at] != 0x21 {
		return nil // the reader of it tells
	}
	if n, err := lzma.DecodeDictCap(head[at+2]); err == nil && n > most {
		return fmt.Errorf("a dictionary of %d MiB: %w", n>>20, ErrTooLarge)
	}
	return nil
}

// isTar reports whether the first bytes of a stream are those of a tar archive.
func isTar(head []byte) bool {
	return len(head) >= tarMagicEnd && strings.HasPrefix(string(head[tarMagic:]), "ustar")
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
