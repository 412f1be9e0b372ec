package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTableFitsTheTerminal(t *testing.T) {
	columns := []column{{title: "ID", right: true}, {title: "NAME", fit: shortened}, {title: "GROUPS", fit: wrapped}}
	rows := [][]string{
		{"7", "a-name-of-25-characters-äö", "alpha, beta, gamma, delta, epsilon"},
		{"1234", "short", ""},
	}
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, `
  ID  NAME                        GROUPS
   7  a-name-of-25-characters-äö  alpha, beta, gamma, delta, epsilon
1234  short
`},
		{200, `
  ID  NAME                        GROUPS
   7  a-name-of-25-characters-äö  alpha, beta, gamma, delta, epsilon
1234  short
`},
		{40, `
  ID  NAME              GROUPS
   7  a-name-of-25-ch…  alpha, beta,
                        gamma, delta,
                        epsilon
1234  short
`},
		// Too narrow for the least widths: the lines are cut.
		{20, `
  ID  NAME         …
   7  a-name-of-25-…
1234  short
`},
	} {
		var b bytes.Buffer
		a := &app{out: &b, width: c.width}
		if err := a.writeTable(columns, rows); err != nil {
			t.Fatal(err)
		}
		if got := "\n" + b.String(); got != c.want {
			t.Errorf("width %d:%s\nnot%s", c.width, got, c.want)
		}
	}
}

// No command writes a line wider than the terminal.
func TestEveryTableFitsTheTerminal(t *testing.T) {
	for _, args := range [][]string{{"families"}, {"families", "ethtool"}, {"policy", "nlctrl"}, {"policy", "ethtool"}} {
		for width := 40; width <= 100; width += 10 {
			stdout, stderr, code := gnlOutput(t, width, args...)
			if code != 0 {
				t.Fatalf("%v: exit code %d: %s", args, code, stderr)
			}
			for _, line := range strings.Split(stdout, "\n") {
				if n := utf8.RuneCountInString(line); n > width {
					t.Errorf("%v at width %d: a line of %d: %q", args, width, n, line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("%v at width %d: spaces at the end of %q", args, width, line)
				}
			}
		}
	}
}

func TestHumanBytes(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0B", 1: "1B", 999: "999B", 1000: "1.0Ki", 1024: "1.0Ki", 1536: "1.5Ki", 10188: "9.9Ki", 10189: "10Ki", 10240: "10Ki",
		999 << 10: "999Ki", 1<<20 - 1: "1.0Mi", 1 << 20: "1.0Mi", 1023 << 20: "1.0Gi", 17 << 30: "17Gi", 5 << 40: "5.0Ti",
		math.MaxUint64: "16Ei",
	} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d: %s, not %s", n, got, want)
		}
	}
}

func TestHumanCount(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 9999: "9999", 10000: "10.0k", 12345: "12.3k", 999499: "999k", 999500: "1.00M", 4_000_000: "4.00M", 1_234_567_890: "1.23G",
		math.MaxUint64: "18.4E",
	} {
		if got := humanCount(n); got != want {
			t.Errorf("%d: %s, not %s", n, got, want)
		}
	}
}

func TestHumanDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 1: "1ns", 999: "999ns", time.Microsecond: "1.00µs", 12345 * time.Nanosecond: "12.3µs", 999499: "999µs", 999500: "1.00ms",
		123456 * time.Microsecond: "123ms", 999500 * time.Microsecond: "1.00s", 59949 * time.Millisecond: "59.9s",
		59950 * time.Millisecond: "1m00s", 90 * time.Second: "1m30s", time.Hour - time.Second/2: "1h00m", 3*time.Hour + 5*time.Minute: "3h05m",
		24*time.Hour - 1: "1d00h", 77 * time.Hour: "3d05h", -time.Second: "-1.00s",
		math.MaxInt64: "106751d23h", math.MinInt64: "-106751d23h",
	} {
		if got := humanDuration(d); got != want {
			t.Errorf("%d: %s, not %s", d, got, want)
		}
	}
}

// What others can choose must not reach the terminal as orders.
func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"bash": "bash", `a "b" \c`: `a "b" \c`, "äöü": "äöü", "": "",
		"\x1b[2Jx": `\x1b[2Jx`, "a\nb": `a\nb`, "\xff": `\xff`, "tab\there": `tab\there`, "q\"\x07": `q"\a`,
		"\u202ereversed": `\u202ereversed`,
	} {
		if got := printable(s); got != want {
			t.Errorf("%q: %q, not %q", s, got, want)
		}
	}
}
