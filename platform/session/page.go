package session

import (
	"html/template"
	"net/http"
	"strings"

	"example.com/app/platform/auth"
	"example.com/app/platform/errs"
	"example.com/app/platform/transcode"
)

// page says whether a person looks at the answer, and not a script.
func page(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// failure is the page of a login that went wrong. It says no more than the JSON
// does.
const failure = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
<p>Request {{.ID}}</p>
<p><a href="/auth/login">Log in</a></p>
</html>
`

// fail answers with err, as a page to a person and as JSON to a program.
func (s *Sessions) fail(w http.ResponseWriter, r *http.Request, err error) {
	kind := errs.Of(err)
	if kind == errs.Unavailable || kind == errs.Internal {
		s.cfg.Log.WarnContext(r.Context(), "login not possible", "path", r.URL.Path, "error", err)
		err = hide(err)
	}
	if kind == errs.Unavailable {
		w.Header().Set("Retry-After", "5")
	}
	if !page(r) {
		transcode.WriteError(w, r, err)
		return
	}
	text := err.Error()
	if kind == errs.Internal {
		text = "internal error"
	}
	content, terr := template.New("failure").Parse(failure)
	if terr != nil {
		transcode.WriteError(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.WriteHeader(errs.HTTP(err))
	// A browser that is gone does not read why.
	_ = content.Execute(w, map[string]string{"Title": http.StatusText(errs.HTTP(err)), "Text": text, "ID": w.Header().Get("X-Request-Id")})
}

// hide is err without what went wrong between us and the issuer: addresses and
// the like are in it.
func hide(err error) error {
	reason := auth.Reason(err)
	if reason == "" || !errs.Unavailable.Is(err) {
		return err
	}
	return errs.Unavailable.New("the login service is not available just now; try again in a moment").Because(reason).Status(errs.HTTP(err))
}
