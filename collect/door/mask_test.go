package door

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const mountHead = "36 35 0:40 / /mnt "

func TestMaskMounts(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", mountHead + "rw - ext4 /dev/sda rw\n", ""},
		{"overlay", mountHead + "rw shared:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d\n", ""},
		{"flags have no value", mountHead + "rw,nopass,default_permissions - fuse x rw,user_id=0\n", ""},
		{"sec is no secret", mountHead + "rw - nfs4 h:/x rw,sec=krb5,clientaddr=::1\n", ""},
		{"super option", mountHead + "rw - cifs //h/s rw,username=u,password=geheim,uid=0\n",
			mountHead + "rw - cifs //h/s rw,username=u,password=***,uid=0\n"},
		{"last option, no newline", mountHead + "rw - cifs //h/s rw,pass=geheim",
			mountHead + "rw - cifs //h/s rw,pass=***"},
		{"mount option", mountHead + "rw,secret=geheim - ceph x rw\n", mountHead + "rw,secret=*** - ceph x rw\n"},
		{"any case, part of a name", mountHead + "rw - fuse x rw,X_Access_TOKEN=geheim,passwd_file=/geheim,Credentials=/geheim\n",
			mountHead + "rw - fuse x rw,X_Access_TOKEN=***,passwd_file=***,Credentials=***\n"},
		{"doubled comma is the password's", mountHead + "rw - cifs //h/s rw,password=ge,,heim,uid=0\n",
			mountHead + "rw - cifs //h/s rw,password=***,uid=0\n"},
		{"password with = and spaces", mountHead + "rw - cifs //h/s rw,password=ge=he im,uid=0\n",
			mountHead + "rw - cifs //h/s rw,password=*** ***,uid=0\n"},
		{"option in an option", mountHead + "rw - fuse x rw,opt=password=geheim\n", mountHead + "rw - fuse x rw,opt=password=***\n"},
		{"empty value", mountHead + "rw - cifs //h/s rw,password=,uid=0\n", ""},
		{"URL", mountHead + "rw - fuse.curlftpfs curlftpfs#ftp://u:geheim@h/ rw\n",
			mountHead + "rw - fuse.curlftpfs curlftpfs#ftp://u:***@h/ rw\n"},
		{"URL, password with @ and /", mountHead + "rw - fuse https://u:ge@he/im@h:80/x rw\n",
			mountHead + "rw - fuse https://u:***@h:80/x rw\n"},
		{"URL without a password", mountHead + "rw - fuse https://u@h:80/x rw\n", ""},
		{"user and password without a scheme", mountHead + "rw - fuse u:geheim@h rw\n", mountHead + "rw - fuse u:***@h rw\n"},
		{"nfs path with @", mountHead + "rw - nfs h:/x@daily rw\n", ""},
		{"ceph user", mountHead + "rw - ceph admin@b3ac.cephfs=/ rw\n", ""},
		{"query", mountHead + "rw - fuse https://h/x?a=b&token=geheim rw\n", mountHead + "rw - fuse https://h/x?a=b&token=*** rw\n"},
		{"masks uncover masks", mountHead + "rw - fuse token=h:/x,u:geheim@z rw\n", mountHead + "rw - fuse token=***,u:***@z rw\n"},
		{"option hides a scheme", mountHead + "rw - fuse a:geheim@c,token=x://y@z rw\n", mountHead + "rw - fuse a:***@z rw\n"},
		{"empty source", mountHead + "rw - fuse  rw,password=geheim\n", mountHead + "rw - fuse  rw,password=***\n"},
		{"no separator", mountHead + "rw fuse x rw,password=geheim\n", mountHead + "rw fuse x rw,password=***\n"},
		{"cut short", mountHead + "rw - fuse password=geheim\n", mountHead + "rw - fuse password=***\n"},
		{"not a table", "password=geheim", "password=***"},
		{"other lines stay", mountHead + "rw - ext4 a rw\n" + mountHead + "rw - x y rw,pass=geheim\n\n" + mountHead + "rw - ext4 b rw\n",
			mountHead + "rw - ext4 a rw\n" + mountHead + "rw - x y rw,pass=***\n\n" + mountHead + "rw - ext4 b rw\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == "" {
				tt.want = tt.in
			}
			got := string(maskMounts([]byte(tt.in)))
			if got != tt.want {
				t.Errorf("\n got %q\nwant %q", got, tt.want)
			}
			if strings.Contains(got, "geheim") {
				t.Error("the secret is still there")
			}
			checkMask(t, []byte(tt.in))
		})
	}
}

