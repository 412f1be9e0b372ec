package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// column is a column of a table.
type column struct {
	title string
	right bool // numbers stand at the right
	fit   fit  // what to do where the table is too wide for the terminal
	least int  // how wide to be, even if nothing in it is
}

type fit uint8

const (
	rigid     fit = iota
	wrapped       // onto several lines
	shortened     // by an ellipsis
)

// leastWidth is what a column is not made narrower than.
const leastWidth = 8

const gap = "  " // between columns

// writeTable writes rows, aligned, and fitted to the width of the terminal if
// out is one.
func (a *app) writeTable(columns []column, rows [][]string) error {
	t := table.NewWriter()
	t.SetStyle(table.Style{Box: table.BoxStyle{PaddingRight: gap}})
	t.SuppressTrailingSpaces()

	header := make(table.Row, len(columns))
	configs := make([]table.ColumnConfig, len(columns))
	for i, most := range fitWidths(a.width, columns, rows) {
		c := &configs[i]
		header[i], c.Number, c.WidthMin, c.WidthMax = columns[i].title, i+1, columns[i].least, most
		if columns[i].right {
			c.Align, c.AlignHeader = text.AlignRight, text.AlignRight
		}
		c.WidthMaxEnforcer = text.WrapSoft
		if columns[i].fit == shortened {
			c.WidthMaxEnforcer = func(s string, n int) string { return text.Snip(s, n, "…") }
		}
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(header)
	for _, r := range rows {
		row := make(table.Row, len(r))
		for i, cell := range r {
			row[i] = cell
		}
		t.AppendRow(row)
	}
	return a.writeText(t.Render() + "\n")
}

// fitWidths gives each column the width that it needs, and takes from the
// widest of those that are not rigid until all fit. If that cannot be, the lines
// are cut: there is no point then in breaking them too.
func fitWidths(width int, columns []column, rows [][]string) []int {
	widths := make([]int, len(columns))
	total := len(gap) * (len(columns) - 1)
	for i, c := range columns {
		widths[i] = max(c.least, text.StringWidth(c.title))
		for _, r := range rows {
			widths[i] = max(widths[i], text.StringWidth(r[i]))
		}
		total += widths[i]
	}
	fitted := slices.Clone(widths)
	for ; width > 0 && total > width; total-- {
		widest := -1
		for i, c := range columns {
			if c.fit != rigid && fitted[i] > leastWidth && (widest < 0 || fitted[i] > fitted[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return widths
		}
		fitted[widest]--
	}
	return fitted
}

// writeText writes lines, cut to the width of the terminal if out is one.
func (a *app) writeText(lines string) error {
	if a.width > 0 {
		all := strings.Split(lines, "\n")
		for i, line := range all {
			all[i] = text.Snip(line, a.width, "…")
		}
		lines = strings.Join(all, "\n")
	}
	_, err := io.WriteString(a.out, lines)
	return err
}

// printable is s with all that a terminal does not print as it is, or takes
// for an order, escaped: a task may call itself anything.
func printable(s string) string {
	plain := true
	for _, r := range s {
		plain = plain && r != '\uFFFD' && strconv.IsPrint(r)
	}
	if plain {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// humanBytes gives a size with two or three digits and a unit: "1.5Mi".
func humanBytes(n uint64) string {
	if n < 1000 {
		return fmt.Sprintf("%dB", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 999.5 {
		v, unit = v/1024, unit+1
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f%ci", v, "KMGTPE"[unit])
	}
	return fmt.Sprintf("%.0f%ci", v, "KMGTPE"[unit])
}

// humanCount gives a number with at most four digits: "9999", "12.3k", "4.00M".
func humanCount(n uint64) string {
	if n < 10_000 {
		return fmt.Sprint(n)
	}
	v, unit := float64(n)/1000, 0
	for v >= 999.5 {
		v, unit = v/1000, unit+1
	}
	return fmt.Sprintf("%s%c", threeDigits(v), "kMGTPE"[unit])
}

// humanDuration gives a time with some three digits and a unit: "12.3ms", "3h05m".
func humanDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + humanDuration(-max(d, -math.MaxInt64)) // -d of the least is itself
	case d == 0:
		return "0"
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d)
	case d < 999500*time.Nanosecond:
		return threeDigits(float64(d)/1e3) + "µs"
	case d < 999500*time.Microsecond:
		return threeDigits(float64(d)/1e6) + "ms"
	case d < 59950*time.Millisecond:
		return threeDigits(d.Seconds()) + "s"
	}
	d = d.Round(time.Second)
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// threeDigits gives a number below 1000 with three digits: "9.87", "98.7", "987".
func threeDigits(v float64) string {
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
