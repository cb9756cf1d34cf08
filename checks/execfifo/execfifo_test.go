package execfifo

import (
	"testing"

	"sexton.dev/check/checktest"
)

func Test(t *testing.T) { checktest.Run(t, Check) }

// Of old and odd spellings of versions the fix is told.
func TestEarlier(t *testing.T) {
	for _, tt := range []struct {
		version, than string
		want          bool
	}{
		{"1.0.0-rc2", "1.0.0-rc5", true}, {"1.0.0-rc5", "1.0.0-rc5", false}, {"1.0.0-rc10", "1.0.0-rc5", false}, {"1.0.0-rc95+dev", "1.0.0-rc5", false},
		{"1.0.0", "1.0.0-rc5", false}, {"1.1.5+ds1", "1.0.0-rc5", false}, {"0.1.1", "1.0.0-rc5", true}, {"1.0.0~rc4", "1.0.0-rc5", true},
		{"v1.0.1", "1.0.2", true}, {"1.6.20~ds1", "1.0.2", false}, {"0.2.3", "1.0.2", true}, {"v2.0.0-rc.1", "1.0.2", false},
		{"17.03.2-ce", "18.06", true}, {"18.05.0-ce", "18.06", true}, {"18.06.0-ce", "18.06", false}, {"18.06.1-ce-rc1", "18.06", false}, {"28.2.2", "18.06", false}, {"1.13.1", "18.06", true},
	} {
		if got := earlier(tt.version, tt.than); got != tt.want {
			t.Errorf("%s before %s: %v", tt.version, tt.than, got)
		}
	}
}
