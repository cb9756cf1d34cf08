package pid1

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// writeStatus keeps the file of --status: a name and a value a line. It is
// replaced as a whole, so a reader never sees half of it.
func (j *job) writeStatus(dead []unwaited) {
	if j.Status == "" {
		return
	}
	zombies := 0
	for _, u := range dead {
		zombies += u.dead
	}
	mainReaped := int64(0)
	if j.status >= 0 {
		mainReaped = 1
	}
	var b strings.Builder
	line := func(name string, values ...string) { b.WriteString(name + " " + strings.Join(values, " ") + "\n") }
	line("updated", time.Now().UTC().Format(time.RFC3339))
	line("main", itoa(j.main))
	line("reaped", itoa(j.reaped))
	line("adopted", itoa(j.reaped-mainReaped+int64(len(j.adopted()))))
	line("zombies", itoa(zombies))
	for _, u := range dead {
		line("zombies_of", itoa(u.parent.pid), itoa(u.dead), strconv.Itoa(int(u.age.Seconds())), printable(u.parent.comm))
	}
	temp := j.Status + ".new"
	err := os.WriteFile(temp, []byte(b.String()), 0o644)
	if err == nil {
		err = os.Rename(temp, j.Status)
	}
	if err != nil {
		say(j.Name + ": --status: " + err.Error())
	}
}
