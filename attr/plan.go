package attr

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unsafe"
)

// kind is how one field is laid out on the wire and in memory.
type kind uint8

const (
	kindNone kind = iota

	// Scalars whose size in memory is that on the wire.
	kind8
	kind16
	kind32
	kind64
	kind16BE
	kind32BE
	kind64BE

	kindNest    // a struct in place
	kindFlag    // bool: presence
	kindString  // string, NUL written behind it
	kindText    // string without NUL
	kindBytes   // []byte, copied
	kindView    // []byte, a view of the message
	kindUint    // uint64 as 4 or 8 bytes
	kindInt     // int64 as 4 or 8 bytes
	kindConvert // a number whose size in memory or unit is another than on the wire
	kindFixed   // fixed binary layout: array or struct
	kindPacked  // slice of scalars or fixed structs, back to back
	kindAddr    // netip.Addr
	kindBits    // Bitfield32
	kindPointer // nil is absence
	kindArray   // slice: a nest whose entries are numbered
	kindRepeat  // slice: the attribute itself stands once for each element
	kindKeyed   // slice of structs: a nest whose entries' numbers go into a field
	kindMap     // map: a nest whose entries' numbers are the keys
	kindPad     // no memory; written where what follows needs 8-byte alignment
	kindCustom  // the type's own methods
)

// field is one tagged struct field, or the element of one.
type field struct {
	kind      kind
	typ       uint16  // attribute number
	flags     uint16  // FlagNested or nothing, or'ed to typ when encoding
	off       uintptr // in the struct; 0 for an element
	before    uintptr // where the field before it ends: padding follows
	omitZero  bool
	size      uintptr        // of the Go type
	goType    reflect.Type   // of the field
	name      string         // of the Go field; empty for an element
	wireName  string         // what the kernel calls it
	sub       *plan          // kindNest: the struct's plan; kindKeyed: that of the element
	elem      *field         // of a pointer, array, repetition or map
	base      uint16         // kindArray: the number of the first entry
	keyOff    uintptr        // kindKeyed: where in the element the number goes
	keySize   uintptr        // kindKeyed: 1, 2 or 4 bytes
	convert   conversion     // kindConvert
	fixed     *layout        // kindFixed, and the element of kindPacked
	methods   unsafe.Pointer // kindCustom: the method table of its pointer as an encoding.BinaryUnmarshaler
	pointered bool           // its memory holds pointers
}

// entry is what the decoder's inner loop needs to know of an attribute number.
type entry struct {
	bit     Set    // the number as a set; empty beyond 63
	off     uint32 // of the field
	field   uint16 // 1 + index in plan.fields; 0: no field has this number
	wireLen uint16 // of a plain number, header included; 0, which no attribute has, for all else
}

// step is to the encoder's inner loop what entry is to the decoder's: little, so
// that many fit a line of the processor's cache.
type step struct {
	off      uint32 // of the field
	typ      uint16
	kind     kind
	omitZero bool
}

// shaped is a plain number at its place in a list.
type shaped struct {
	header uint32 // length and number of the attribute, as one number in the machine's order
	at     uint32 // where it begins in the element
	off    uint32 // of the field
	kind   kind
}

// span is a piece of pointer-free memory.
type span struct{ off, len uintptr }

// plan is a struct type compiled for encoding and decoding.
type plan struct {
	typ     reflect.Type
	fields  []field // in the order of declaration, which is that of encoding
	steps   []step  // what the encoder's inner loop needs to know of each field
	entries []entry // by attribute number

	// Absent attributes leave zero values, also in memory that is used again.
	// Where a struct has more than a few plain fields they are cleared before
	// decoding, span by span; all others (late) are cleared afterwards, if
	// they were absent, so that strings and slices can keep their memory.
	spans []span
	late  Set   // attribute numbers of the fields to clear if absent
	far   []int // fields that would be late, but whose numbers are beyond a Set: cleared before
	first bool  // there is something to clear before decoding

	numbered bool // there are plain numbers

	// A struct that is all plain numbers, as the kernel most likely sends it as
	// an element of an array: with all attributes, in the order of their numbers.
	shape    []shaped
	shapeLen int // with the element's header

	image      []byte // what all values are encoded to, but for the numbers; or nil
	imageDepth int    // of nests
	values     []value

	given   int  // offset of the field of type Set, or -1
	unknown int  // offset of the field for unknown attributes, or -1
	indexed bool // there is a field tagged "index"
	custom  bool // methods of types are called, if this is the plan of the type given
	views   bool // likewise: some fields are views of the message
	methods methods

	header    *layout // of the field for the family's own header, or nil
	headerOff uintptr
}

