package systemd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plant makes files below a root; "-> x" is a link.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch to, link := strings.CutPrefix(text, "-> "); {
		case link:
			err = os.Symlink(to, name)
		case text == "fifo":
			err = syscall.Mkfifo(name, 0o600)
		default:
			err = os.WriteFile(name, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFiles(t *testing.T) {
	const usr, etc, run = "/usr/lib/systemd/system/", "/etc/systemd/system/", "/run/systemd/system/"
	for _, tt := range []struct {
		name, unit string
		files      map[string]string
		want       []string // paths
		err        error
	}{
		{name: "etc before usr", unit: "a.service", files: map[string]string{usr + "a.service": "u", etc + "a.service": "e"}, want: []string{etc + "a.service"}},
		{name: "drop-ins by name", unit: "a.service", files: map[string]string{usr + "a.service": "u", usr + "a.service.d/20-x.conf": "x", etc + "a.service.d/10-y.conf": "y", etc + "a.service.d/readme": "z"},
			want: []string{usr + "a.service", etc + "a.service.d/10-y.conf", usr + "a.service.d/20-x.conf"}},
		{name: "a drop-in of the same name", unit: "a.service", files: map[string]string{usr + "a.service": "u", usr + "a.service.d/x.conf": "x", run + "a.service.d/x.conf": "y", etc + "a.service.d/x.conf": "e"},
			want: []string{usr + "a.service", etc + "a.service.d/x.conf"}},
		{name: "a masked drop-in", unit: "a.service", files: map[string]string{usr + "a.service": "u", usr + "a.service.d/x.conf": "x", etc + "a.service.d/x.conf": "-> /dev/null"}, want: []string{usr + "a.service"}},
		{name: "for all and for a prefix", unit: "a-b-c.service", files: map[string]string{usr + "a-b-c.service": "u", etc + "service.d/9.conf": "all", etc + "a-.service.d/8.conf": "p", etc + "a-b-.service.d/8.conf": "q"},
			want: []string{usr + "a-b-c.service", etc + "a-b-.service.d/8.conf", etc + "service.d/9.conf"}},
		{name: "an instance of a template", unit: "a@x.service", files: map[string]string{usr + "a@.service": "t", etc + "a@.service.d/1.conf": "1", etc + "a@x.service.d/2.conf": "2"},
			want: []string{usr + "a@.service", etc + "a@.service.d/1.conf", etc + "a@x.service.d/2.conf"}},
		{name: "an instance of its own", unit: "a@x.service", files: map[string]string{etc + "a@.service": "t", usr + "a@x.service": "i"}, want: []string{usr + "a@x.service"}},
		{name: "an alias", unit: "dbus.service", files: map[string]string{etc + "dbus.service": "-> " + usr + "dbus-broker.service", usr + "dbus-broker.service": "b", etc + "dbus-broker.service.d/1.conf": "1"},
			want: []string{usr + "dbus-broker.service", etc + "dbus-broker.service.d/1.conf"}},
		{name: "a relative link", unit: "a.service", files: map[string]string{etc + "a.service": "-> ../../../usr/x", "/usr/x": "x"}, want: []string{"/usr/x"}},
		{name: "links in a circle", unit: "a.service", files: map[string]string{etc + "a.service": "-> b.service", etc + "b.service": "-> a.service"}, err: syscall.ELOOP},
		{name: "masked", unit: "a.service", files: map[string]string{usr + "a.service": "u", etc + "a.service": "-> /dev/null"}, err: ErrMasked},
		{name: "empty", unit: "a.service", files: map[string]string{usr + "a.service": ""}, err: ErrMasked},
		{name: "a fifo does not hang", unit: "a.service", files: map[string]string{usr + "a.service": "fifo"}, err: fs.ErrInvalid},
		{name: "too large", unit: "a.service", files: map[string]string{usr + "a.service": strings.Repeat("x", maxFile+1)}, err: syscall.EFBIG},
		{name: "no file", unit: "a.service"},
		{name: "leads out", unit: "../a.service", err: fs.ErrInvalid},
		{name: "no service", unit: "a.socket", err: fs.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files, err := Files(plant(t, tt.files), tt.unit)
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			var got []string
			for _, f := range files {
				got = append(got, f.Path)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
