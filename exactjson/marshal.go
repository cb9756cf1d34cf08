// Package exactjson is JSON in which a string keeps its bytes, as names of files
// and processes are bytes: one that is not UTF-8 is shown with \xNN, and beside it
// stands <name>Bytes with its bytes in base64.
package exactjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// Marshal is that of encoding/json, but a nil list is [], and a field's string that
// is not UTF-8 is followed by its bytes. It knows the tags that our types use, and
// of types with a way of their own those of time and raw JSON.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := encodeValue(&b, reflect.ValueOf(v))
	return b.Bytes(), err
}

func encodeValue(b *bytes.Buffer, v reflect.Value) error {
	if v.IsValid() && (v.Type() == reflect.TypeFor[time.Time]() || v.Type() == reflect.TypeFor[json.RawMessage]() || v.Type() == reflect.TypeFor[[]byte]()) {
		return encodePlain(b, v.Interface())
	}
	switch v.Kind() {
	case reflect.Invalid:
		b.WriteString("null")
	case reflect.Pointer, reflect.Interface:
		return encodeValue(b, v.Elem())
	case reflect.Slice, reflect.Array:
		return encodeList(b, v)
	case reflect.Struct:
		return encodeStruct(b, v)
	case reflect.String:
		return encodePlain(b, readable(v.String()))
	default:
		return encodePlain(b, v.Interface())
	}
	return nil
}

func encodePlain(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
	return nil
}

func encodeList(b *bytes.Buffer, v reflect.Value) error {
	b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := encodeValue(b, v.Index(i)); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

// encodeStruct knows the tags that our types use: a name, omitempty, omitzero and
// "-". The fields of an embedded struct stand among the others.
func encodeStruct(b *bytes.Buffer, v reflect.Value) error {
	b.WriteByte('{')
	first := true
	if err := encodeFields(b, v, &first); err != nil {
		return err
	}
	b.WriteByte('}')
	return nil
}

func encodeFields(b *bytes.Buffer, v reflect.Value, first *bool) error {
	for field, value := range v.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" && value.Kind() == reflect.Struct {
			if err := encodeFields(b, value, first); err != nil {
				return err
			}
			continue
		}
		empty := value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0
		if !field.IsExported() || name == "-" || empty && strings.HasPrefix(options, "omit") {
			continue
		}
		if !*first {
			b.WriteByte(',')
		}
		*first = false
		b.WriteString(`"` + name + `":`)
		if err := encodeValue(b, value); err != nil {
			return err
		}
		if value.Kind() == reflect.Pointer {
			value = value.Elem()
		}
		if value.Kind() == reflect.String && !utf8.ValidString(value.String()) {
			b.WriteString(`,"` + name + `Bytes":"` + base64.StdEncoding.EncodeToString([]byte(value.String())) + `"`)
		}
	}
	return nil
}

// readable shows the bytes of a string that are not UTF-8 as \xNN and leaves the rest alone.
func readable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size <= 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}
