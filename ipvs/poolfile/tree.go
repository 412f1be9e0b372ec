package poolfile

// node is a value of a JSON or YAML file with its place. The schema is read
// from and written to trees of nodes, whichever of the two the file is.
type node struct {
	kind         kind
	line, column int

	text    string  // of a scalar: as written, without quotes and escapes
	items   []*node // of a list
	entries []entry // of an object, in order

	layout layout
}

// layout is how a list or object is written.
type layout uint8

const (
	spread layout = iota // a line a member
	row                  // one line in JSON, where that reads well
	inline               // one line in YAML too
)

// entry is a key of an object with its value.
type entry struct {
	key          string
	line, column int
	value        *node
}

// kind is what a node is, in the words of error messages.
type kind string

const (
	kindNull    kind = "nothing"
	kindBool    kind = "true or false"
	kindNumber  kind = "a number"
	kindText    kind = "text"
	kindList    kind = "a list"
	kindObject  kind = "an object"
	kindUnknown kind = "a value of a type of its own"
)

// find is the entry of a key, nil if it is not there.
func (n *node) find(key string) *entry {
	for i := range n.entries {
		if n.entries[i].key == key {
			return &n.entries[i]
		}
	}
	return nil
}

// get is the value of a key, nil if it is not there.
func (n *node) get(key string) *node {
	if e := n.find(key); e != nil {
		return e.value
	}
	return nil
}

// has reports whether one of the keys is there.
func (n *node) has(keys ...string) bool { return n.count(keys...) > 0 }

// count is how many of these keys an object has.
func (n *node) count(keys ...string) (there int) {
	for _, key := range keys {
		if n.get(key) != nil {
			there++
		}
	}
	return there
}

func textNode(s string) *node   { return &node{kind: kindText, text: s} }
func numberNode(s string) *node { return &node{kind: kindNumber, text: s} }

func (n *node) put(key string, value *node) {
	n.entries = append(n.entries, entry{key: key, value: value})
}
