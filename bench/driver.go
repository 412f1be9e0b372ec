package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gnlgo/gnl/bench/internal/table"
)

type options struct {
	rounds   int
	burst    time.Duration
	selected func(key string) bool
	workers  string
	testdata string
}

// A series is one implementation at one row.
type series struct {
	name   string
	parked bool
	err    error // why it has no figures; errUnsupported among them

	n      int       // operations a burst
	ns     []float64 // an operation, by burst
	allocs float64   // an operation, in the last burst
	ratios []float64 // to the base's burst before, by round
}

// A result is what came out at a row.
type result struct {
	row
	base   *series
	series []*series // without the base
}

func (r *result) find(name string, parked bool) *series {
	for _, s := range r.series {
		if s.name == name && s.parked == parked {
			return s
		}
	}
	return nil
}

// team is the workers of one network namespace, by implementation.
type team map[string]*process

func (t team) stop() {
	for _, p := range t {
		p.stop()
	}
}

// assemble starts the workers that the rows at a place need.
func assemble(o options, rows []row, where place) (team, error) {
	names := slices.Clone(implementations)
	for _, r := range rows {
		names = append(names, r.base)
	}
	slices.Sort(names)
	names = slices.Compact(names)

	t := team{}
	startAll := func(names ...string) error {
		for _, name := range names {
			p, err := start(o, name)
			if err != nil {
				return err
			}
			t[name] = p
		}
		return nil
	}
	var err error
	switch where {
	case outside:
		err = startAll(names...)
	case private:
		for _, name := range names {
			err = errors.Join(err, inNamespace(func() error { return startAll(name) }))
		}
	case crowded:
		err = inNamespace(func() error {
			if err := crowd(); err != nil {
				return err
			}
			return startAll(names...)
		})
	}
	if err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}

// measure does the selected rows.
func measure(o options) ([]*result, error) {
	var results []*result
	for _, where := range []place{outside, private, crowded} {
		var todo []row
		for _, r := range rows {
			if r.place == where && o.selected(r.key) {
				todo = append(todo, r)
			}
		}
		if len(todo) == 0 {
			continue
		}
		t, err := assemble(o, todo, where)
		if err != nil {
			return nil, err
		}
		for _, r := range todo {
			fmt.Fprintf(os.Stderr, "%s…\n", r.key)
			results = append(results, measureRow(o, t, r))
		}
		t.stop()
	}
	order := func(r *result) int { return slices.IndexFunc(rows, func(o row) bool { return o.key == r.key }) }
	slices.SortFunc(results, func(a, b *result) int { return order(a) - order(b) })
	return results, nil
}

func measureRow(o options, t team, r row) *result {
	res := &result{row: r, base: &series{name: r.base}}
	for _, name := range implementations {
		if r.only != "" && name != r.only {
			continue
		}
		res.series = append(res.series, &series{name: name})
		if r.live && !inC[name] {
			res.series = append(res.series, &series{name: name, parked: true})
		}
	}

	length := o.burst
	if r.stretch > 0 {
		length = time.Duration(float64(length) * r.stretch)
	}
	res.base.calibrate(t[r.base], r, length)
	for _, s := range res.series {
		s.calibrate(t[s.name], r, length)
	}
	for round := range o.rounds {
		for i := range res.series {
			// Machines get faster and slower from one moment to the next. So every burst has one of the base right before
			// it to be compared to, and whoever comes first in this round comes last in the next.
			s := res.series[(i+round)%len(res.series)]
			if s.err != nil {
				continue
			}
			base, ok := res.base.burst(t, r)
			if !ok {
				return res
			}
			if ns, ok := s.burst(t, r); ok {
				s.ratios = append(s.ratios, ns/base)
			}
		}
	}
	return res
}

// calibrate finds out how many operations take about as long as a burst shall. It also warms up.
func (s *series) calibrate(p *process, r row, length time.Duration) {
	s.n = r.unit
	for {
		ns, _, err := p.ask(r.key, s.n, s.parked)
		if err != nil {
			s.err = err
			return
		}
		if time.Duration(ns) >= length/4 {
			s.n = max(int(float64(s.n)*float64(length)/float64(ns))/r.unit, 1) * r.unit
			return
		}
		s.n *= 2
	}
}

// burst answers the nanoseconds an operation.
func (s *series) burst(t team, r row) (ns float64, ok bool) {
	total, allocs, err := t[s.name].ask(r.key, s.n, s.parked)
	if err != nil {
		s.err = err
		return 0, false
	}
	ns = float64(total) / float64(s.n)
	s.ns = append(s.ns, ns)
	s.allocs = float64(allocs) / float64(s.n)
	return ns, true
}

// overLimit tells each row of gnl that does not keep its limit, and each that has one and no figure.
func overLimit(results []*result) (lines []string) {
	for _, r := range results {
		for _, s := range r.series {
			if s.name != "gnl" || r.limit == 0 && r.allocs < 0 {
				continue
			}
			label := r.key
			if s.parked {
				label += ", parked"
			}
			if err := errors.Join(r.base.err, s.err); err != nil {
				lines = append(lines, fmt.Sprintf("%s: no figure: %v", label, err))
				continue
			}
			if ratio := table.Median(s.ratios); r.limit > 0 && ratio > r.limit {
				lines = append(lines, fmt.Sprintf("%s: %.2f times %s, over the limit of %g", label, ratio, r.base.name, r.limit))
			}
			if r.allocs >= 0 && s.allocs > r.allocs {
				lines = append(lines, fmt.Sprintf("%s: %.1f allocations, over the limit of %g", label, s.allocs, r.allocs))
			}
		}
	}
	return lines
}
