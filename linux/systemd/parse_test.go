package systemd

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []Assignment
		wantErr  string // "" for none; else part of an error that wraps ErrFormat
	}{
		{name: "plain", in: "[Unit]\nA=1\n[Service]\n  B = x y \n", want: []Assignment{{"Unit", "A", "1", 2}, {"Service", "B", "x y", 4}}},
		{name: "comments", in: "# a\n[S]\n;b\nA=1 # not one\n", want: []Assignment{{"S", "A", "1 # not one", 4}}},
		{name: "goes on", in: "[S]\nA=1 \\\n# between\n  2\nB=3", want: []Assignment{{"S", "A", "1    2", 2}, {"S", "B", "3", 5}}},
		{name: "escaped backslash", in: "[S]\nA=1\\\\\nB=2", want: []Assignment{{"S", "A", `1\\`, 2}, {"S", "B", "2", 3}}},
		{name: "ends in a backslash", in: "[S]\nA=1\\", want: []Assignment{{"S", "A", "1", 2}}},
		{name: "emptied", in: "[S]\nA=\n", want: []Assignment{{"S", "A", "", 2}}},
		{name: "value with =", in: "[S]\nA=b=c", want: []Assignment{{"S", "A", "b=c", 2}}},
		{name: "CRLF and BOM", in: "\ufeff[S]\r\nA=1\r\n", want: []Assignment{{"S", "A", "1", 2}}},
		{name: "before any section", in: "A=1\n[S]\nB=2", want: []Assignment{{"S", "B", "2", 3}}, wantErr: `line 1: not the format of a unit file: "A=1"`},
		{name: "no assignment", in: "[S]\nhello\nA=1\n", want: []Assignment{{"S", "A", "1", 3}}, wantErr: `line 2`},
		{name: "nameless", in: "[S]\n=1\n", wantErr: "line 2"},
		{name: "bytes", in: "[S]\nA=\xff\x00\x1b[2J", want: []Assignment{{"S", "A", "\xff\x00\x1b[2J", 2}}},
		{name: "endless line", in: "[S]\nA=" + strings.Repeat("x\\\n", maxLine), wantErr: "line 2: not the format of a unit file: over 1048576 bytes"},
		{name: "nothing", in: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.in))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if (err == nil) != (tt.wantErr == "") || err != nil && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"[S]\nA=1\\\n2", "A", "[", "[]\n=\\\\\\", "\ufeff[S]\nA=\n#x\\\nB=1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse(text)
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%v is no ErrFormat", err)
		}
		last := 0
		for _, a := range all {
			if a.Name == "" || a.Section == "" || a.Line <= last || strings.Contains(a.Value, "\n") {
				t.Errorf("%+v after line %d", a, last)
			}
			last = a.Line
		}
	})
}

func TestPrivate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string // of the [Service] section
		want  []string
		err   bool
	}{
		{name: "the last one holds", files: []string{"PrivateTmp=yes", "PrivateTmp=no"}},
		{name: "and may come back", files: []string{"PrivateTmp=no\nPrivateTmp=true"}, want: []string{"PrivateTmp=true b0:3"}},
		{name: "an empty one takes a list back", files: []string{"ReadWritePaths=/a\nReadWritePaths=/b", "ReadWritePaths=\nReadWritePaths=/c"}, want: []string{"ReadWritePaths=/c b1:3"}},
		{name: "lists add up", files: []string{"BindPaths=/a", "BindPaths=/b"}, want: []string{"BindPaths=/a b0:2", "BindPaths=/b b1:2"}},
		{name: "old names", files: []string{"ReadOnlyDirectories=/a", "ReadOnlyPaths="}},
		{name: "an empty flag", files: []string{"ProtectHome=read-only\nProtectHome="}},
		{name: "values that mean nothing", files: []string{"ProtectSystem=No\nProtectHome=0\nProtectProc=default\nProcSubset=all\nMountFlags=shared"}},
		{name: "values that do", files: []string{"ProtectSystem=strict\nMountFlags=slave"}, want: []string{"MountFlags=slave b0:3", "ProtectSystem=strict b0:2"}},
		{name: "others", files: []string{"ExecStart=/bin/x\nEnvironment=PrivateTmp=yes\nprivatetmp=yes"}},
		{name: "another section", files: []string{"[Socket]\nPrivateTmp=yes"}},
		{name: "one bad line", files: []string{"oh\nPrivateTmp=yes"}, want: []string{"PrivateTmp=yes b0:3"}, err: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var files []File
			for i, text := range tt.files {
				files = append(files, File{"b" + string(rune('0'+i)), []byte("[Service]\n" + text)})
			}
			all, err := Private(files)
			if (err != nil) != tt.err || err != nil && !errors.Is(err, ErrFormat) {
				t.Error(err)
			}
			var got []string
			for _, d := range all {
				got = append(got, d.Name+"="+d.Value+" "+d.File+":"+string(rune('0'+d.Line)))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
