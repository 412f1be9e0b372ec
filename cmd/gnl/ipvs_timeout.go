package main

import (
	"errors"
	"strconv"
	"time"
)

// timeoutType is what flags call the type of timeouts.
const timeoutType = "timeout"

var errTimeout = errors.New("not a whole number of seconds")

// parseTimeout reads a number of seconds or a duration of whole seconds.
func parseTimeout(s string) (time.Duration, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d%time.Second != 0 {
		return 0, errTimeout
	}
	return d, nil
}

// timeout is a flag.
type timeout struct{ time.Duration }

func (t *timeout) Type() string { return timeoutType }

func (t *timeout) String() string {
	if t.Duration == 0 {
		return ""
	}
	return shortDuration(t.Duration)
}

func (t *timeout) Set(s string) (err error) {
	t.Duration, err = parseTimeout(s)
	return err
}

// persistence is the flag --persistent: a timeout above 0, or none.
type persistence struct {
	text    string
	timeout time.Duration // 0: none
}

func (p *persistence) Type() string   { return timeoutType }
func (p *persistence) String() string { return p.text }

func (p *persistence) Set(s string) error {
	if s == "none" {
		*p = persistence{text: s}
		return nil
	}
	d, err := parseTimeout(s)
	if err == nil && d == 0 {
		err = errTimeout
	}
	*p = persistence{s, d}
	return err
}
