package poolfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// parseJSON makes a tree of JSON text, nil if it is none.
func parseJSON(content []byte, rep *report) *node {
	p := &jsonParser{content: content, line: 1}
	// The decoder's tokens are taken from what is known to be right, because it
	// does not check all of the grammar between them.
	var syntax *json.SyntaxError
	if err := json.Unmarshal(content, new(json.RawMessage)); errors.As(err, &syntax) {
		line, column := p.position(max(0, int(syntax.Offset)-1))
		rep.add(line, column, "", fmt.Errorf("JSON: %w", err))
		return nil
	}
	if !utf8.Valid(content) {
		rep.add(1, 1, "", errors.New("JSON: the file is not UTF-8"))
		return nil
	}
	p.decoder = json.NewDecoder(bytes.NewReader(content))
	p.decoder.UseNumber()
	return p.value()
}

type jsonParser struct {
	content []byte
	decoder *json.Decoder

	// Where position was asked for last: it goes on from there.
	line, offset, lineStart int
}

// position is the line and column of an offset that is not before the last one
// asked for. Columns count characters.
func (p *jsonParser) position(offset int) (line, column int) {
	offset = min(offset, len(p.content))
	for ; p.offset < offset; p.offset++ {
		if p.content[p.offset] == '\n' {
			p.line++
			p.lineStart = p.offset + 1
		}
	}
	return p.line, utf8.RuneCount(p.content[p.lineStart:offset]) + 1
}

// next is the next token and where it begins.
func (p *jsonParser) next() (token json.Token, line, column int) {
	start := int(p.decoder.InputOffset())
	for start < len(p.content) && bytes.IndexByte([]byte(" \t\r\n,:"), p.content[start]) >= 0 {
		start++
	}
	line, column = p.position(start)
	token, err := p.decoder.Token()
	if err != nil {
		panic("poolfile: JSON that is valid has no token: " + err.Error())
	}
	return token, line, column
}

func (p *jsonParser) value() *node {
	token, line, column := p.next()
	n := &node{line: line, column: column}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			n.kind = kindList
			for p.decoder.More() {
				n.items = append(n.items, p.value())
			}
		} else {
			n.kind = kindObject
			for p.decoder.More() {
				key, line, column := p.next()
				n.entries = append(n.entries, entry{key.(string), line, column, p.value()})
			}
		}
		p.next() // the closing bracket
	case string:
		n.kind, n.text = kindText, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.text = kindBool, fmt.Sprint(t)
	default:
		n.kind = kindNull
	}
	return n
}

// printJSON writes a tree, two spaces a level.
func printJSON(b *bytes.Buffer, n *node) {
	printJSONNode(b, n, "\n")
	b.WriteByte('\n')
}

// printJSONNode writes a node whose lines begin with indent, line break included.
func printJSONNode(b *bytes.Buffer, n *node, indent string) {
	inner, separator := indent+"  ", ","
	if n.layout != spread || len(n.items)+len(n.entries) == 0 {
		indent, inner, separator = "", "", ", "
	}
	switch n.kind {
	case kindList:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteString(separator)
			}
			b.WriteString(inner)
			printJSONNode(b, item, inner)
		}
		b.WriteString(indent + "]")
	case kindObject:
		b.WriteByte('{')
		for i, e := range n.entries {
			if i > 0 {
				b.WriteString(separator)
			}
			b.WriteString(inner)
			printJSONText(b, e.key)
			b.WriteString(": ")
			printJSONNode(b, e.value, inner)
		}
		b.WriteString(indent + "}")
	case kindNumber:
		b.WriteString(n.text)
	default:
		printJSONText(b, n.text)
	}
}

func printJSONText(b *bytes.Buffer, s string) {
	text, err := json.Marshal(s)
	if err != nil {
		panic("poolfile: JSON takes any string: " + err.Error())
	}
	b.Write(text)
}
