package openapi

import (
	"embed"
	"fmt"
	"html"
	"net/http"
	"strings"

	"example.com/app/platform/errs"
	"example.com/app/platform/transcode"
)

//go:embed docs/swagger-ui-bundle.js.gz docs/swagger-ui.css.gz docs/init.js docs/init.css
var assets embed.FS

// Spec serves an OpenAPI document, as Document makes it, whatever the path. It
// may be called from many goroutines.
func Spec(document []byte) (http.Handler, error) {
	packed, err := pack(document)
	if err != nil {
		return nil, fmt.Errorf("pack the OpenAPI document: %w", err)
	}
	return get(newFile("openapi.json", document, packed).serve), nil
}

// Docs serves the page at /docs, and what it needs under /docs/, for the
// OpenAPI document at the path spec. Everything comes from this program: it
// works where there is no internet. It may be called from many goroutines.
func Docs(spec string) (http.Handler, error) {
	files := map[string]*file{"index.html": newFile("index.html", page(spec), nil)}
	for _, name := range []string{"init.js", "init.css"} {
		plain, err := assets.ReadFile("docs/" + name)
		if err != nil {
			return nil, fmt.Errorf("read the docs: %w", err)
		}
		files[name] = newFile(name, plain, nil)
	}
	for _, name := range []string{"swagger-ui-bundle.js", "swagger-ui.css"} {
		packed, err := assets.ReadFile("docs/" + name + ".gz")
		if err != nil {
			return nil, fmt.Errorf("read the docs: %w", err)
		}
		files[name] = newFile(name, nil, packed)
	}
	return get(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/docs"), "/")
		if name == "" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			transcode.WriteError(w, r, errs.NotFound.New("no such path: %s", r.URL.Path).Because("NO_ROUTE"))
			return
		}
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		f.serve(w, r)
	}), nil
}

// policy lets the page load what we serve and call what we serve, no more. The
// page sets styles from its script, which is why style-src is looser.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is the whole page; what it does is in docs/init.js.
func page(spec string) []byte {
	return fmt.Appendf(nil, `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/init.css">
<div id="docs" data-spec="%s"></div>
<noscript>The API is described in <a href="%[1]s">%[1]s</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/init.js"></script>
</html>
`, html.EscapeString(spec))
}
