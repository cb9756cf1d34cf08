// Package vm tests what scripts/vm.sh does: the judge here, and in its guest,
// with the tag vm, the program on a kernel that has mountinfo alone.
package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the guest told passes only if every test of the list is in it.
func TestJudge(t *testing.T) {
	const list = "a 60 TestOne TestTwo\nb/c 60 TestOne\n"
	const boot = "noise of the firmware\nboot 6.1.0-56-cloud-amd64 3.71\n"
	const a = "package a\n=== RUN   TestOne\n--- PASS: TestOne (0.01s)\n--- PASS: TestTwo (0.01s)\n    --- PASS: TestTwo/row (0.00s)\nPASS\nexit 0 a 4.00\n"
	const bc = "package b/c\n--- PASS: TestOne (0.01s)\nPASS\nexit 0 b/c 5.00\n"
	for _, tt := range []struct {
		name, console string
		want          string // what it says of the first mistake; "" for none
	}{
		{"all passed", boot + a + bc + "done\n", ""},
		{"nothing", "", "did not boot"},
		{"no boot", a + bc, "did not boot"},
		{"another kernel", strings.Replace(boot, "6.1.", "6.12.", 1) + a + bc, "did not boot Linux 6.1 (6.12.0-56-cloud-amd64)"},
		{"a package is missing", boot + a, "FAIL b/c: ended with nothing"},
		{"the end is missing", boot + a + strings.Replace(bc, "exit 0 b/c 5.00\n", "", 1), "FAIL b/c: ended with nothing"},
		{"a failure", boot + strings.Replace(a, "exit 0", "exit 1", 1) + bc, "FAIL a: ended with 1"},
		{"a line is missing", boot + strings.Replace(a, "--- PASS: TestTwo (0.01s)\n", "", 1) + bc, "FAIL a: TestTwo was not told as passed"},
		{"a failure that ends with 0", boot + strings.Replace(a, "--- PASS: TestOne", "--- FAIL: TestOne", 1) + bc, "FAIL a: TestOne was not told as passed"},
		{"a row is skipped", boot + strings.Replace(a, "    --- PASS: TestTwo/row", "    --- SKIP: TestTwo/row", 1) + bc, "FAIL a: skipped TestTwo/row"},
		{"passed in another package", boot + a + strings.Replace(bc, "TestOne", "TestTwo", 1), "FAIL b/c: TestOne was not told as passed"},
		{"a row of that name", boot + a + strings.Replace(bc, "--- PASS: TestOne", "    --- PASS: TestOne", 1), "FAIL b/c: TestOne was not told as passed"},
		{"cut in a line", boot + a + "package b/c\n--- PASS: TestOne (0.0[    9.1] Kernel panic\n", "FAIL b/c: ended with nothing"},
		{"empty lines", boot + "\n" + a + "\n\n" + bc, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			names := filepath.Join(t.TempDir(), "list")
			if err := os.WriteFile(names, []byte(list), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("awk", "-v", "release=6.1", "-f", "../../scripts/vm/judge.awk", names, "-")
			cmd.Stdin = strings.NewReader(tt.console)
			out, err := cmd.CombinedOutput()
			if (err == nil) != (tt.want == "") || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v, want %q:\n%s", err, tt.want, out)
			}
			if tt.want == "" && !strings.Contains(string(out), "3 tests passed on Linux 6.1.0-56-cloud-amd64") {
				t.Errorf("what passed is not counted:\n%s", out)
			}
		})
	}
}
