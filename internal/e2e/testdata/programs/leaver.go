// Command leaver starts programs and never waits for them.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"time"
)

func main() {
	for range 3 {
		if err := exec.Command("/bin/true").Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("ready")
	time.Sleep(time.Hour)
}
