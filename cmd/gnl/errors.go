package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/netlink"
)

// Exit codes.
const (
	exitDone  = 0
	exitError = 1
	exitUsage = 2
	// 3 is exitChanges.
)

// usageError is a command line that cannot be carried out as it stands.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// errReported is a failure that has been said on stderr already.
var errReported = errors.New("some failed")

// wrong makes a usageError.
func wrong(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// exitCode reports the error that ended the command, if any, on one line.
func (a *app) exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil || isClosedPipe(err):
		return exitDone
	case errors.Is(err, errChanges):
		return exitChanges
	case errors.Is(err, errReported):
	case errors.As(err, &usage) || !a.started:
		a.say("%v", err)
		return exitUsage
	case errors.Is(err, context.Canceled):
		a.say("interrupted")
	case errors.Is(err, context.DeadlineExceeded):
		a.say("no answer within %v: --timeout allows for more", a.timeout)
	case errors.Is(err, errors.ErrUnsupported) && runtime.GOOS != "linux":
		a.say("netlink is a part of Linux: it is unsupported on %s", runtime.GOOS)
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		a.say("%v: run as root", err)
	default:
		a.say("%v", err)
	}
	return exitError
}

// say writes one line to stderr.
func (a *app) say(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	for _, prefix := range []string{"gnl: ", "taskstats: ", "ipvs: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	fmt.Fprintln(a.errOut, "gnl: "+printable(text))
}

// findFamily asks the kernel for the family of a name, or of the number that it
// has now.
func (a *app) findFamily(ctx context.Context, client *gnl.Client, name string) (f *gnl.Family, err error) {
	if id, notNumber := strconv.ParseUint(name, 0, 16); notNumber == nil && id > 0 {
		f, err = client.FamilyByID(ctx, uint16(id))
	} else {
		f, err = client.Family(ctx, name)
	}
	var kernel *netlink.Error
	if !errors.As(err, &kernel) || !errors.Is(err, fs.ErrNotExist) && len(name) <= maxFamilyName {
		return f, err
	}
	where := "the kernel has no family %q"
	if a.netns != "" {
		where = "in that network namespace " + where
	}
	families, err := client.Families(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(families))
	for i, f := range families {
		names[i] = f.Name
	}
	return nil, fmt.Errorf(where+": %s", name, didYouMean(name, names, "its module may not be loaded (gnl families lists those there are)"))
}

// maxFamilyName is the longest name of a family: to longer ones the kernel
// answers that they are too long (GENL_NAMSIZ).
const maxFamilyName = 15

// unlessRoot tells those who are not root to be.
func unlessRoot() string {
	if os.Geteuid() == 0 {
		return ", which root lacks here"
	}
	return ": run as root"
}

// didYouMean names the words nearest to what was given, or says otherwise.
func didYouMean(given string, words []string, otherwise string) string {
	var nearest []string
	least := max(2, len(given)/3) // how far they may be
	if len(given) < 4 {
		least = 1
	}
	given = strings.ToLower(given)
	for _, w := range words {
		d := distance(given, strings.ToLower(w))
		if d > 1 && len(given) > 1 && strings.HasPrefix(strings.ToLower(w), given) {
			d = 1 // what was given is the beginning of it
		}
		if d >= len(given) { // nothing of it is left
			continue
		}
		if d < least {
			least, nearest = d, nil
		}
		if d == least {
			nearest = append(nearest, w)
		}
	}
	if len(nearest) == 0 {
		return otherwise
	}
	return "did you mean " + strings.Join(nearest, " or ") + "?"
}

// distance is how many bytes have to be put in, taken out or changed to make b
// of a (the Levenshtein distance).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
