package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gnlgo/gnl/ipvs"
)

// What a terminal takes for orders.
const (
	clearScreen = "\x1b[2J"
	topLeft     = "\x1b[H"
	clearLine   = "\x1b[K" // from the cursor on
	clearBelow  = "\x1b[J"
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
)

// watchPools lists pools again and again, until the limits are reached or ctx is
// done: on a terminal in place, else, or with --json, as JSON by line.
func (a *app) watchPools(ctx context.Context, ids []ipvs.ServiceID, flags listFlags) error {
	if a.width == 0 && !a.json {
		return wrong("--watch needs a terminal; with --json it writes a line every time")
	}
	c, done, err := a.openIPVS()
	if err != nil {
		return err
	}
	defer done()
	if !a.json {
		defer io.WriteString(a.out, showCursor)
		if _, err := io.WriteString(a.out, hideCursor+clearScreen); err != nil {
			return err
		}
	}
	return a.explain(ctx, c, a.refresh(ctx, flags, func() error {
		pools, err := a.currentPools(ctx, c, ids)
		switch {
		case err != nil:
			return err
		case a.json:
			r := newPoolsRecord(pools)
			r.Time = time.Now().UTC()
			return a.writeLine(r)
		}
		return a.drawPools(pools, flags)
	}))
}

// refresh calls show at every interval, until the limits are reached or ctx is
// done.
func (a *app) refresh(ctx context.Context, flags listFlags, show func() error) error {
	ctx, cancel := flags.until.stream(ctx)
	defer cancel()
	ticker := time.NewTicker(flags.interval)
	defer ticker.Stop()
	for n := uint(1); ; n++ {
		if err := show(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if flags.until.reached(n) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// currentPools is what there is of the pools given. To be gone is no error: it
// may come again.
func (a *app) currentPools(ctx context.Context, c *ipvs.Client, ids []ipvs.ServiceID) ([]ipvs.PoolStatus, error) {
	ctx, cancel := a.limited(ctx)
	defer cancel()
	all, _, err := a.pools(ctx, c, nil)
	if err != nil || len(ids) == 0 {
		return all, err
	}
	var pools []ipvs.PoolStatus
	for _, id := range ids {
		for i := range all {
			if all[i].Service.ServiceID == id {
				pools = append(pools, all[i])
			}
		}
	}
	return pools, nil
}

// drawPools writes the table over the one that is on the screen, and no more of
// it than there is room for.
func (a *app) drawPools(pools []ipvs.PoolStatus, flags listFlags) error {
	height := 0
	if a.screen != nil {
		if w, h := a.screen(); w > 0 {
			a.width, height = w, h
		}
	}
	var table bytes.Buffer
	page := &app{out: &table, width: a.width}
	if err := page.writePools(pools, flags); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n")
	destinations := 0
	for i := range pools {
		destinations += len(pools[i].Destinations)
	}
	var b strings.Builder
	b.WriteString(topLeft)
	head := fmt.Sprintf("%s  %s, %s", time.Now().Format("15:04:05"), number(len(pools), "service"), number(destinations, "destination"))
	const around = 3 // head, blank, and the cursor's line
	if room := max(height-around, 2); height > 0 && len(lines) > room {
		hidden := len(lines) - room + 1
		lines = append(lines[:room-1:room-1], fmt.Sprintf("… %s more", number(hidden, "line")))
	}
	for _, line := range append([]string{head, ""}, lines...) {
		b.WriteString(line + clearLine + "\n")
	}
	b.WriteString(clearBelow)
	_, err := io.WriteString(a.out, b.String())
	return err
}
