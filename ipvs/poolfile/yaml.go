package poolfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/gnlgo/gnl/ipvs"
)

// parseYAML makes a tree of YAML text, nil if it is none.
func parseYAML(content []byte, rep *report) *node {
	var document yaml.Node
	if err := yaml.Load(content, &document); err != nil {
		reportYAML(err, content, rep)
		return nil
	}
	p := &yamlParser{rep: rep}
	root := p.node(document.Content[0], 0)
	if rep.count() > 0 {
		return nil // what follows from these errors would only confuse
	}
	return root
}

// reportYAML takes the place out of an error of the library.
func reportYAML(err error, content []byte, rep *report) {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		rep.add(0, 0, "", fmt.Errorf("YAML: %w", err))
		return
	}
	message := strings.TrimPrefix(load.Message, "yaml: ")
	if load.ContextMsg != "" {
		message = load.ContextMsg + ": " + message
	}
	// An IPv6 address and port without quotes, where YAML sees a list.
	bareIPv6 := regexp.MustCompile(`:\s*\[[0-9a-fA-F:.]*\]:`)
	lines := bytes.Split(content, []byte("\n"))
	if i := load.Mark.Line - 1; i >= 0 && i < len(lines) {
		switch line := lines[i]; {
		case bareIPv6.Match(line):
			message += "; an address that begins with a bracket needs quotes: '[2001:db8::1]:80'"
		case bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("\t")):
			message += "; indent with blanks, not with tabs"
		}
	}
	rep.add(load.Mark.Line, load.Mark.Column, "", errors.New("YAML: "+message))
}

// maxAliased is how many nodes may come of aliases. A few lines of aliases to
// aliases can stand for billions.
const maxAliased = 1 << 20

// maxDepth is how deep values may be nested. The schema needs 7.
const maxDepth = 64

type yamlParser struct {
	rep     *report
	aliases int // how many aliases are being followed
	aliased int // how many nodes came of them
	stopped bool
}

func (p *yamlParser) node(y *yaml.Node, depth int) *node {
	n := &node{kind: kindNull, line: y.Line, column: y.Column}
	if p.aliases > 0 {
		p.aliased++
	}
	if depth > maxDepth || p.aliased > maxAliased {
		if !p.stopped {
			p.rep.add(y.Line, y.Column, "", errors.New("YAML: nested too deep, or more than a million values by way of aliases"))
		}
		p.stopped = true
	}
	if p.stopped {
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		p.aliases++
		n = p.node(y.Alias, depth+1)
		p.aliases--
	case yaml.SequenceNode:
		n.kind = kindList
		for _, item := range y.Content {
			n.items = append(n.items, p.node(item, depth+1))
		}
	case yaml.MappingNode:
		n.kind = kindObject
		p.entries(n, y, depth)
	case yaml.ScalarNode:
		n.text = y.Value
		switch y.ShortTag() {
		case "!!null":
			n.kind = kindNull
		case "!!bool":
			n.kind = kindBool
		case "!!int", "!!float":
			n.kind = kindNumber
		case "!!str", "!!timestamp":
			n.kind = kindText
		default:
			n.kind = kindUnknown
		}
	}
	return n
}

// entries reads a mapping. Keys that are merged in do not replace its own.
func (p *yamlParser) entries(n *node, y *yaml.Node, depth int) {
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, value := y.Content[i], p.node(y.Content[i+1], depth+1)
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			merged = append(merged, p.mergeable(value)...)
		case k.Kind == yaml.ScalarNode:
			n.entries = append(n.entries, entry{k.Value, k.Line, k.Column, value})
		default:
			p.rep.add(k.Line, k.Column, "", errors.New("YAML: a key must be a plain word"))
		}
	}
	for _, m := range merged {
		for _, e := range m.entries {
			if !n.has(e.key) {
				n.entries = append(n.entries, e)
			}
		}
	}
}

func (p *yamlParser) mergeable(value *node) []*node {
	sources := []*node{value}
	if value.kind == kindList {
		sources = value.items
	}
	for _, source := range sources {
		if source.kind != kindObject && !p.stopped {
			p.rep.add(source.line, source.column, "", fmt.Errorf("YAML: << takes an object or a list of them, not %s", source.kind))
			return nil
		}
	}
	return sources
}

// printYAML writes pools, each by itself: the library takes many times the memory
// of a document that it writes.
func printYAML(b *bytes.Buffer, pools []ipvs.Pool) error {
	if len(pools) == 0 {
		b.WriteString("pools: []\n")
		return nil
	}
	b.WriteString("pools:\n")
	for i := range pools {
		one := &node{kind: kindList, items: []*node{encodePool(&pools[i])}}
		text, err := yaml.Dump(yamlNode(one), yaml.WithIndent(2), yaml.WithCompactSeqIndent(false), yaml.WithLineWidth(-1))
		if err != nil {
			return fmt.Errorf("YAML: %w", err)
		}
		for line := range bytes.Lines(text) { // no text of a pool has a line break
			b.WriteString("  ")
			b.Write(line)
		}
	}
	return nil
}

func yamlNode(n *node) *yaml.Node {
	y := &yaml.Node{}
	switch n.kind {
	case kindList:
		y.Kind, y.Tag = yaml.SequenceNode, "!!seq"
		for _, item := range n.items {
			y.Content = append(y.Content, yamlNode(item))
		}
	case kindObject:
		y.Kind, y.Tag = yaml.MappingNode, "!!map"
		for _, e := range n.entries {
			y.Content = append(y.Content, yamlNode(textNode(e.key)), yamlNode(e.value))
		}
	case kindNumber:
		y.Kind, y.Tag, y.Value = yaml.ScalarNode, "!!int", n.text
	default:
		y.Kind, y.Tag, y.Value = yaml.ScalarNode, "!!str", n.text
	}
	if y.Kind != yaml.ScalarNode && (n.layout == inline || len(y.Content) == 0) {
		y.Style = yaml.FlowStyle
	}
	return y
}
