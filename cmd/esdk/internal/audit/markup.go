package audit

import (
	"bytes"
	_ "embed"
	"html"
	"io"
)

// A node is a part of a page: text or elements. Its text and the values of its
// attributes are escaped when it's written, and there is no node of raw HTML.
//
// The templates of the standard library call methods by name, so the linker
// would keep all exported methods of all types.
type node interface {
	write(b *bytes.Buffer)
}

// Names of elements and attributes are constants. They aren't escaped.
type (
	tagName  string
	attrName string
)

// text is a node. It's escaped.
type text string

func (t text) write(b *bytes.Buffer) { b.WriteString(html.EscapeString(string(t))) }

// newline is only for people who read the source of a page.
const newline = text("\n")

// name returns a text that a stranger may have chosen.
func name(given string) text { return text(Visible(given)) }

// attrs are the attributes of an element. Their values are escaped.
type attrs []attr

type attr struct {
	name  attrName
	value string
}

func (a attrs) write(b *bytes.Buffer) {
	for _, one := range a {
		b.WriteString(" " + string(one.name) + `="` + html.EscapeString(one.value) + `"`)
	}
}

// An element is a node with attributes and contents.
type element struct {
	tag      tagName
	attrs    attrs
	contents nodes
	leaf     bool // without contents and end tag
}

func (e *element) write(b *bytes.Buffer) {
	b.WriteString("<" + string(e.tag))
	e.attrs.write(b)
	if e.leaf {
		b.WriteString("/>")
		return
	}
	b.WriteString(">")
	e.contents.write(b)
	b.WriteString("</" + string(e.tag) + ">")
}

// el returns an element.
func el(tag tagName, a attrs, contents ...node) node {
	return &element{tag: tag, attrs: a, contents: contents}
}

// leaf returns an SVG element without contents.
func leaf(tag tagName, a attrs) node { return &element{tag: tag, attrs: a, leaf: true} }

// nodes are written one after the other.
type nodes []node

func (n nodes) write(b *bytes.Buffer) {
	for _, one := range n {
		one.write(b)
	}
}

// when returns the nodes if the condition is true, and nothing otherwise.
func when(condition bool, all ...node) node {
	if !condition {
		return nodes(nil)
	}
	return nodes(all)
}

// each returns a node for each item.
func each[T any](items []T, of func(T) node) (all nodes) {
	for _, item := range items {
		all = append(all, of(item))
	}
	return all
}

// pageHead is the beginning of a page, without its title. Its policy forbids
// scripts and requests, in case markup gets into a page nonetheless.
//
//go:embed pagehead.html
var pageHead string

// writePage writes a page of HTML.
func writePage(w io.Writer, title text, body ...node) error {
	b := bytes.NewBufferString(pageHead)
	el("title", nil, title).write(b)
	b.WriteString("\n</head>\n")
	el("body", nil, body...).write(b)
	b.WriteString("\n</html>\n")
	_, err := b.WriteTo(w)
	return err
}
