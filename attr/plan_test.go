package attr_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gnlgo/gnl/attr"
)

type (
	mapOfItself     map[uint16]mapOfItself
	pointerToItself *pointerToItself
	badInside       struct {
		OK  uint8 `nl:"1"`
		Bad uint8 `nl:"x"`
	}
	noTags struct{ A, B uint8 }
)

// Each tag that cannot be followed is refused when the type is first met. The
// error names the type and the field.
func TestBadTags(t *testing.T) {
	for _, c := range []struct {
		value any
		text  string // behind "bad nl tag `nl:"…"`: "
	}{
		// The number.
		{struct {
			V uint8 `nl:""`
		}{}, `"" is not an attribute number (0 to 16383)`},
		{struct {
			V uint8 `nl:"x"`
		}{}, `"x" is not an attribute number (0 to 16383)`},
		{struct {
			V uint8 `nl:" 1"`
		}{}, `" 1" is not an attribute number (0 to 16383)`},
		{struct {
			V uint8 `nl:"-1"`
		}{}, `"-1" is not an attribute number (0 to 16383)`},
		{struct {
			V uint8 `nl:"16384"`
		}{}, `"16384" is not an attribute number (0 to 16383)`},
		{struct {
			V uint8 `nl:",omitzero"`
		}{}, `"" is not an attribute number (0 to 16383)`},

		// Options that are none.
		{struct {
			V uint8 `nl:"1,"`
		}{}, `unknown option ""`},
		{struct {
			V uint8 `nl:"1,omitempty"`
		}{}, `unknown option "omitempty"`},
		{struct {
			V uint8 `nl:"1, omitzero"`
		}{}, `unknown option " omitzero"`},
		{struct {
			V uint8 `nl:"1,be=1"`
		}{}, `unknown option "be=1"`},
		{struct {
			V uint8 `nl:"1,name="`
		}{}, `unknown option "name="`},
		{struct {
			V []uint8 `nl:"1,array=x"`
		}{}, `array base "x" is not a number`},
		{struct {
			V []uint8 `nl:"1,array=16384"`
		}{}, `array base "16384" is not a number`},
		{struct {
			V time.Duration `nl:"1,unit=h,u8"`
		}{}, `unit "h" is none of ns, us, ms, s, ticks`},
		{struct {
			V time.Duration `nl:"1,unit,u8"`
		}{}, `unit "" is none of ns, us, ms, s, ticks`},

		// Options that do not fit the type.
		{struct {
			V string `nl:"1,be"`
		}{}, "option be does not fit a string"},
		{struct {
			V []byte `nl:"1,nonul"`
		}{}, "option nonul does not fit a []uint8"},
		{struct {
			V string `nl:"1,view"`
		}{}, "option view does not fit a string"},
		{struct {
			V string `nl:"1,u8"`
		}{}, "option of width does not fit a string"},
		{struct {
			V uint8 `nl:"1,unit=s"`
		}{}, "option unit does not fit a uint8"},
		{struct {
			V string `nl:"1,auto"`
		}{}, "option auto does not fit a string"},
		{struct {
			V uint32 `nl:"1,noflag"`
		}{}, "option noflag does not fit a uint32"},
		{struct {
			V bool `nl:"1,be"`
		}{}, "option be does not fit a bool"},
		{struct {
			V netip.Addr `nl:"1,be"`
		}{}, "option be does not fit a netip.Addr"},
		{struct {
			V pair `nl:"1,be"`
		}{}, "option be does not fit a attr_test.pair"},
		{struct {
			V *string `nl:"1,be"`
		}{}, "option be does not fit a *string"},
		{struct {
			V []string `nl:"1,array,be"`
		}{}, "option be does not fit a []string"},
		{struct {
			V []uint16 `nl:"1,array,packed,keyed"`
		}{}, "keyed needs a slice of structs, not a uint16"},
		{struct {
			V uint32 `nl:"1,auto"`
		}{}, "auto needs a 64-bit number"},
		{struct {
			V int `nl:"1,auto"`
		}{}, "auto needs a 64-bit number"},
		{struct {
			V uint64 `nl:"1,auto,be"`
		}{}, "auto needs a 64-bit number"},
		{struct {
			V uint8 `nl:"1,array"`
		}{}, "array needs a slice, not a uint8"},
		{struct {
			V [2]uint8 `nl:"1,array"`
		}{}, "array needs a slice, not a [2]uint8"},
		{struct {
			V uint8 `nl:"1,repeated"`
		}{}, "repeated needs a slice, not a uint8"},
		{struct {
			V *[]uint8 `nl:"1,repeated"`
		}{}, "repeated needs a slice, not a *[]uint8"},
		{struct {
			V map[uint8][]uint8 `nl:"1,repeated"`
		}{}, "repeated needs a slice, not a map[uint8][]uint8"},
		{struct {
			V uint8 `nl:"1,packed"`
		}{}, "packed needs a slice, not a uint8"},
		{struct {
			V []struct{} `nl:"1,packed"`
		}{}, "packed elements of no size cannot be told apart"},
		{struct {
			V []uint8 `nl:"1,keyed"`
		}{}, "keyed needs a slice of structs, not a []uint8"},
		{struct {
			V []pair `nl:"1,keyed"`
		}{}, "keyed needs a field tagged `nl:\"index\"` in attr_test.pair"},
		{struct {
			V []bool `nl:"1,array"`
		}{}, "a false flag would leave no trace in a list: use a map, or say a width as in u8"},
		{struct {
			V []bool `nl:"1,repeated"`
		}{}, "a false flag would leave no trace in a list: use a map, or say a width as in u8"},

		// Types that need an option, or have no form.
		{struct {
			V []uint16 `nl:"1"`
		}{}, "a []uint16 needs one of the options array, keyed, repeated, packed"},
		{struct {
			V int `nl:"1"`
		}{}, "the size of int varies: use a sized type, or say the wire's with u8 to u64 or s8 to s64"},
		{struct {
			V uint `nl:"1,be"`
		}{}, "the size of uint varies: use a sized type, or say the wire's with u8 to u64 or s8 to s64"},
		{struct {
			V time.Duration `nl:"1"`
		}{}, "a time.Duration needs a unit and a width, as in unit=ms,u32"},
		{struct {
			V time.Duration `nl:"1,u32"`
		}{}, "a time.Duration needs a unit and a width, as in unit=ms,u32"},
		{struct {
			V time.Duration `nl:"1,unit=s"`
		}{}, "a time.Duration needs a unit and a width, as in unit=ms,u32"},
		{struct {
			V float64 `nl:"1"`
		}{}, "a float64 has no form as an attribute"},
		{struct {
			V chan int `nl:"1"`
		}{}, "a chan int has no form as an attribute"},
		{struct {
			V any `nl:"1"`
		}{}, "a interface {} has no form as an attribute"},
		{struct {
			V uintptr `nl:"1"`
		}{}, "a uintptr has no form as an attribute"},
		{struct {
			V map[string]uint8 `nl:"1"`
		}{}, "a map's key must be a uint8, uint16, uint32, uint or int"},
		{struct {
			V map[uint8]any `nl:"1"`
		}{}, "a interface {} has no form as an attribute"},
		{struct {
			V noTags `nl:"1"`
		}{}, "no field of attr_test.noTags is tagged: is the option struct missing?"},
		{struct {
			V mapOfItself `nl:"1"`
		}{}, "a attr_test.mapOfItself contains itself"},
		{struct {
			V pointerToItself `nl:"1"`
		}{}, "a attr_test.pointerToItself contains itself"},

		// Fixed layouts.
		{struct {
			V string `nl:"1,struct"`
		}{}, "a string has no fixed binary form"},
		{struct {
			V [2]string `nl:"1"`
		}{}, "a string has no fixed binary form"},
		{struct {
			V []bool `nl:"1,packed"`
		}{}, "a bool has no fixed binary form"},
		{struct {
			V struct {
				A uint8
				B uint16
			} `nl:"1,struct"`
		}{}, "struct { A uint8; B uint16 }: 1 bytes of padding before B: write them as a field `_ [1]byte`"},
		{struct {
			V [1]struct {
				A uint16
				B uint8
			} `nl:"1"`
		}{}, "struct { A uint16; B uint8 }: 1 bytes of padding at its end: write them as a field `_ [1]byte`"},
		{struct {
			V struct{ a uint16 } `nl:"1,struct"`
		}{}, "struct { a uint16 }: field a is not exported"},
		{struct {
			V struct{ A int } `nl:"1,struct"`
		}{}, "a int has no fixed binary form"},

		// Fields.
		{struct {
			V uint8 `nl:"given"`
		}{}, "the field must be an attr.Set"},
		{struct {
			V []byte `nl:"unknown"`
		}{}, "the field must be a []attr.Raw"},
		{struct {
			V uint64 `nl:"index"`
		}{}, "the field must be a uint8, uint16 or uint32"},
		{struct {
			V string `nl:"header"`
		}{}, "a string has no fixed binary form"},
		{struct {
			A attr.Set `nl:"given"`
			V attr.Set `nl:"given"`
		}{}, "another field is tagged so already"},
		{struct {
			A []attr.Raw `nl:"unknown"`
			V []attr.Raw `nl:"unknown"`
		}{}, "another field is tagged so already"},
		{struct {
			A uint8 `nl:"index"`
			V uint8 `nl:"index"`
		}{}, "another field is tagged so already"},
		{struct {
			A uint8 `nl:"header"`
			V uint8 `nl:"header"`
		}{}, "another field is tagged so already"},
	} {
		for range 2 { // the second error comes from the cache
			_, err := attr.Marshal(c.value)
			var is *attr.Error
			if !errors.Is(err, attr.ErrTag) || !errors.As(err, &is) {
				t.Errorf("%T: the error is %v", c.value, err)
				continue
			}
			if is.Name != "V" || !strings.HasPrefix(is.Type, "struct { ") {
				t.Errorf("%T: the error names field %q of %q", c.value, is.Name, is.Type)
			}
			head, text, _ := strings.Cut(err.Error(), ": V: bad nl tag `nl:\"")
			_, text, _ = strings.Cut(text, "\"`: ")
			if head != "attr: "+is.Type || text != c.text {
				t.Errorf("the error reads\n%v, not\n%v", err, c.text)
			}
		}
	}
}

