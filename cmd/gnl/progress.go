package main

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/gnlgo/gnl/ipvs"
)

// bar shows on the terminal how far something long has come. What is done soon
// has none.
type bar struct {
	a       *app
	begun   time.Time
	tracker *progress.Tracker // nil until it shows
	ended   chan struct{}     // closed when nothing more is written
}

// patience is how long something may take before it has a bar.
const patience = 300 * time.Millisecond

func (a *app) newBar() *bar { return &bar{a: a, begun: time.Now()} }

// show shows how far an apply has come.
func (b *bar) show(p ipvs.Progress) {
	if b.a.width == 0 || b.a.json || b.tracker == nil && time.Since(b.begun) < patience {
		return
	}
	if b.tracker == nil {
		b.begin()
	}
	message := fmt.Sprintf("%d of %s", p.Done, number(p.Total, "change"))
	if p.Draining > 0 {
		message = fmt.Sprintf("waiting for %s of %s, %s left", number(p.Connections, "connection"), number(p.Draining, "destination"), shortDuration(p.Left.Round(time.Second)))
	}
	total := int64(max(p.Total, 1))
	b.tracker.UpdateMessage(message)
	b.tracker.UpdateTotal(total)
	b.tracker.SetValue(min(int64(p.Done), total-1)) // all of it would end the bar
}

func (b *bar) begin() {
	w := progress.NewWriter()
	w.SetOutputWriter(b.a.out)
	w.SetTerminalWidth(b.a.width)
	w.SetTrackerLength(min(30, b.a.width/3))
	w.SetUpdateFrequency(100 * time.Millisecond)
	w.SetAutoStop(true) // with the only tracker
	style := w.Style()
	style.Chars = progress.StyleCharsDefault
	style.Visibility.Time, style.Visibility.Value = false, false
	style.Options.PercentFormat, style.Options.Separator = "%3.0f%%", "  "
	b.tracker = &progress.Tracker{Total: 1}
	w.AppendTracker(b.tracker)
	b.ended = make(chan struct{})
	go func() {
		defer close(b.ended)
		w.Render()
	}()
}

// end takes the bar away, and returns when nothing more is written.
func (b *bar) end() {
	if b.tracker == nil {
		return
	}
	b.tracker.MarkAsDone()
	<-b.ended
	io.WriteString(b.a.out, text.CursorUp.Sprint()+text.EraseLine.Sprint())
}