// checkMask fails unless masking keeps its promises for any text.
func checkMask(t *testing.T, text []byte) {
	t.Helper()
	before := bytes.Clone(text)
	once := maskMounts(text)
	if !bytes.Equal(text, before) {
		t.Fatalf("its argument was changed: %q to %q", before, text)
	}
	if twice := maskMounts(once); !bytes.Equal(once, twice) {
		t.Errorf("not idempotent:\n   %q\n-> %q\n-> %q", text, once, twice)
	}
	if bytes.Count(once, []byte("\n")) != bytes.Count(text, []byte("\n")) {
		t.Errorf("another number of lines: %q -> %q", text, once)
	}
	old, now := bytes.Split(text, []byte("\n")), bytes.Split(once, []byte("\n"))
	for i := range min(len(old), len(now)) {
		if bytes.Count(old[i], []byte(" ")) != bytes.Count(now[i], []byte(" ")) {
			t.Errorf("another number of fields: %q -> %q", old[i], now[i])
		}
	}
}

// Wherever an option whose name speaks of a secret stands, its value goes.
func TestMaskProperty(t *testing.T) {
	text := func(t *rapid.T, name, letters string) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte(letters)), 0, 8).Draw(t, name))
	}
	rapid.Check(t, func(t *rapid.T) {
		key := text(t, "before", "a_.-X") + rapid.SampledFrom([]string{"pass", "PassWord", "secret", "cred", "TOKEN", "Key"}).Draw(t, "key") + text(t, "after", "a_.-X2")
		value := text(t, "left", "=:/@*\\#") + "GEHEIM" + text(t, "right", "=:/@*\\#")
		option := "rw,x=" + text(t, "other", "=:/@y") + "," + key + "=" + value + ",ro"
		user := text(t, "scheme", "ahtps#") + "://" + text(t, "user", "ab.") + ":" + value + "@" + text(t, "host", "h.:/?=&")
		line := rapid.SampledFrom([]string{
			mountHead + option + " shared:1 - fuse x rw",
			mountHead + "rw - fuse x " + option,
			mountHead + "rw - fuse " + user + " rw",
			mountHead + "rw - fuse https://h/?a=b&" + key + "=" + value + " rw",
			option,
		}).Draw(t, "line")
		if got := maskMounts([]byte(line)); bytes.Contains(got, []byte("GEHEIM")) {
			t.Fatalf("%q -> %q", line, got)
		}
	})
}

func FuzzMaskMounts(f *testing.F) {
	f.Add([]byte(mountHead + "rw shared:1 - cifs //u:p@h/s rw,username=u,password=ge,,he im,uid=0\n"))
	f.Add([]byte(mountHead + "rw - fuse token=h:/x,u:p@z?key=a&b=c rw\n"))
	f.Add([]byte(mountHead + "rw,pass=a - b c - d e f=g@h:i\n\n"))
	f.Add([]byte("secret=  , key=a,,,b,cred=\n=@:=://:@"))
	f.Fuzz(func(t *testing.T, text []byte) { checkMask(t, text) })
}

func BenchmarkMaskMounts(b *testing.B) {
	line := mountHead + "rw,relatime shared:1 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A:/var/lib/docker/overlay2/l/B,upperdir=/u,workdir=/w\n"
	text := bytes.Repeat([]byte(line), 40000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		maskMounts(text)
	}
}
