//go:build linux

package taskstats

import (
	"os"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/testenv"
)

// The lab's kernels have versions that the one of the machine may not have.
func TestVersionsOfOlderKernels(t *testing.T) {
	testenv.NeedLab(t)
	want, ok := map[string]int{"uml": 13, "6.1": 13, "6.1-cloud": 13, "6.12": 14, "6.12-cloud": 14}[testenv.Lab()]
	if !ok {
		t.Fatalf("of which version is Linux %s?", testenv.Lab())
	}
	c, client := open(t)
	s, err := c.PID(t.Context(), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if s.Version != want || s.PID != os.Getpid() || s.Comm == "" || s.BeginTime.IsZero() {
		t.Errorf("%+v", s)
	}
	for field, since := range map[Field]int{FieldWPCopyDelay: 13, FieldIRQDelay: 14} {
		if s.Has(field) != (want >= since) {
			t.Errorf("field %d: %t", field, s.Has(field))
		}
	}
	// What is on the wire has the size of the version, and comes out again.
	e := attr.NewEncoder(nil)
	e.Uint32(1, uint32(os.Getpid()))
	attributes, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	replies, err := client.Do(t.Context(), gnl.Request{Family: family, Command: 1, Version: familyVersion, Attributes: attributes})
	if err != nil || len(replies) != 1 {
		t.Fatalf("%d replies, %v", len(replies), err)
	}
	var wire []byte
	for task := attr.NewDecoder(replies[0].Attributes); task.Next(); {
		for d := task.Nested(); d.Next(); {
			if d.Type() == 3 {
				wire = d.Bytes()
			}
		}
	}
	if len(wire) != sizes[want] {
		t.Errorf("%d bytes, want %d", len(wire), sizes[want])
	}
	if b, err := s.AppendBinary(nil); err != nil || len(b) != len(wire) {
		t.Errorf("written again: %d bytes, %v", len(b), err)
	}
}
