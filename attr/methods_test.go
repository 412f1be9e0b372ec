package attr_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/gnlgo/gnl/attr"
)

// wholeDecoder decodes a whole list by itself: it wants one thing deep inside. Its
// tags serve encoding.
type wholeDecoder struct {
	Nest struct {
		Value uint32 `nl:"2"`
	} `nl:"1"`
	found []byte
}

func (w *wholeDecoder) UnmarshalBinary(b []byte) (err error) {
	found, err := attr.Find(b, 1, 2)
	w.found = bytes.Clone(found)
	return err
}

// wholeAppender appends a whole list by itself. Its tags serve decoding.
type wholeAppender struct {
	Value uint32 `nl:"1"`
}

func (w wholeAppender) AppendBinary(b []byte) ([]byte, error) {
	if w.Value == 13 {
		return b, errThirteen
	}
	e := attr.NewEncoder(b)
	e.Uint32(1, w.Value+1)
	return e.Finish()
}

var errThirteen = errors.New("thirteen")

// The type given may append or decode its whole list by a method of its own; the
// other direction goes by tags.
func TestMethodsForAWholeList(t *testing.T) {
	d := wholeDecoder{}
	d.Nest.Value = 0x01010101
	b, err := attr.Marshal(&d)
	if err != nil {
		t.Fatal(err)
	}
	for name, unmarshal := range map[string]func([]byte, *wholeDecoder) error{
		"Unmarshal": func(b []byte, w *wholeDecoder) error { return attr.Unmarshal(b, w) },
		"Codec":     codecOf[wholeDecoder](t).Unmarshal,
	} {
		var got wholeDecoder
		if err := unmarshal(b, &got); err != nil || string(got.found) != "\x01\x01\x01\x01" || got.Nest.Value != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		err := unmarshal([]byte{9, 0, 1, 0}, &got)
		var e *attr.Error
		if !errors.As(err, &e) || !errors.Is(err, attr.ErrMalformed) || !strings.HasSuffix(e.Type, "wholeDecoder") {
			t.Errorf("%s: malformed: %v", name, err)
		}
	}

	for name, appendTo := range map[string]func([]byte, *wholeAppender) ([]byte, error){
		"Append":       func(b []byte, w *wholeAppender) ([]byte, error) { return attr.Append(b, w) },
		"Append value": func(b []byte, w *wholeAppender) ([]byte, error) { return attr.Append(b, *w) },
		"Codec":        codecOf[wholeAppender](t).Append,
	} {
		b, err := appendTo([]byte("before"), &wholeAppender{41})
		var back wholeAppender
		if err != nil || string(b[:6]) != "before" || attr.Unmarshal(b[6:], &back) != nil || back.Value != 42 {
			t.Errorf("%s: % x, %v", name, b, err)
		}
		b, err = appendTo([]byte("before"), &wholeAppender{13})
		if string(b) != "before" || !errors.Is(err, errThirteen) || !strings.Contains(err.Error(), "wholeAppender") {
			t.Errorf("%s: refused: %q, %v", name, b, err)
		}
	}

	type untagged struct{ wholeAppender } // by which it has AppendBinary
	if c := codecOf[untagged](t); !c.Appends() || !c.Unmarshals() {
		t.Error("the tags of an embedded field are not seen")
	}
	if c := codecOf[hexText](t); !c.Appends() || !c.Unmarshals() {
		t.Error("methods are not seen")
	}
	if c := codecOf[onlyAppends](t); !c.Appends() || c.Unmarshals() {
		t.Error("a type without tags that appends only")
	}
}

type onlyAppends struct{}

func (onlyAppends) AppendBinary(b []byte) ([]byte, error) { return b, nil }

// What a method returns may be one error for all: it is left as it is.
func TestErrorsOfMethodsForAWholeListAreNotChanged(t *testing.T) {
	var wg sync.WaitGroup
	c := codecOf[fails](t)
	for range 4 {
		wg.Go(func() {
			_, err := c.Append(nil, &fails{})
			err2 := c.Unmarshal(nil, &fails{})
			for _, err := range []error{err, err2} {
				var e *attr.Error
				if !errors.As(err, &e) || e == errFails || !strings.HasSuffix(e.Type, "fails") {
					t.Errorf("%#v", err)
				}
			}
		})
	}
	wg.Wait()
	if errFails.Type != "" {
		t.Errorf("%+v", errFails)
	}
}

// What a type's own method appends is padded as a list is, and must begin with
// what was there.
func TestMethodsForAWholeListAreChecked(t *testing.T) {
	b, err := attr.Marshal(hexText{text: "ff"})
	if err != nil || len(b)%4 != 0 {
		t.Errorf("% x, %v", b, err)
	}
	if b, err := attr.Append([]byte("before"), shrinks{}); string(b) != "before" || !errors.Is(err, attr.ErrLength) {
		t.Errorf("%q, %v", b, err)
	}
}

// A struct with tags does not become its embedded field by having its methods.
func TestMethodsOfEmbeddedFields(t *testing.T) {
	type whole struct {
		hexText `nl:"-"`
		Value   uint32 `nl:"1"`
	}
	b, err := attr.Marshal(&whole{Value: 5})
	if err != nil {
		t.Fatal(err)
	}
	var back whole
	if err := attr.Unmarshal(b, &back); err != nil || len(b) != 8 || back.Value != 5 {
		t.Errorf("% x, %+v, %v", b, back, err)
	}
	type over struct {
		overridden
		Value uint32 `nl:"1"`
	}
	var o over
	if err := attr.Unmarshal(b, &o); err != nil || o.Value != 5 {
		t.Errorf("%+v, %v", o, err)
	}
	// As a field it is taken by its methods, from wherever it has them.
	field := struct {
		F over `nl:"3"`
	}{over{Value: 5}}
	if b, err := attr.Marshal(&field); err != nil || string(b[4:]) != "own\x00" {
		t.Errorf("%q, %v", b, err)
	}
	type pointer struct {
		*wholeDecoder
		Value uint32 `nl:"1"`
	}
	var p pointer
	if err := attr.Unmarshal(b, &p); err != nil || p.Value != 5 {
		t.Errorf("%+v, %v", p, err)
	}
}

type overridden struct{}

func (overridden) AppendBinary(b []byte) ([]byte, error) { return append(b, "own"...), nil }
func (*overridden) UnmarshalBinary([]byte) error         { return nil }
