package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"strings"
)

//go:embed page.html
var frame string

//go:embed page.css
var style string

//go:embed page.js
var script string

//go:embed draw.js
var drawing string

// A document is the page as it is sent, and the Content-Security-Policy
// (W3C CSP Level 3) that lets it run what is in it and nothing else.
type document struct {
	text   []byte
	policy string
}

// assemble puts the parts into one file.
func assemble() document {
	code := drawing + script
	text := strings.NewReplacer("/*style*/", style, "/*script*/", code).Replace(frame)
	policy := "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return document{[]byte(text), policy + "; style-src " + digest(style) + "; script-src " + digest(code)}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
