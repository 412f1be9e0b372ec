package main

import (
	"math"
	"testing"
	"time"
)

// A flag that is a duration takes plain seconds as well.
func TestDurationFlag(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "5": 5 * time.Second, "0.25": 250 * time.Millisecond, "-1": -time.Second, "1e3": 1000 * time.Second,
		"9223372036": 9223372036 * time.Second,
		"500ms":      500 * time.Millisecond, "1h30m": 90 * time.Minute, "-2s": -2 * time.Second,
	} {
		var d time.Duration
		if err := (*duration)(&d).Set(s); err != nil || d != want {
			t.Errorf("%s: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "s", "5x", "five", "nan", "inf", "-inf", "9223372037", "1e300", "5 s"} {
		var d time.Duration
		if err := (*duration)(&d).Set(s); err == nil {
			t.Errorf("%q: %v", s, d)
		}
	}
	for d, want := range map[duration]string{0: "", duration(90 * time.Minute): "1h30m", duration(10 * time.Second): "10s", math.MinInt64: "-2562047h47m16.854775808s"} {
		if s := d.String(); s != want {
			t.Errorf("%d: %q", d, s)
		}
	}
}
