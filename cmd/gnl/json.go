package main

import "encoding/json"

// writeDocument writes v as one JSON document.
func (a *app) writeDocument(v any) error { return a.writeJSON(v, "  ") }

// writeLine writes v as JSON on one line.
func (a *app) writeLine(v any) error { return a.writeJSON(v, "") }

func (a *app) writeJSON(v any, indent string) error {
	e := json.NewEncoder(a.out) // which writes it all at once
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(v)
}