// methods are what the type given to Append or Unmarshal brings of its own.
type methods struct {
	appends    bool
	unmarshals unsafe.Pointer // the method table of its pointer as an encoding.BinaryUnmarshaler, or nil
}

// conversion is a number that the wire holds in another size or unit than Go.
type conversion struct {
	wire   kind // kind8 … kind64BE
	signed bool
	unit   time.Duration // what 1 on the wire means for a time.Duration, else 0
}

// plans holds a *plan or an error for every type met: a cache, filled once a type.
var plans sync.Map // reflect.Type → *plan or error

func planFor(t reflect.Type) (*plan, error) {
	v, ok := plans.Load(t)
	if !ok {
		c := compiler{done: map[reflect.Type]*plan{}}
		p, err := c.plan(t)
		if err != nil {
			v, _ = plans.LoadOrStore(t, err)
		} else {
			p.methods = methodsOf(t)
			p.custom = c.custom || p.methods.appends
			p.views = c.views && p.methods.unmarshals == nil
			v, _ = plans.LoadOrStore(t, p)
		}
	}
	if p, ok := v.(*plan); ok {
		return p, nil
	}
	return nil, v.(error)
}

// compiler makes plans; done holds those under way, for types that contain themselves.
type compiler struct {
	done   map[reflect.Type]*plan
	depth  int  // of resolve within resolve
	custom bool // a type with methods of its own was met
	views  bool // a field that is a view was met
}

func (c *compiler) plan(t reflect.Type) (*plan, error) {
	if p := c.done[t]; p != nil {
		return p, nil
	}
	if t.Kind() != reflect.Struct {
		return nil, &Error{Type: t.String(), Err: fmt.Errorf("%w: attributes need a struct, not a %s", ErrTag, t.Kind())}
	}
	p := &plan{typ: t, given: -1, unknown: -1}
	c.done[t] = p
	if err := c.structFields(p, t, 0, 0); err != nil {
		return nil, err
	}
	if err := p.index(); err != nil {
		return nil, err
	}
	for i := range p.fields {
		f := &p.fields[i]
		p.steps = append(p.steps, step{uint32(f.off), f.typ, f.kind, f.omitZero})
	}
	p.planClearing()
	p.numbered = slices.ContainsFunc(p.entries, func(e entry) bool { return e.wireLen != 0 })
	p.planShape()
	p.planImage()
	p.first = len(p.far) > 0 || p.unknown >= 0 || len(p.spans) > 0
	return p, nil
}

// structFields adds the fields of t, which lies at offset off of the plan's
// type, behind a field that ends at offset before.
func (c *compiler) structFields(p *plan, t reflect.Type, off, before uintptr) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		if i > 0 {
			last := t.Field(i - 1)
			before = off + last.Offset + last.Type.Size()
		}
		tag, ok := sf.Tag.Lookup("nl")
		if !ok && sf.Anonymous && sf.Type.Kind() == reflect.Struct {
			if err := c.structFields(p, sf.Type, off+sf.Offset, before); err != nil {
				return err
			}
			continue
		}
		if !ok || tag == "-" {
			continue
		}
		if err := c.taggedField(p, sf, tag, off+sf.Offset, before); err != nil {
			if e, ok := err.(*Error); ok && e.Type != "" {
				return err // of a struct inside
			}
			return &Error{Type: p.typ.String(), Name: sf.Name, Err: fmt.Errorf("%w `nl:%q`: %w", ErrTag, tag, err)}
		}
	}
	return nil
}

