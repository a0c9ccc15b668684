package batch

import (
	"testing"
	"time"
)

func FuzzSchedule(f *testing.F) {
	f.Add("*/5 * * * *")
	f.Add("TZ=Europe/Berlin @hourly")
	f.Add("TZ=")
	f.Add("@every 1s")
	f.Fuzz(func(_ *testing.T, in string) {
		if s, err := ParseSchedule(in); err == nil && s != nil {
			_ = s.Next(time.Unix(0, 0))
		}
	})
}
