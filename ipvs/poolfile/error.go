package poolfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gnlgo/gnl/ipvs"
)

// Error is one thing that is wrong with a file or with pools that are to be
// written.
type Error struct {
	File         string // its name, if that is known
	Line, Column int    // where it is, from 1 on; 0 in writing
	Path         string // what it is: "pools[1].destinations[0].weight", or ipvsadm's option: "-w"
	Err          error  // what is wrong; an *ipvs.FieldError where the value cannot be right
}

// Error gives for example "pools.yaml:14:11: pools[1].destinations[0].weight:
// not a number".
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ":")
	}
	if e.Line != 0 {
		fmt.Fprintf(&b, "%d:%d:", e.Line, e.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	var field *ipvs.FieldError
	if errors.As(e.Err, &field) {
		b.WriteString(field.Why) // the path names the field
	} else {
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap gives what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Errors is all that is wrong, in the order of the file. It is what [Read] and
// [Write] fail with, unless reading or writing itself failed.
type Errors struct {
	Errors  []*Error // the first ones
	Omitted int      // how many there are beyond these
}

// maxErrors is how many errors are kept. One slip of an editor can put one on
// every line.
const maxErrors = 20

// Error gives a line an error.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Errors), len(e.Errors)+1)
	for i, err := range e.Errors {
		lines[i] = err.Error()
	}
	if e.Omitted > 0 {
		lines = append(lines, fmt.Sprintf("and %d more errors", e.Omitted))
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the errors one by one.
func (e *Errors) Unwrap() []error {
	all := make([]error, len(e.Errors))
	for i, err := range e.Errors {
		all[i] = err
	}
	return all
}

// report collects errors.
type report struct {
	file string
	Errors
}

func (r *report) add(line, column int, path string, err error) {
	if len(r.Errors.Errors) == maxErrors {
		r.Omitted++
		return
	}
	r.Errors.Errors = append(r.Errors.Errors, &Error{File: r.file, Line: line, Column: column, Path: path, Err: err})
}

func (r *report) count() int { return len(r.Errors.Errors) + r.Omitted }

// err is the errors, nil if there are none.
func (r *report) err() error {
	if r.count() == 0 {
		return nil
	}
	slices.SortStableFunc(r.Errors.Errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &r.Errors
}