func (c *compiler) taggedField(p *plan, sf reflect.StructField, tag string, off, before uintptr) error {
	if !sf.IsExported() && sf.Name != "_" {
		return fmt.Errorf("the field is not exported")
	}
	switch tag {
	case "given":
		if sf.Type != reflect.TypeFor[Set]() {
			return fmt.Errorf("the field must be an attr.Set")
		}
		if p.given >= 0 {
			return errTwice
		}
		p.given = int(off)
		return nil
	case "unknown":
		if sf.Type != reflect.TypeFor[[]Raw]() {
			return fmt.Errorf("the field must be a []attr.Raw")
		}
		if p.unknown >= 0 {
			return errTwice
		}
		p.unknown = int(off)
		return nil
	case "header":
		if p.header != nil {
			return errTwice
		}
		l, err := fixedLayout(sf.Type, false)
		p.header, p.headerOff = l, off
		return err
	case "index":
		switch sf.Type.Kind() {
		case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		default:
			return fmt.Errorf("the field must be a uint8, uint16 or uint32")
		}
		if p.indexed {
			return errTwice
		}
		p.indexed = true
		return nil
	}
	o, err := parseTag(tag)
	if err != nil {
		return err
	}
	f := field{typ: o.number, off: off, before: before, name: sf.Name, wireName: o.name, omitZero: o.omitZero}
	if f.wireName == "" {
		f.wireName = wireName(sf.Name)
	}
	if sf.Name == "_" && !o.pad {
		return fmt.Errorf("a blank field can only be padding")
	}
	if err := c.resolve(&f, sf.Type, &o); err != nil {
		return err
	}
	if left := o.unused(); left != "" {
		return fmt.Errorf("option %s does not fit a %s", left, sf.Type)
	}
	p.fields = append(p.fields, f)
	return nil
}

var errTwice = errors.New("another field is tagged so already")

// resolve finds out how a field of type t is laid out, consuming options.
func (c *compiler) resolve(f *field, t reflect.Type, o *options) error {
	// Types such as `type T map[uint16]T` contain themselves without a struct between.
	if c.depth++; c.depth > 10*MaxDepth {
		return fmt.Errorf("a %s contains itself", t)
	}
	defer func() { c.depth-- }()

	f.goType, f.size, f.pointered = t, t.Size(), hasPointers(t)
	switch {
	case o.take(&o.pad):
		f.kind, f.pointered = kindPad, false
		return nil
	case t.Kind() == reflect.Pointer && !o.repeated:
		f.kind, f.elem = kindPointer, &field{typ: f.typ}
		return c.resolve(f.elem, t.Elem(), o)
	case t.Kind() == reflect.Map && !o.repeated && !custom(t):
		switch t.Key().Kind() {
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Int, reflect.Uint:
		default:
			return fmt.Errorf("a map's key must be a uint8, uint16, uint32, uint or int")
		}
		f.kind, f.elem, f.flags = kindMap, &field{}, o.nestFlag()
		return c.resolve(f.elem, t.Elem(), o)
	case o.take(&o.repeated):
		if t.Kind() != reflect.Slice {
			return fmt.Errorf("repeated needs a slice, not a %s", t)
		}
		f.kind, f.elem = kindRepeat, &field{typ: f.typ}
		return c.element(f, o)
	case o.array:
		o.array = false
		if t.Kind() != reflect.Slice {
			return fmt.Errorf("array needs a slice, not a %s", t)
		}
		f.kind, f.elem, f.base, f.flags = kindArray, &field{}, o.base, o.nestFlag()
		return c.element(f, o)
	case o.take(&o.keyed):
		if t.Kind() != reflect.Slice || t.Elem().Kind() != reflect.Struct {
			return fmt.Errorf("keyed needs a slice of structs, not a %s", t)
		}
		return c.resolveKeyed(f, t.Elem(), o)
	case o.take(&o.packed):
		if t.Kind() != reflect.Slice {
			return fmt.Errorf("packed needs a slice, not a %s", t)
		}
		var err error
		f.kind = kindPacked
		if t.Elem().Size() == 0 {
			return fmt.Errorf("packed elements of no size cannot be told apart")
		}
		f.fixed, err = fixedLayout(t.Elem(), o.take(&o.be))
		return err
	case o.take(&o.fixed):
		var err error
		f.kind = kindFixed
		f.fixed, err = fixedLayout(t, o.take(&o.be))
		return err
	}

	switch t {
	case reflect.TypeFor[netip.Addr]():
		f.kind = kindAddr
		return nil
	case reflect.TypeFor[Bitfield32]():
		f.kind = kindBits
		return nil
	case reflect.TypeFor[time.Duration]():
		if o.unit == 0 || o.width == kindNone {
			return fmt.Errorf("a time.Duration needs a unit and a width, as in unit=ms,u32")
		}
		f.kind = kindConvert
		f.convert = conversion{wire: withOrder(o.width, o.take(&o.be)), signed: o.signed, unit: o.unit}
		o.unit, o.width = 0, kindNone
		return nil
	}
	if custom(t) {
		c.custom = true
		f.kind, f.methods = kindCustom, unmarshalerTable(t)
		return nil
	}

	switch t.Kind() {
	case reflect.Bool:
		if o.width != kindNone {
			f.kind, f.convert = kindConvert, conversion{wire: withOrder(o.width, o.take(&o.be))}
			o.width = kindNone
			return nil
		}
		f.kind = kindFlag
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int, reflect.Uint:
		return resolveNumber(f, t, o)
	case reflect.String:
		f.kind = kindString
		if o.take(&o.noNUL) {
			f.kind = kindText
		}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return fmt.Errorf("a %s needs one of the options array, keyed, repeated, packed", t)
		}
		f.kind = kindBytes
		if o.take(&o.view) {
			f.kind, c.views = kindView, true
		}
	case reflect.Array:
		var err error
		f.kind = kindFixed
		f.fixed, err = fixedLayout(t, o.take(&o.be))
		return err
	case reflect.Struct:
		var err error
		f.kind, f.flags = kindNest, o.nestFlag()
		if !tagged(t) {
			return fmt.Errorf("no field of %s is tagged: is the option struct missing?", t)
		}
		f.sub, err = c.plan(t)
		return err
	default:
		return fmt.Errorf("a %s has no form as an attribute", t)
	}
	return nil
}

