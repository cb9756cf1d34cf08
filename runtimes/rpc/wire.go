package rpc

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"sexton.dev/runtimes/dial"
)

// errTooMany is the error of a message with too many elements.
var errTooMany = errors.New("too many elements in one message")

// A Field is one field of a message: its number, and its value by its type on
// the wire. Numbers of a fixed size are left out of all messages that are read.
type Field struct {
	Number int
	Bytes  []byte // of strings, bytes and messages; it is part of the message
	Varint uint64 // of numbers, enumerations and booleans
}

// Text is the field as a string: the bytes as they came, UTF-8 or not, so that
// what one container calls itself cannot hide the others.
func (f Field) Text() string { return string(f.Bytes) }

// Fields calls each with every field of a message in the protocol-buffer format.
// It stops at the first error, and after [dial.MaxContainers] fields: an empty
// element of a list is two bytes.
//
// Source: https://protobuf.dev/programming-guides/encoding/
func Fields(message []byte, each func(Field) error) error {
	for n := 0; len(message) > 0; n++ {
		if n == dial.MaxContainers {
			return fmt.Errorf("over %d fields: %w", n, errTooMany)
		}
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return fmt.Errorf("field %d: %w", n, protowire.ParseError(size))
		}
		message = message[size:]
		f := Field{Number: int(number)}
		switch kind {
		case protowire.VarintType:
			f.Varint, size = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			f.Bytes, size = protowire.ConsumeBytes(message)
		default:
			size = protowire.ConsumeFieldValue(number, kind, message)
		}
		if size < 0 {
			return fmt.Errorf("field %d: %w", n, protowire.ParseError(size))
		}
		message = message[size:]
		if kind != protowire.VarintType && kind != protowire.BytesType {
			continue
		}
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

// Entry reads an entry of a map of strings: key is field 1, value field 2.
func Entry(message []byte) (key, value string, err error) {
	err = Fields(message, func(f Field) error {
		switch f.Number {
		case 1:
			key = f.Text()
		case 2:
			value = f.Text()
		}
		return nil
	})
	return key, value, err
}

// Text is a message whose one field is a string.
func Text(number int, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, protowire.Number(number), protowire.BytesType), value)
}

// Number is a message whose one field is a number.
func Number(number int, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, protowire.Number(number), protowire.VarintType), value)
}
