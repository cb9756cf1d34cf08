package exactjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Unmarshal is that of encoding/json, and gives each field its exact bytes back, if
// [Marshal] wrote them.
func Unmarshal(text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil || !bytes.Contains(text, []byte(`Bytes"`)) {
		return err
	}
	return restore(reflect.ValueOf(v), text)
}

// restore sets the strings of a value from the bytes beside them in its text.
func restore(v reflect.Value, text json.RawMessage) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return restore(v.Elem(), text)
	case reflect.Slice, reflect.Array:
		if v.Type() == reflect.TypeFor[json.RawMessage]() || v.Type().Elem().Kind() == reflect.Uint8 {
			return nil
		}
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return err
		}
		for i := range min(len(items), v.Len()) {
			if err := restore(v.Index(i), items[i]); err != nil {
				return err
			}
		}
	case reflect.Struct:
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) != nil {
			return nil // a time, or null
		}
		return restoreFields(v, members)
	}
	return nil
}

func restoreFields(v reflect.Value, members map[string]json.RawMessage) error {
	for field, value := range v.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && name == "" && value.Kind() == reflect.Struct:
			if err := restoreFields(value, members); err != nil {
				return err
			}
		case !field.IsExported() || name == "-" || name == "":
		case value.Kind() == reflect.String && members[name+"Bytes"] != nil:
			var exact []byte
			if err := json.Unmarshal(members[name+"Bytes"], &exact); err != nil {
				return fmt.Errorf("%sBytes: %w", name, err)
			}
			if exact != nil {
				value.SetString(string(exact))
			}
		case members[name] != nil:
			if err := restore(value, members[name]); err != nil {
				return err
			}
		}
	}
	return nil
}
