package transcode_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/app/platform/transcode"
)

// Whatever the body, the answer is JSON: a reply, or an error that blames the
// client.
func FuzzAnyBodyIsAnsweredInJSON(f *testing.F) {
	for _, seed := range []string{
		`{"name":"Ada"}`, `{"nam":1}`, `{`, `[]`, `null`, `{"note":{"x":[{}]}}`, "\xff", `{"a":1}{"b":2}`,
		`{"name":"a","name":"b"}`, `{"notes":{"a":{"b":{}}}}`, strings.Repeat(`[`, 20000), `{"note":` + strings.Repeat(`{"note":`, 100), `{"tagList":[1]}`, `{"times":1e99}`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	h := handler(f, transcode.Config{}, &echo{})
	f.Fuzz(func(t *testing.T, body string, patch bool) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/echoes", strings.NewReader(body))
		if patch {
			r = httptest.NewRequestWithContext(t.Context(), http.MethodPatch, "/v1/shelves/1/notes/2", strings.NewReader(body))
		}
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q is answered with %q, want JSON", body, w.Body)
		}
		var reply fault
		if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != 200 && reply.Error.Code != w.Code {
			t.Fatalf("%q is answered %d with %s", body, w.Code, w.Body)
		}
		if name := strings.Contains(body, "secret") || strings.Contains(body, "bug") || strings.Contains(body, "unknown"); w.Code >= 500 && !name {
			t.Fatalf("%q is answered %d with %s, want 200 or 4xx", body, w.Code, w.Body)
		}
	})
}
