package attr_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/gnlgo/gnl/attr"
)

// checkImage checks that the filled image of T is what Append makes of it.
func checkImage[T any](t *testing.T) {
	t.Helper()
	c := codecOf[T](t)
	image := c.Image()
	if image == nil {
		t.Errorf("%T has no image", *new(T))
		return
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		var v T
		fill(r, reflect.ValueOf(&v).Elem(), "", 0)
		b := append([]byte("before"), image...)
		c.Fill(b[6:], &v)
		if want, err := c.Append([]byte("before"), &v); err != nil || !bytes.Equal(b, want) {
			t.Fatalf("%+v: image\n% x, Append\n% x, %v", v, b, want, err)
		}
	}
	kept := bytes.Clone(image)
	clear(image)
	if !bytes.Equal(c.Image(), kept) {
		t.Errorf("%T: the image is not the caller's own", *new(T))
	}
}

// The image of numbers that are always there, in any width and order and within
// nests, filled with those of a value, is what Append makes of the value.
func TestImageIsWhatAppendMakes(t *testing.T) {
	checkImage[struct {
		A uint32 `nl:"1"`
	}](t)
	checkImage[numbers](t)
	checkImage[struct {
		A int8   `nl:"9"`
		B int16  `nl:"3"`
		C uint16 `nl:"2,be"`
		D int32  `nl:"4,be"`
		E uint64 `nl:"5,be"`
		F int64  `nl:"16383"`
	}](t)
	type inner struct {
		A uint8  `nl:"1"`
		B uint64 `nl:"2"`
	}
	checkImage[struct {
		Before uint16 `nl:"1"`
		Nest   inner  `nl:"2"`
		Old    inner  `nl:"3,noflag"`
		Deep   struct {
			Deeper struct{ inner } `nl:"1"`
		} `nl:"4"`
		Unmentioned string
		After       uint16 `nl:"5"`
	}](t)
}

// What may be absent, or has no fixed length, has no image.
func TestNoImage(t *testing.T) {
	type number struct {
		A uint32 `nl:"1,omitzero"`
	}
	for name, image := range map[string][]byte{
		"nothing": codecOf[struct{}](t).Image(),
		"zero":    codecOf[number](t).Image(),
		"nest": codecOf[struct {
			A uint32 `nl:"1"`
			N number `nl:"2"`
		}](t).Image(),
		"pointer": codecOf[struct {
			A *uint32 `nl:"1"`
		}](t).Image(),
		"string": codecOf[struct {
			A uint32 `nl:"1"`
			S string `nl:"2"`
		}](t).Image(),
		"flag": codecOf[struct {
			F bool `nl:"1"`
		}](t).Image(),
		"auto": codecOf[struct {
			A uint64 `nl:"1,auto"`
		}](t).Image(),
		"pad": codecOf[struct {
			A uint32   `nl:"1"`
			_ struct{} `nl:"2,pad"`
			B uint64   `nl:"3"`
		}](t).Image(),
		"unknown": codecOf[struct {
			A    uint32     `nl:"1"`
			More []attr.Raw `nl:"unknown"`
		}](t).Image(),
		"header": codecOf[struct {
			Header [2]uint32 `nl:"header"`
			A      uint32    `nl:"1"`
		}](t).Image(),
		"methods": codecOf[wholeAppender](t).Image(),
	} {
		if image != nil {
			t.Errorf("%s: image % x", name, image)
		}
	}
}

func TestFillDoesNotAllocate(t *testing.T) {
	c := codecOf[numbers](t)
	b := bytes.Clone(c.Image())
	wantAllocs(t, "Fill", 0, func() { c.Fill(b, &numbers{1, 2, 3, 4}) })
}

// deepNest has 98 nests in one another.
type deepNest struct {
	N tenfold[tenfold[tenfold[tenfold[tenfold[tenfold[tenfold[tenfold[tenfold[sevenfold]]]]]]]]] `nl:"1"`
}

type deeper[T any] struct {
	N T `nl:"1"`
}

type tenfold[T any] struct {
	N deeper[deeper[deeper[deeper[deeper[deeper[deeper[deeper[deeper[T]]]]]]]]] `nl:"1"`
}

type sevenfold struct {
	N deeper[deeper[deeper[deeper[deeper[deeper[number]]]]]] `nl:"1"`
}

type number struct {
	A uint32 `nl:"1"`
}

// A value can be as deep as Append takes it, and no deeper.
func TestImageDepth(t *testing.T) {
	checkImage[deeper[deeper[deepNest]]](t)
	c := codecOf[deeper[deeper[deeper[deepNest]]]](t)
	_, err := c.Append(nil, new(deeper[deeper[deeper[deepNest]]]))
	if c.Image() != nil || !errors.Is(err, attr.ErrDepth) {
		t.Errorf("image of %d bytes, Append: %v", len(c.Image()), err)
	}
}