// methodsOf finds the methods that t, or a pointer to it, brings for a whole list.
// A tagged struct has those of an embedded field, too, but is not meant to be only
// that: it goes by its tags.
func methodsOf(t reflect.Type) (m methods) {
	own := func(method reflect.Type) bool {
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous && tagged(t) && (f.Type.Implements(method) || reflect.PointerTo(f.Type).Implements(method)) {
				return false
			}
		}
		return reflect.PointerTo(t).Implements(method)
	}
	m.appends = own(reflect.TypeFor[encoding.BinaryAppender]())
	if own(reflect.TypeFor[encoding.BinaryUnmarshaler]()) {
		m.unmarshals = unmarshalerTable(t)
	}
	return m
}

// unmarshalerTable is the method table of a pointer to t as an
// encoding.BinaryUnmarshaler, which it must be.
func unmarshalerTable(t reflect.Type) unsafe.Pointer {
	u := reflect.New(t).Interface().(encoding.BinaryUnmarshaler)
	return (*interfaceHeader)(unsafe.Pointer(&u)).methods
}

// custom reports whether t brings all methods that a field needs.
func custom(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[encoding.BinaryAppender]()) &&
		p.Implements(reflect.TypeFor[encoding.BinaryUnmarshaler]())
}

// element resolves the element of f, a list.
func (c *compiler) element(f *field, o *options) error {
	err := c.resolve(f.elem, f.goType.Elem(), o)
	if err == nil && f.elem.kind == kindFlag {
		return fmt.Errorf("a false flag would leave no trace in a list: use a map, or say a width as in u8")
	}
	return err
}

// tagged reports whether a field of struct t is tagged, or t has no field at all.
func tagged(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if tag, ok := f.Tag.Lookup("nl"); ok && tag != "-" ||
			!ok && f.Anonymous && f.Type.Kind() == reflect.Struct && tagged(f.Type) {
			return true
		}
	}
	return t.NumField() == 0
}

func (c *compiler) resolveKeyed(f *field, elem reflect.Type, o *options) error {
	sub, err := c.plan(elem)
	if err != nil {
		return err
	}
	key, ok := indexField(elem)
	if !ok {
		return fmt.Errorf("keyed needs a field tagged `nl:\"index\"` in %s", elem)
	}
	f.kind, f.sub, f.flags = kindKeyed, sub, o.nestFlag()
	f.elem = &field{kind: kindNest, sub: sub, flags: f.flags, goType: elem, size: elem.Size()}
	f.keyOff, f.keySize = key.off, key.len
	return nil
}

