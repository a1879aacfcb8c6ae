package page_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/services/issuer/page"
)

func show(t *testing.T, p page.Page) *httptest.ResponseRecorder {
	t.Helper()
	pages, err := page.New()
	require.NoError(t, err)
	w := httptest.NewRecorder()
	pages.Show(w, http.StatusOK, p)
	require.Equal(t, http.StatusOK, w.Code)
	return w
}

// TestPagesWorkForEverybody: each field has a label, there is one heading, and
// nothing needs a script or another site.
func TestPagesWorkForEverybody(t *testing.T) {
	for _, name := range []string{"login", "consent", "code", "device", "logout", "message"} {
		body := show(t, page.Page{Name: name, Title: "T", Client: "C", User: "u", Code: "BCDF-GHJK", Scopes: page.Scopes([]string{"greetings.read"}), Problem: "p"}).Body.String()
		require.Equal(t, 1, strings.Count(body, "<h1>"), name)
		require.Equal(t, strings.Count(body, "<label for="), strings.Count(body, "<input id="), name)
		require.Contains(t, body, `lang="en"`)
		for _, bad := range []string{"<script", "style=", "onclick", "http://", "https://", "{{", "<no value>"} {
			require.NotContains(t, body, bad, name)
		}
	}
}

func TestWhatClientsSayIsText(t *testing.T) {
	body := show(t, page.Page{Name: "consent", Client: `<b onclick="x">`, Next: `"><script>`, Scopes: page.Scopes([]string{"<i>"})}).Body.String()
	for _, bad := range []string{"<b onclick", "<script", "<i>"} {
		require.NotContains(t, body, bad)
	}
}

func TestThePolicyNamesWhereAFormMayEnd(t *testing.T) {
	for uri, want := range map[string]string{
		"":                                "form-action 'self';",
		"https://web.example.com:8443/cb": "form-action 'self' https://web.example.com:8443;",
		"com.example.app:/cb":             "form-action 'self' com.example.app:;",
		"http://[::1]:7/cb":               "form-action 'self' http:;",
		"https://a;script-src *":          "form-action 'self';",
	} {
		require.Contains(t, show(t, page.Page{Name: "login", Sends: uri}).Header().Get("Content-Security-Policy"), want, uri)
	}
}

func TestScopesHaveWords(t *testing.T) {
	require.Equal(t, []page.Scope{{Name: "phrases.write", Text: "change phrases"}, {Name: "greetings.read", Text: "see greetings"}, {Name: "odd", Text: "use odd"}},
		page.Scopes([]string{"phrases.write", "greetings.read", "odd"}))
}
