package cli

import (
	"flag"
	"time"
)

// Update is the flag -update, for the tests inside and outside of the package.
var Update = flag.Bool("update", false, "rewrite the golden sections of the scripts, and the man pages")

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
