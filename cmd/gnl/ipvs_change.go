package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/ipvs"
)

// changeRecord is a change, for JSON.
type changeRecord struct {
	Action      string             `json:"action"` // "add service", "set destination" and so on
	Service     string             `json:"service"`
	Destination string             `json:"destination,omitempty"`
	Differences []differenceRecord `json:"differences,omitempty"` // of what is set
	Old         any                `json:"old,omitempty"`         // what is there, with the keys of the files of pools
	New         any                `json:"new,omitempty"`
	Error       string             `json:"error,omitempty"` // why it was not made
}

type differenceRecord struct {
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

func newChangeRecord(c *ipvs.Change, err error) changeRecord {
	r := changeRecord{Action: c.Action.String(), Service: c.Service.String()}
	if d := c.Destination(); d.IsValid() {
		r.Destination = addressText(c.Service, d)
	}
	for _, d := range c.Differences() {
		r.Differences = append(r.Differences, differenceRecord(d))
	}
	switch {
	case c.OldService != nil:
		r.Old = newServiceRecord(c.OldService)
	case c.OldDestination != nil:
		r.Old = newDestinationRecord(c.Service, c.OldDestination)
	}
	switch {
	case c.NewService != nil:
		r.New = newServiceRecord(c.NewService)
	case c.NewDestination != nil:
		r.New = newDestinationRecord(c.Service, c.NewDestination)
	}
	if err != nil {
		r.Error = reason(err)
	}
	return r
}

// changeRecords are changes for JSON, a list even if there are none.
func changeRecords(changes []ipvs.Failure) []changeRecord {
	records := make([]changeRecord, len(changes))
	for i := range changes {
		records[i] = newChangeRecord(&changes[i].Change, changes[i].Err)
	}
	return records
}

// made are changes that did not fail.
func made(changes []ipvs.Change) []ipvs.Failure {
	all := make([]ipvs.Failure, len(changes))
	for i, c := range changes {
		all[i].Change = c
	}
	return all
}

// reason says why a change was not made, which stands beside it.
func reason(err error) string {
	var e *ipvs.Error
	var request *gnl.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		return "the kernel did not answer in time"
	case errors.As(err, &e) && e.Why != "":
		return e.Why
	case errors.As(err, &request) && request.Attribute == "":
		err = request.Err // family and command say nothing beside the change
	case e != nil:
		err = e.Err
	}
	return strings.TrimPrefix(err.Error(), "ipvs: ")
}

// changesText is a line a change, those of a service and its destinations
// together: + is added, ~ changed, - removed.
func changesText(changes []ipvs.Failure) string {
	type line struct{ mark, name, text string }
	var order []ipvs.ServiceID
	lines := map[ipvs.ServiceID][]line{} // the first one is the service's
	widest := 0
	for i := range changes {
		c := &changes[i].Change
		if _, ok := lines[c.Service]; !ok {
			order = append(order, c.Service)
			lines[c.Service] = []line{{" ", c.Service.String(), ""}}
		}
		l := line{mark(c), c.Service.String(), changeText(c)}
		if err := changes[i].Err; err != nil {
			l.text = strings.TrimPrefix(l.text+": "+reason(err), ": ")
		}
		if d := c.Destination(); d.IsValid() {
			l.name = addressText(c.Service, d)
			lines[c.Service] = append(lines[c.Service], l)
			widest = max(widest, 2+utf8.RuneCountInString(l.name))
		} else if first := &lines[c.Service][0]; first.mark == " " {
			*first = l
		} else {
			lines[c.Service] = append(lines[c.Service], l) // added, and removed by somebody, and added
		}
		widest = max(widest, utf8.RuneCountInString(c.Service.String()))
	}
	slices.SortStableFunc(order, compareServices)
	var b strings.Builder
	for _, id := range order {
		for i, l := range lines[id] {
			indent := ""
			if i > 0 {
				indent = "  "
			}
			text := fmt.Sprintf("%s%s %-*s  %s", indent, l.mark, widest-len(indent), l.name, printable(l.text))
			b.WriteString(strings.TrimRight(text, " ") + "\n")
		}
	}
	return b.String()
}

func mark(c *ipvs.Change) string {
	switch c.Action {
	case ipvs.AddService, ipvs.AddDestination:
		return "+"
	case ipvs.RemoveService, ipvs.RemoveDestination:
		return "-"
	}
	return "~"
}

// changeText says what is added or changed.
func changeText(c *ipvs.Change) string {
	var all []string
	switch c.Action {
	case ipvs.AddService:
		all = append(all, c.NewService.Scheduler)
		if options := serviceOptionsText(c.NewService); options != "" {
			all = append(all, options)
		}
	case ipvs.AddDestination:
		all = append(all, c.NewDestination.Method.String(), fmt.Sprintf("weight %d", c.NewDestination.Weight))
		all = append(all, destinationOptionsText(c.NewDestination)...)
	default:
		for _, d := range c.Differences() {
			all = append(all, d.String())
		}
	}
	return strings.Join(all, ", ")
}

// tally counts changes by what they do.
type tally struct{ added, changed, removed int }

func tallyOf(changes []ipvs.Failure) (t tally) {
	for i := range changes {
		switch mark(&changes[i].Change) {
		case "+":
			t.added++
		case "-":
			t.removed++
		default:
			t.changed++
		}
	}
	return t
}
