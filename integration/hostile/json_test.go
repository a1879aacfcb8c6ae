package hostile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// post sends a body to the greeter.
func (w *world) post(kind, body string) answer {
	w.t.Helper()
	return w.one(fmt.Sprintf("POST /v1/greetings HTTP/1.1\nHost: x\n%sConnection: close\nContent-Length: %d\n\n", kind, len(crlf(body))) + body)
}

// requireError holds an error answer to the form that all have, and to silence
// about our insides.
func requireError(t *testing.T, a answer, name string) {
	t.Helper()
	require.Equal(t, "application/json", a.Header.Get("Content-Type"), name)
	var body struct {
		Error struct {
			Code            int
			Status, Message string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(a.text), &body), "%s: %s", name, a.text)
	require.Equal(t, a.StatusCode, body.Error.Code, name)
	require.NotEmpty(t, body.Error.Status, name)
	require.Less(t, len(a.text), 16<<10, name)
	for _, inside := range []string{"goroutine", ".go:", "/work", "/root", "panic", "127.0.0.1", "runtime error", "github.com"} {
		require.NotContains(t, a.text, inside, name)
	}
}

const asJSON = "Content-Type: application/json\n"

func TestHT5ABodyIsOneStrictDocument(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		require.Equal(t, 200, w.post(asJSON, `{"name":"Ada"}`).StatusCode)
		deep := strings.Repeat("[", 20_000)
		for name, body := range map[string]string{
			"a wrong type":       `{"name":42}`,
			"an unknown field":   `{"name":"Ada","admin":true}`,
			"a field twice":      `{"name":"Ada","name":"Eve"}`,
			"a field twice, odd": `{"name":"Ada","n\u0061me":"Eve"}`,
			"two documents":      `{"name":"Ada"}{"name":"Eve"}`,
			"something behind":   `{"name":"Ada"} x`,
			"a bare array":       `["Ada"]`,
			"a bare null":        `null`,
			"nothing but space":  `   `,
			"not closed":         `{"name":"Ada"`,
			"a comment":          `{"name":"Ada"/**/}`,
			"a trailing comma":   `{"name":"Ada",}`,
			"single quotes":      `{'name':'Ada'}`,
			"NaN":                `{"name":NaN}`,
			"a byte order mark":  "\ufeff" + `{"name":"Ada"}`,
			"not UTF-8":          "{\"name\":\"\xff\xfe\"}",
			"overlong UTF-8":     "{\"name\":\"\xc0\xaf\"}",
			"half a surrogate":   `{"name":"\ud800"}`,
			"UTF-16":             "{\x00\"\x00}\x00",
			"deep arrays":        deep + strings.Repeat("]", len(deep)),
			"deep objects":       strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000),
			"deep in a field":    `{"name":` + deep + strings.Repeat("]", len(deep)) + `}`,
			"deep and not ended": strings.Repeat("[", 1_000_000),
			"a long name":        `{"name":"` + strings.Repeat("x", 900_000) + `"}`,
			"a long number":      `{"name":1` + strings.Repeat("0", 900_000) + `}`,
			"a type URL":         `{"@type":"type.googleapis.com/google.protobuf.Any","name":"Ada"}`,
		} {
			start := time.Now()
			a := w.post(asJSON, body)
			require.Equal(t, 400, a.StatusCode, "%s: %s", name, a.text)
			require.Less(t, time.Since(start), patience, name)
			requireError(t, a, name)
		}
	})
}

func TestHT6NothingButJSONIsRead(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		const body = `{"name":"Ada"}`
		for _, head := range []string{
			"", "Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "Content-Type: multipart/form-data; boundary=x",
			"Content-Type: text/json", "Content-Type: application/json; charset=utf-16", "Content-Type: application/json, text/plain",
			"Content-Type: application/xml", "Content-Type: application/grpc", "Content-Type: application/json\nContent-Encoding: gzip",
			"Content-Type: application/json\nContent-Encoding: identity", "Content-Type: ;", "Content-Type: \x80",
		} {
			if head != "" {
				head += "\n"
			}
			a := w.post(head, body)
			require.Contains(t, []int{400, 415}, a.StatusCode, "%q: %s", head, a.text)
			requireError(t, a, head)
		}
		require.Equal(t, 200, w.post("Content-Type: Application/JSON ; charset=\"UTF-8\"\n", body).StatusCode)
		form := w.post("Content-Type: application/x-www-form-urlencoded\n", "name=Ada")
		require.Equal(t, 415, form.StatusCode, "what a foreign page could send (CSRF)")
	})
}
