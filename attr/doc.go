// Package attr encodes and decodes netlink attributes.
//
// An attribute is a length, a number that says what it is, and a payload:
//
//	 0      1      2      3      4 …            length   …up to a multiple of 4
//	+------+------+------+------+----------------+---------+
//	| length      | type        | payload        | padding |
//	+------+------+------+------+----------------+---------+
//
// The length counts the header and the payload, not the padding. Length and
// type are in the byte order of the machine, as are numbers in the payload
// unless a family says otherwise. The two high bits of the type are flags
// ([FlagNested], [FlagNetByteOrder]), the rest is the attribute's number, which
// means something only within its list: a message, or a nest, which is an
// attribute whose payload is a list again. The package does no input and
// output, and makes no system calls.
//
// # Three layers
//
// [Encoder] and [Decoder] work on single attributes: an Encoder appends to a
// buffer of the caller's, a Decoder walks one. They fit where a list is read
// in an order or a manner of its own, and where no struct exists. [Find] takes a
// single attribute out of it.
//
// [Marshal], [Append] and [Unmarshal] work on structs whose fields are tagged
// with attribute numbers. A type is compiled to a plan when it is first met;
// from then on no tag is looked at. They fit nearly everything.
//
// [Codec] is the plan of one type, compiled by [CodecOf] at a moment of the
// caller's choosing, who then also learns of bad tags at that moment. A type of
// which nothing but numbers changes has an image besides ([Codec.Image]).
//
// [Locate] and [Name] find the attribute at an offset, and what it is called,
// as the kernel's extended acks need.
//
// # Tags
//
// A field takes part if it has a tag `nl:"NUMBER"`, perhaps with options behind
// it: `nl:"3,omitzero"`. The number is 0 to 16383, in decimal or as 0x.... A
// field without a tag, or tagged `nl:"-"`, is left alone, in both directions.
// Attributes are encoded in the order of the fields. A struct that is embedded
// and not tagged counts as if its fields stood in its place (a pointer to one
// does not). What the payload is follows from the Go type and the options:
//
//	Go type                option          payload
//	uint8 … uint64,                        number of that size, in native byte order
//	 int8 … int64          be              the same in network byte order
//	                       u8 … u64,       number of that size (u: unsigned, s: signed),
//	                        s8 … s64       also for int, uint; with be in network order
//	uint64, int64          auto            number of 4 or 8 bytes (NLA_UINT, NLA_SINT)
//	bool                                   none: there or not there (NLA_FLAG)
//	                       u8 … u64        number that is 0 or not, encoded as 0 or 1
//	string                                 text with a NUL behind it (NLA_NUL_STRING)
//	                       nonul           text without a NUL
//	[]byte                                 those bytes (NLA_BINARY)
//	                       view            the same; decoding does not copy
//	[N]byte, [N]uint32 …                   N elements back to back (fixed layout)
//	                       be              the same, its numbers in network byte order
//	struct                                 a nest: the struct has tags of its own
//	                       struct          a C struct (fixed layout)
//	[]T                    array, array=N  a nest of elements numbered from 0, or N, on
//	                       repeated        one attribute for each element, not nested
//	                       keyed           a nest of nests, T being a struct, whose
//	                                       numbers go into the field tagged `nl:"index"`
//	                       packed          elements back to back, as fixed layouts
//	map[K]T                                a nest of elements by number
//	*T                                     as T; nil for absent
//	netip.Addr                             IP address of 4 or 16 bytes
//	time.Duration          unit=U and      number of nanoseconds (ns), microseconds (us),
//	                        u8 … s64       milliseconds (ms), seconds (s) or 10 ms (ticks)
//	Bitfield32                             value and selector (NLA_BITFIELD32)
//	any                    pad             none: see below
//	BinaryAppender and                     what the type's own methods make of it
//	 BinaryUnmarshaler
//
// Options for T stand in the same tag: `nl:"4,array,be"` on a []uint16,
// `nl:"5,repeated,array"` on a [][]string. Further options are
//
//	omitzero    encode nothing for the zero value. A slice or map without entries
//	            counts as zero, and a nest in which every field does.
//	noflag      leave NLA_F_NESTED out where this field is encoded. The kernel's own
//	            families from before 5.2 do not set it, newer ones demand it.
//	name=X      what the kernel calls the attribute; see [Name]
//
// and these tags stand without a number:
//
//	nl:"given"    a [Set]: which of the numbers 0 to 63 the decoded list held
//	nl:"unknown"  a []Raw: attributes that no field asks for are kept here, copied, and
//	              encoded behind all others
//	nl:"index"    a uint8, uint16 or uint32 in the element of a keyed list
//	nl:"header"   a fixed layout that stands before the attributes: see [Codec.HeaderLen]
//
// Without "given", an absent attribute cannot be told from a zero one, except
// by a pointer. Without "unknown", unknown attributes are skipped.
//
// A fixed layout is made of sized integers, arrays and structs of them. The
// struct must have the same bytes in memory as on the wire: the compiler's
// padding has to be spelled out by blank fields, as in `_ [4]byte`, or it is an
// error. Single fields are in network byte order with the tag `nl:"be"`. A
// struct takes a longer payload too, since the kernel appends to its structs;
// what exceeds the Go type is ignored. An array takes its own length only.
//
// A pad field, `_ struct{}` tagged `nl:"7,pad"`, has no memory. It becomes an
// empty attribute where the payload of the field behind it would otherwise not
// begin at a multiple of 8 in the buffer. All pad fields of a struct may have
// the same number.
//
// A type with the methods AppendBinary and UnmarshalBinary
// ([encoding.BinaryAppender], [encoding.BinaryUnmarshaler], on the type or on a
// pointer to it) is its own master: the one appends the payload, the other
// decodes it, and must copy what it keeps. As the type of a field it needs both.
// The struct given to [Append], [Unmarshal] or a [Codec] may have one of them,
// which then appends or decodes the whole list; the tags of its fields serve the
// other direction, and [Name]. Should the method use Append or Unmarshal itself, it
// gives them a type without the method (type plain T), or it would call itself for
// ever. A struct with tags that embeds a type with such a method goes by its tags.
// AppendBinary may be called on a copy.
//
// # What may be wrong
//
// Encoding fails where a value has no faithful form: a payload over [MaxPayload]
// bytes, a NUL within a string, a number that its width does not hold, a
// duration that is not a multiple of its unit, no address. Decoding fails where
// a length is impossible, a payload has the wrong size, a value does not fit its
// field, or nests stand deeper than [MaxDepth]. Strings lose all NULs at their
// end, and need not have any. A flag may have a payload, up to three bytes may
// follow the last attribute, and its padding may be missing, since the kernel
// permits all of that.
//
// # What is copied and what is used again
//
// Decoding copies strings and byte slices, so that the buffer can be used
// again at once, with two exceptions: a field tagged view, and the Bytes, Raw
// and Nested methods of a Decoder, are part of the buffer.
//
// Unmarshal uses the memory again that the value holds: strings that have not
// changed, the capacity of slices (with the memory of the elements in it), what
// non-nil pointers point to, maps. Decoding in a loop into the same variable
// therefore soon costs no allocation, and overwrites what a shallow copy of the
// variable refers to. Nothing stale remains in tagged fields; only an absent
// list leaves an empty slice instead of nil. Maps, elements of maps, kept
// unknown attributes and pointers that were nil always cost an allocation.
//
// Append writes to the buffer's spare capacity, and allocates when that does
// not suffice.
package attr