// indexField finds the field of struct t tagged "index". The plan of t cannot
// tell: it is still being made when t contains itself.
func indexField(t reflect.Type) (span, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("nl")
		if tag == "index" {
			return span{f.Offset, f.Type.Size()}, true
		}
		if !ok && f.Anonymous && f.Type.Kind() == reflect.Struct {
			if s, ok := indexField(f.Type); ok {
				return span{f.Offset + s.off, s.len}, true
			}
		}
	}
	return span{}, false
}

func resolveNumber(f *field, t reflect.Type, o *options) error {
	signed := false
	switch t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		signed = true
	}
	be := o.take(&o.be)
	switch {
	case o.take(&o.auto):
		if t.Kind() != reflect.Int64 && t.Kind() != reflect.Uint64 || be {
			return fmt.Errorf("auto needs a 64-bit number")
		}
		f.kind = kindUint
		if signed {
			f.kind = kindInt
		}
	case o.width != kindNone:
		f.kind, f.convert = kindConvert, conversion{wire: withOrder(o.width, be), signed: o.signed}
		o.width = kindNone
	case t.Kind() == reflect.Int || t.Kind() == reflect.Uint:
		return fmt.Errorf("the size of %s varies: use a sized type, or say the wire's with u8 to u64 or s8 to s64", t)
	default:
		f.kind = withOrder(kindOfSize(t.Size()), be)
	}
	return nil
}

func kindOfSize(n uintptr) kind {
	switch n {
	case 1:
		return kind8
	case 2:
		return kind16
	case 4:
		return kind32
	}
	return kind64
}

func withOrder(k kind, bigEndian bool) kind {
	if bigEndian && k >= kind16 && k <= kind64 {
		return k - kind16 + kind16BE
	}
	return k
}

// index fills the table by attribute number.
func (p *plan) index() error {
	highest := -1
	for _, f := range p.fields {
		highest = max(highest, int(f.typ))
	}
	p.entries = make([]entry, highest+1)
	for i, f := range p.fields {
		e := &p.entries[f.typ]
		if e.field != 0 && f.kind == kindPad && p.fields[e.field-1].kind == kindPad {
			continue // one padding attribute serves all of a list
		}
		if e.field != 0 {
			return &Error{Type: p.typ.String(), Name: f.name,
				Err: fmt.Errorf("%w: attribute %d is %s already", ErrTag, f.typ, p.fields[e.field-1].name)}
		}
		*e = entry{bit: 1 << f.typ, off: uint32(f.off), field: uint16(i + 1)}
		if f.kind >= kind8 && f.kind <= kind64 {
			e.wireLen = headerLen + uint16(f.size)
		}
	}
	return nil
}

// planShape notes the shape of a struct that is plain numbers only.
func (p *plan) planShape() {
	if p.unknown >= 0 || p.given >= 0 || slices.ContainsFunc(p.fields, func(f field) bool { return f.kind < kind8 || f.kind > kind64 }) {
		return
	}
	p.shapeLen = headerLen
	for _, e := range p.entries {
		if e.field == 0 {
			continue
		}
		f := &p.fields[e.field-1]
		var header [headerLen]byte
		putHeader(header[:], headerLen+int(f.size), f.typ)
		p.shape = append(p.shape, shaped{binary.NativeEndian.Uint32(header[:]), uint32(p.shapeLen), uint32(f.off), f.kind})
		p.shapeLen += align(headerLen + int(f.size))
	}
}

// planClearing decides which fields are cleared before decoding and which after.
func (p *plan) planClearing() {
	plain := 0
	for _, f := range p.fields {
		if !f.late() && f.kind != kindPad {
			plain++
		}
	}
	for i, f := range p.fields {
		switch {
		case f.kind == kindPad:
		case f.typ < 64 && (f.late() || plain <= 4):
			p.late |= 1 << f.typ
		case f.late():
			p.far = append(p.far, i)
		case len(p.spans) > 0 && p.adjoins(f):
			last := &p.spans[len(p.spans)-1]
			last.len = f.off + f.size - last.off
		default:
			p.spans = append(p.spans, span{f.off, f.size})
		}
	}
}

