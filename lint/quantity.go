package lint

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"sync"
)

var quantityForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})?$`)
})

var suffixes = map[string]float64{
	"": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
	"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60,
}

// quantity reads a quantity of Kubernetes, in bytes; a part of one counts as one.
//
// Source: kubernetes apimachinery pkg/api/resource/quantity.go, the grammar.
func quantity(text string) (int64, error) {
	m := quantityForm().FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%.40q is no quantity", text)
	}
	factor, known := suffixes[m[2]]
	number := m[1]
	if !known { // an exponent
		number, factor = m[1]+m[2], 1
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil && math.IsInf(n, 0) {
		err = nil
	}
	if err != nil || math.IsNaN(n) {
		return 0, fmt.Errorf("%.40q is no quantity", text)
	}
	return int64(math.Ceil(min(max(n*factor, 0), 1<<62))), nil
}
