package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// duration is a flag: a number of seconds, as sleep and timeout take it, or a
// duration with its unit. (*duration)(&d) makes one of a time.Duration.
type duration time.Duration

func (d *duration) Type() string { return "duration" }

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return shortDuration(time.Duration(*d))
}

var errDuration = errors.New("not a duration")

func (d *duration) Set(s string) error {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		if !(math.Abs(seconds) < math.MaxInt64/1e9) { // NaN is not either
			return errDuration
		}
		*d = duration(seconds * 1e9)
		return nil
	}
	parsed, err := time.ParseDuration(s)
	*d = duration(parsed)
	return err
}

// shortDuration gives a duration without zeros at its end: "5m", "1h30m", "90s"
// is "1m30s".
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
