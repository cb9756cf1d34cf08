package runtimehung

import (
	"testing"

	"sexton.dev/check/checktest"
)

func Test(t *testing.T) { checktest.Run(t, Check) }