// late reports whether f is cleared after decoding: its memory is worth keeping.
func (f *field) late() bool { return f.pointered || f.kind == kindNest }

// adjoins reports whether nothing but padding is between the last span and f.
func (p *plan) adjoins(f field) bool {
	last := p.spans[len(p.spans)-1]
	return f.before == last.off+last.len
}

func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	}
	return true
}

// options is a parsed tag. What resolve has used it switches off again, so
// that what is left did not fit the field.
type options struct {
	number   uint16
	name     string
	omitZero bool
	noFlag   bool
	nested   bool // resolve has asked for noFlag

	be, noNUL, array, repeated, keyed, packed, fixed, view, auto, pad bool

	base   uint16
	width  kind
	signed bool
	unit   time.Duration
}

// take returns *b and switches it off.
func (o *options) take(b *bool) bool {
	v := *b
	*b = false
	return v
}

func (o *options) nestFlag() uint16 {
	o.nested = true
	if o.noFlag {
		return 0
	}
	return FlagNested
}

// unused names an option that did not fit the field.
func (o *options) unused() string {
	for _, left := range []struct {
		is   bool
		name string
	}{
		{o.be, "be"}, {o.noNUL, "nonul"}, {o.array, "array"}, {o.repeated, "repeated"},
		{o.keyed, "keyed"}, {o.packed, "packed"}, {o.fixed, "struct"}, {o.view, "view"},
		{o.auto, "auto"}, {o.pad, "pad"}, {o.unit != 0, "unit"}, {o.width != kindNone, "of width"},
		{o.noFlag && !o.nested, "noflag"},
	} {
		if left.is {
			return left.name
		}
	}
	return ""
}

var widths = map[string]struct {
	kind   kind
	signed bool
}{
	"u8": {kind8, false}, "u16": {kind16, false}, "u32": {kind32, false}, "u64": {kind64, false},
	"s8": {kind8, true}, "s16": {kind16, true}, "s32": {kind32, true}, "s64": {kind64, true},
}

var units = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
	// clock_t of the kernel's interfaces: USER_HZ is 100 on every architecture
	// but alpha and ia64.
	"ticks": 10 * time.Millisecond,
}

func parseTag(tag string) (options, error) {
	var o options
	parts := strings.Split(tag, ",")
	n, err := strconv.ParseUint(parts[0], 0, 16)
	if err != nil || n > typeMask {
		return o, fmt.Errorf("%q is not an attribute number (0 to %d)", parts[0], typeMask)
	}
	o.number = uint16(n)
	for _, part := range parts[1:] {
		key, value, hasValue := strings.Cut(part, "=")
		switch {
		case key == "name" && value != "":
			o.name = value
			continue
		case key == "unit":
			if o.unit = units[value]; o.unit == 0 {
				return o, fmt.Errorf("unit %q is none of ns, us, ms, s, ticks", value)
			}
			continue
		case key == "array" && hasValue:
			base, err := strconv.ParseUint(value, 0, 14)
			if err != nil {
				return o, fmt.Errorf("array base %q is not a number", value)
			}
			o.array, o.base = true, uint16(base)
			continue
		case hasValue:
			return o, fmt.Errorf("unknown option %q", part)
		}
		if w, ok := widths[key]; ok {
			o.width, o.signed = w.kind, w.signed
			continue
		}
		set, ok := map[string]*bool{
			"omitzero": &o.omitZero, "noflag": &o.noFlag, "be": &o.be, "nonul": &o.noNUL,
			"array": &o.array, "repeated": &o.repeated, "keyed": &o.keyed, "packed": &o.packed,
			"struct": &o.fixed, "view": &o.view, "auto": &o.auto, "pad": &o.pad,
		}[key]
		if !ok {
			return o, fmt.Errorf("unknown option %q", part)
		}
		*set = true
	}
	return o, nil
}

// wireName guesses the kernel's name of a Go field: IfIndex is if-index.
func wireName(goName string) string {
	var b strings.Builder
	runes := []rune(goName)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// at returns the address of f within the struct at base.
func (f *field) at(base unsafe.Pointer) unsafe.Pointer { return unsafe.Add(base, f.off) }
