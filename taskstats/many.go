package taskstats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/gnlgo/gnl"
)

// Result is what [Client.Many] found out about one task or thread group.
type Result struct {
	// PID and Group are what is asked for: the task with that id, or with
	// Group the sums over the process that it belongs to.
	PID   int
	Group bool

	// Stats is valid if Err is nil.
	Stats Stats

	// Err is an [*Error]: os.ErrNotExist if the task has ended.
	Err error
}

// Many returns the statistics of many tasks, one result for each pid and in
// their order. Some ninety tasks are asked for with one system call, and sixteen
// answers taken with another, which saves a third of what asking for one after the
// other costs.
//
// That a task has ended is no failure, only a Result.Err. The error returned is
// the first other one, and nil if there is none; the results are valid all the same.
func (c *Client) Many(ctx context.Context, pids []int) ([]Result, error) {
	results := make([]Result, len(pids))
	for i, pid := range pids {
		results[i].PID = pid
	}
	return results, c.ManyInto(ctx, results)
}

// ManyInto is [Client.Many] into the caller's memory, which may be used again
// and again: it asks for what PID and Group of each result say, and sets the
// rest.
func (c *Client) ManyInto(ctx context.Context, results []Result) error {
	m := manyQueries.Get().(*manyQuery)
	defer manyQueries.Put(m)
	var first error
	for len(results) > 0 {
		part := results[:min(len(results), len(m.replies))]
		results = results[len(part):]
		m.ask(ctx, c.gnl, part)
		for i := range part {
			if err := part[i].Err; err != nil && first == nil && !errors.Is(err, fs.ErrNotExist) {
				first = err
			}
		}
	}
	return first
}

// manyQuery is the memory of a batch of queries.
type manyQuery struct {
	batch   gnl.Batch
	replies [256]reply
}

var manyQueries = sync.Pool{New: func() any { return new(manyQuery) }}

func (m *manyQuery) ask(ctx context.Context, client *gnl.Client, results []Result) {
	defer func() {
		// Keep nobody's memory.
		m.batch.Reset()
		for i := range results {
			m.replies[i].stats = nil
		}
	}()
	for i := range results {
		r := &results[i]
		if r.Err = checkPID(r.kind(), r.PID); r.Err != nil {
			continue
		}
		m.replies[i] = reply{stats: &r.Stats}
		if r.Group {
			m.replies[i].tgid = r.PID
			getGroup.AddTo(&m.batch, &groupRequest{uint32(r.PID)}, &m.replies[i])
		} else {
			getTask.AddTo(&m.batch, &taskRequest{uint32(r.PID)}, &m.replies[i])
		}
	}
	_ = m.batch.Do(ctx, client) // the outcomes are looked at one by one
	at := 0                     // in the batch
	for i := range results {
		r := &results[i]
		if r.Err != nil {
			continue
		}
		err := m.batch.Err(at)
		at++
		if err == nil {
			err = m.replies[i].finish()
		}
		if err != nil {
			r.Err = explain(fmt.Sprintf("%s %d", r.kind(), r.PID), err, nil)
		}
	}
}

func (r *Result) kind() string {
	if r.Group {
		return "tgid"
	}
	return "pid"
}