func TestBadTagsElsewhere(t *testing.T) {
	for _, c := range []struct {
		value any
		text  string
	}{
		{struct {
			A uint8 `nl:"1"`
			B uint8 `nl:"2"`
			C uint8 `nl:"1"`
		}{}, `C: bad nl tag: attribute 1 is A already`},
		{struct {
			v uint8 `nl:"1"`
		}{}, "v: bad nl tag `nl:\"1\"`: the field is not exported"},
		{struct {
			_ uint8 `nl:"1"`
		}{}, "_: bad nl tag `nl:\"1\"`: a blank field can only be padding"},
		{struct {
			A uint8    `nl:"1"`
			_ struct{} `nl:"1,pad"`
		}{}, "_: bad nl tag: attribute 1 is A already"},
	} {
		_, err := attr.Marshal(c.value)
		if _, text, _ := strings.Cut(err.Error(), " }: "); !errors.Is(err, attr.ErrTag) || text != c.text {
			t.Errorf("the error reads\n%v, not\n%v", err, c.text)
		}
	}

	// A bad tag deep inside is that of the inner type.
	type outer struct {
		L []map[uint16]*badInside `nl:"1,array"`
	}
	err := attr.Unmarshal(nil, &outer{})
	want := "attr: attr_test.badInside: Bad: bad nl tag `nl:\"x\"`: \"x\" is not an attribute number (0 to 16383)"
	if !errors.Is(err, attr.ErrTag) || err.Error() != want {
		t.Errorf("the error reads\n%v, not\n%v", err, want)
	}
}

func TestTagsOfPads(t *testing.T) {
	// In decoding, a pad is neither an unknown attribute nor does it touch memory.
	var v struct {
		More []attr.Raw `nl:"unknown"`
		P    uint32     `nl:"9,pad"`
		A    uint8      `nl:"1"`
	}
	v.P = 5
	if err := attr.Unmarshal(wire(h(4, 9), h(5, 1), x("01 00 00 00"), h(8, 9), n32(7)), &v); err != nil {
		t.Fatal(err)
	}
	if v.P != 5 || v.A != 1 || v.More != nil {
		t.Errorf("decoded to %+v", v)
	}
}

// Types that refer to one another are compiled by many goroutines at once.
func TestCompileConcurrently(t *testing.T) {
	type b struct {
		Deep []struct {
			V map[uint16]*node `nl:"1"`
		} `nl:"1,array"`
	}
	type a struct {
		B *b `nl:"1"`
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := attr.Unmarshal(nil, &a{}); err != nil {
				t.Error(err)
			}
			if err := attr.Unmarshal(nil, &b{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
