package errtext

import (
	"encoding/json"
	"strings"
	"testing"
)

// What log systems, clients and web pages put around a message changes nothing of
// what it says: each row of one line is read as it is and wrapped.
func TestWrapped(t *testing.T) {
	quoted := func(s string) string {
		b, _ := json.Marshal(s)
		return string(b)
	}
	for _, w := range []struct {
		name string
		wrap func(string) string
	}{
		{"Windows' line ends", func(s string) string { return s + "\r\n" }},
		{"indented", func(s string) string { return "\t" + s }},
		{"Markdown's fence", func(s string) string { return "```bash\n" + s + "\n```" }},
		{"in bold", func(s string) string { return "**" + s + "**" }},
		{"a row of a table", func(s string) string { return "| " + s + " |" }},
		{"a frame", func(s string) string { return "│ " + s }},
		{"colors", func(s string) string { return "\x1b[2m\x1b[38;5;9m" + s + "\x1b[K\x1b[m" }},
		{"a page's source", func(s string) string {
			return "<pre>" + strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s) + "</pre>"
		}},
		{"a number", func(s string) string { return "  12  " + s }},
		{"a clock", func(s string) string { return "15:22:06.123 " + s }},
		{"seconds since 1970", func(s string) string { return "1700000000.123 " + s }},
		{"a date as in America", func(s string) string { return "1/2/2024 3:04:05 PM " + s }},
		{"a build server", func(s string) string { return "2024-01-02T03:04:05.1234567Z ##[error]" + s }},
		{"a logger with its name", func(s string) string { return "2024-01-02 03:04:05,123 - worker - ERROR - " + s }},
		{"a pod's name", func(s string) string { return "web-0 app " + s }},
		{"an object in an object", func(s string) string { return `{"_source":{"message":` + quoted(s) + `},"_id":"x"}` }},
		{"a list of errors", func(s string) string { return `{"errors":[{"code":"X","message":` + quoted(s) + `}]}` }},
		{"JSON of several lines", func(s string) string { return "{\n  \"code\": 500,\n  \"message\": " + quoted(s) + "\n}" }},
		{"Ansible", func(s string) string {
			return `fatal: [node1]: FAILED! => {"changed": false, "msg": ` + quoted(s) + `}`
		}},
		{"a prompt in a field", func(s string) string {
			return `{"log":` + quoted("[root@node1 ~]# sh clean.sh\n"+s+"\n") + `,"stream":"stderr"}`
		}},
		{"a number and nothing", func(s string) string { return "17: " + s }},
		{"a host's name", func(s string) string { return "[node-1] " + s }},
		{"a pod and a container as kubectl names them", func(s string) string { return "[pod/web-7d4b9c6f5d-x2x8k/app] " + s }},
		{"a thread and a logger", func(s string) string { return "03:04:05.123 [main] ERROR c.e.App - " + s }},
		{"a logger in Python", func(s string) string { return "2024-01-02 03:04:05.123 7 ERROR nova.virt [-] " + s }},
		{"a logger in Rust", func(s string) string { return "2024-01-02T03:04:05.123456Z ERROR app::x: " + s }},
		{"a logger in Go", func(s string) string { return "2024-01-02T03:04:05.123Z\tERROR\tcontroller/reconciler.go:123\t" + s }},
		{"labels of a query", func(s string) string { return `2024-01-02T03:04:05Z {app="x", pod="web-0"} ` + s }},
		{"a zone and a shipper's tag", func(s string) string {
			return `2024-01-02 03:04:05.123456789 +0000 kubernetes.var.log.x: {"log":` + quoted(s) + `,"stream":"stderr"}`
		}},
		{"a stream of GitLab's", func(s string) string { return "2024-01-02T03:04:05.123456Z 01O " + s }},
		{"a step of a build", func(s string) string { return "#12 3.456 " + s }},
		{"a mark", func(s string) string { return "❌ " + s }},
		{"a tracker's code", func(s string) string { return "[code]" + s + "[/code]" }},
		{"an element of YAML", func(s string) string { return "- " + quoted(s) }},
		{"a member of YAML", func(s string) string { return "  message: " + quoted(s) }},
		{"an object in a string", func(s string) string { return quoted(`{"log":` + quoted(s+"\n") + `}`) }},
		{"HTML in JSON", func(s string) string {
			return `{"message":` + strings.NewReplacer("<", `\u0026lt;`, ">", `\u0026gt;`, `\"`, `\u0026quot;`, "'", `\u0026#39;`).Replace(quoted(s)) + `}`
		}},
		{"rsyslog's line ends", func(s string) string { return "node1 $ ./clean.sh\n" + s + "#012" }},
	} {
		t.Run(w.name, func(t *testing.T) {
			for _, r := range rows(t, "errors.jsonl") {
				plain := Read([]byte(r.Text))
				if strings.Contains(r.Text, "\n") || len(plain) != 1 {
					continue
				}
				got := Read([]byte(w.wrap(r.Text)))
				if len(got) != 1 || !sameFields(got[0], plain[0]) {
					t.Errorf("%s: got %+v, want %+v\n%s", r.ID, got, plain[0], w.wrap(r.Text))
				}
			}
		})
	}
}

func sameFields(a, b Event) bool {
	return a.Family == b.Family && a.Runtime == b.Runtime && a.Driver == b.Driver && a.Container == b.Container && a.Path == b.Path && a.Device == b.Device && a.PodUID == b.PodUID
}

// A window's edge cuts lines in the midst of words, at whatever column.
func TestCutByWindow(t *testing.T) {
	want := Read([]byte(busy1))[0]
	for width := 60; width < len(busy1); width++ {
		text, rest := "", busy1
		for len(rest) > width {
			text, rest = text+rest[:width]+"\n", rest[width:]
		}
		if got := Read([]byte(text + rest)); len(got) != 1 || !sameFields(got[0], want) {
			t.Errorf("cut at %d: got %+v\n%s", width, got, text+rest)
		}
	}
}
