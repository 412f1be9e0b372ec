// Package table is what the benchmarks' reports share: how figures are written, and where.
package table

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Put writes a section into a file of several: its first line is a heading of the first level, and what the file has under
// that heading gives way to it. The other sections stay, since each benchmark writes its own.
func Put(path, section string) error {
	heading, _, _ := strings.Cut(section, "\n")
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	section = strings.TrimRight(section, "\n") + "\n"
	var sections []string
	put := false
	for _, s := range split(string(old)) {
		if line, _, _ := strings.Cut(s, "\n"); line == heading {
			s, put = section, true
		}
		sections = append(sections, strings.TrimRight(s, "\n")+"\n")
	}
	if !put {
		sections = append(sections, section)
	}
	return os.WriteFile(path, []byte(strings.Join(sections, "\n")), 0o644)
}

// split parts a text before each heading of the first level.
func split(text string) (sections []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "# ") || len(sections) == 0 {
			sections = append(sections, "")
		}
		sections[len(sections)-1] += line
	}
	return sections
}

// Median is the middle one, or between the two.
func Median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Spread is the median, and where the middle half lies.
func Spread(v []float64) string {
	sorted := slices.Sorted(slices.Values(v))
	quarter := len(sorted) / 4
	return fmt.Sprintf("%s (%s–%s)", Short(Median(v)), Short(sorted[quarter]), Short(sorted[len(sorted)-1-quarter]))
}

// Short writes a figure with as many digits as it is good for.
func Short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
