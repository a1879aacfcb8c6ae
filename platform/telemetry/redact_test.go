package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const jwt = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"

// logged is the line of one record in a format.
func logged(t *testing.T, format string, write func(*slog.Logger)) string {
	t.Helper()
	var out bytes.Buffer
	log, err := NewLog(&out, LogConfig{Format: format, Level: slog.LevelDebug})
	require.NoError(t, err)
	write(log)
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "a record is a line: %q", out.String())
	return out.String()
}

// entry is the attribute of a JSON line.
func entry(t *testing.T, line, key string) any {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &all), line)
	return all[key]
}

func TestEX2AttributesWithATellingNameAreNeverWritten(t *testing.T) {
	for _, key := range []string{
		"authorization", "Authorization", "proxy-authorization", "cookie", "Set-Cookie", "set_cookie", "password", "PASSWORD", "passwd",
		"secret", "client_secret", "clientSecret", "token", "access_token", "refreshToken", "admin-token", "api-key", "x-api-key", "API_KEY", "apikey", "private_key",
	} {
		for _, format := range []string{"text", "json"} {
			for shape, write := range map[string]func(*slog.Logger){
				"plain":   func(l *slog.Logger) { l.Info("m", key, "hunter2") },
				"with":    func(l *slog.Logger) { l.With(key, "hunter2").Info("m") },
				"error":   func(l *slog.Logger) { l.Info("m", key, errors.New("hunter2")) },
				"group":   func(l *slog.Logger) { l.Info("m", slog.Group("a", slog.Group("b", key, "hunter2"))) },
				"in one":  func(l *slog.Logger) { l.WithGroup(key).WithGroup("b").Info("m", "x", "hunter2") },
				"map":     func(l *slog.Logger) { l.Info("m", "x", map[string]any{"y": []any{map[string]string{key: "hunter2"}}}) },
				"header":  func(l *slog.Logger) { l.Info("m", "x", http.Header{key: {"hunter2"}}) },
				"pointer": func(l *slog.Logger) { l.Info("m", "x", &map[string]string{key: "hunter2"}) },
			} {
				line := logged(t, format, write)
				require.NotContains(t, line, "hunter2", "%s, %s, %s", key, format, shape)
				require.Contains(t, line, secretText, "%s, %s, %s", key, format, shape)
			}
		}
	}
	for _, key := range []string{"token_type", "tokens", "path", "secretary", "cookies_seen", "keys", "author"} {
		require.Contains(t, logged(t, "json", func(l *slog.Logger) { l.Info("m", key, "value") }), "value", key)
	}
}

func TestEX2FieldsOfStructsAreMaskedToo(t *testing.T) {
	type account struct {
		Name     string
		Password string
		Backup   struct{ APIKey string }
		Secret   Secret
	}
	a := account{Name: "ada", Password: "hunter2", Secret: "hunter2"}
	a.Backup.APIKey = "hunter2"
	for _, format := range []string{"text", "json"} {
		line := logged(t, format, func(l *slog.Logger) { l.Info("m", "a", a, "b", &a, "c", []account{a}) })
		require.NotContains(t, line, "hunter2")
		require.Contains(t, line, "ada")
	}
}

func TestEX2SecretsInsideTextsAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"call with Bearer abc.def-123456 failed":                            "call with Bearer [secret] failed",
		"authorization: bearer  abcdefghijklmnopqrst":                       "authorization: bearer  [secret]",
		"Authorization: Basic ZGVtbzpodW50ZXIy":                             "Authorization: Basic [secret]",
		"token " + jwt + " is expired":                                      "token [secret] is expired",
		"a " + jwt + ", b " + jwt:                                           "a [secret], b [secret]",
		"http://h/cb?access_token=abc&state=1":                              "http://h/cb?access_token=[secret]&state=1",
		"client_id=demo&client_secret=hunter2":                              "client_id=demo&client_secret=[secret]",
		`{"access_token":"abc","token_type":"Bearer"}`:                      `{"access_token":"[secret]","token_type":"Bearer"}`,
		`{"password": "a\"b", "n": 1}`:                                      `{"password": "[secret]", "n": 1}`,
		`body "{\"client_secret\":\"abc\"}"`:                                `body "{\"client_secret\":\"[secret]\"}"`,
		"dial postgres://app:hunter2@db:5432/x":                             "dial postgres://app:[secret]@db:5432/x",
		"redis://:hun@ter2@cache":                                           "redis://:[secret]@cache",
		"Set-Cookie: session=abc; Path=/":                                   "Set-Cookie: [secret]",
		"-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----": "[secret]",
		"-----BEGIN PRIVATE KEY-----\nMHc":                                  "[secret]",
		"-----BEGIN CERTIFICATE-----\nMHc":                                  "-----BEGIN CERTIFICATE-----\nMHc",
		"bearer authentication is needed":                                   "bearer authentication is needed",
		"verify token: signature is invalid":                                "verify token: signature is invalid",
		"keys: eyJ is how they begin":                                       "keys: eyJ is how they begin",
		"http://h:8080/a?b=c, mail a@b":                                     "http://h:8080/a?b=c, mail a@b",
		"rpc error: code = Unavailable desc = at \"x\": y":                  "rpc error: code = Unavailable desc = at \"x\": y",
		"": "",
	} {
		require.Equal(t, want, Mask(text))
		for _, format := range []string{"text", "json"} {
			for shape, write := range map[string]func(*slog.Logger){
				"message": func(l *slog.Logger) { l.Info(text) },
				"string":  func(l *slog.Logger) { l.Info("m", "x", text) },
				"error":   func(l *slog.Logger) { l.Info("m", "error", fmt.Errorf("deep: %w", errors.New(text))) },
				"list":    func(l *slog.Logger) { l.Info("m", "x", []string{text}) },
				"bytes":   func(l *slog.Logger) { l.Info("m", "x", []byte(text)) },
				"type":    func(l *slog.Logger) { l.Info("m", "x", http.ConnState(0), "y", named(text)) },
			} {
				line := logged(t, format, write)
				for _, secret := range []string{"hunter2", "abcdefghijklmnopqrst", "abc.def", "ZGVtbzpodW50ZXIy", "eyJzdWIi", `:"abc"`, "token=abc", "MHc\\n-----END E"} {
					require.NotContains(t, line, secret, "%s, %s", shape, format)
				}
			}
		}
	}
}

type named string

// hostile are texts that clients send to break a line or to forge one.
func hostile() []string {
	return []string{
		"a\nb", "a\r\nlevel=ERROR msg=forged", "a\u2028b\u2029c", "a\u0085b", "a\x00b", "a\x1b[2Jb", "a\u009b2Jb", "a\x7fb",
		"\xff\xfe", "a\xc3", "\xed\xa0\x80", "a\u202eb", "a\u2066b\u2069", "\ufeffa", "a\tb", `a" level=ERROR x="`, `a","log.level":"error","x":"`, `a\`, `\u0022`,
	}
}

// quoted is a text as the text format quotes it.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func TestEX3EveryLineIsOneObjectWhateverAClientSends(t *testing.T) {
	for _, text := range hostile() {
		for shape, write := range map[string]func(*slog.Logger){
			"message": func(l *slog.Logger) { l.Info(text) },
			"string":  func(l *slog.Logger) { l.Info("m", "x", text) },
			"key":     func(l *slog.Logger) { l.Info("m", "x", map[string]string{text: text}) },
			"error":   func(l *slog.Logger) { l.Info("m", "error", errors.New(text)) },
			"struct":  func(l *slog.Logger) { l.Info("m", "x", struct{ A []string }{[]string{text}}) },
			"with":    func(l *slog.Logger) { l.With("x", text).Info("m") },
			"group":   func(l *slog.Logger) { l.Info("m", slog.Group("g", "x", text)) },
		} {
			line := logged(t, "json", write)
			require.True(t, utf8.ValidString(line), "%s of %q", shape, text)
			require.Negative(t, strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || disguised(r) }), "%s of %q: %q", shape, text, line)
			require.Equal(t, "info", entry(t, line, "log.level"), "%s of %q", shape, text)
			keys := json.NewDecoder(strings.NewReader(line))
			require.NoError(t, keys.Decode(new(any)))
			require.False(t, keys.More(), "one object")

			line = logged(t, "text", write)
			require.True(t, utf8.ValidString(line), "%s of %q", shape, text)
			require.Negative(t, strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || disguised(r) }), "%s of %q: %q", shape, text, line)
			require.Equal(t, 1, strings.Count(quoted.ReplaceAllString(line, ""), " level="), "%s of %q: %q", shape, text, line)
		}
	}
}

func TestEX3LongTextsAreCutBetweenCharacters(t *testing.T) {
	text := strings.Repeat("é", longestText)
	line := logged(t, "json", func(l *slog.Logger) { l.Info(text) })
	require.True(t, utf8.ValidString(line))
	require.Less(t, len(line), longestText+200)
	require.Contains(t, line, "… 32768 bytes more")
	require.NotContains(t, line, `\ufffd`)
}

func TestValuesKeepTheirShape(t *testing.T) {
	line := logged(t, "json", func(l *slog.Logger) {
		l.Info("m", "n", 1<<60, "f", 1.5, "b", true, "list", []string{"a", "b"}, "map", map[string]int{"z": 1, "a": 2},
			"addr", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, "at", time.Unix(0, 0).UTC(), "html", "<&>", "nothing", nil,
			"big", struct{ N int64 }{math.MaxInt64}, "state", http.StateIdle)
	})
	require.Contains(t, line, `"n":1152921504606846976,"f":1.5,"b":true,"list":["a","b"],"map":{"a":2,"z":1},"addr":"127.0.0.1:80",`+
		`"at":"1970-01-01T00:00:00Z","html":"<&>","nothing":null,"big":{"N":9223372036854775807},"state":"idle"`)
	line = logged(t, "text", func(l *slog.Logger) { l.Info("m", "n", 1, "list", []string{"a"}, "d", time.Second, "nothing", nil) })
	require.Contains(t, line, `msg=m n=1 list="[\"a\"]" d=1s nothing=<nil>`)
}

// sulky panics whatever it is asked.
type sulky struct{ text *string }

func (s *sulky) Error() string { return *s.text }

func TestValueWhoseMethodsPanicIsNoReasonToEnd(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		line := logged(t, format, func(l *slog.Logger) {
			l.Info("m", "error", (*sulky)(nil), "other", &sulky{}, "f", func() {}, "c", make(chan int))
		})
		require.Contains(t, line, "<nil>")
		require.Contains(t, line, "!PANIC: ")
	}
}

func TestEX2SecretPrintsAsNothingElse(t *testing.T) {
	s := Secret("hunter2")
	type holder struct {
		Name  string
		Token Secret
		List  []Secret
		Map   map[string]Secret
	}
	h := holder{"x", s, []Secret{s}, map[string]Secret{"k": s}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x", "%T"} {
		for _, v := range []any{s, &s, h, &h, []Secret{s}, map[Secret]int{s: 1}} {
			require.NotContains(t, fmt.Sprintf(format, v), "hunter2", "%s of %T", format, v)
			require.NotContains(t, fmt.Sprintf(format, v), "68756e74", "%s of %T", format, v)
		}
	}
	text, err := json.Marshal(map[string]any{"a": s, "b": h})
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter2")
	require.Equal(t, "[secret]", fmt.Sprint(s))
	require.Empty(t, fmt.Sprint(Secret("")))
	for _, format := range []string{"text", "json"} {
		require.NotContains(t, logged(t, format, func(l *slog.Logger) { l.Info("m", "x", s, "y", h, "z", &s) }), "hunter2")
	}
	require.True(t, s.Is("hunter2"))
	require.False(t, s.Is("hunter"))
	require.False(t, s.Is(""))
	require.False(t, Secret("").Is(""))
}

// BenchmarkLog measures a record as the platform writes them, with masking and
// as slog writes it alone.
func BenchmarkLog(b *testing.B) {
	names := func(groups []string, a slog.Attr) slog.Attr { return a }
	masked, err := NewLog(new(nothing), LogConfig{Format: "json"})
	require.NoError(b, err)
	text, err := NewLog(new(nothing), LogConfig{})
	require.NoError(b, err)
	for name, log := range map[string]*slog.Logger{
		"json masked": masked, "json alone": slog.New(slog.NewJSONHandler(new(nothing), &slog.HandlerOptions{ReplaceAttr: names})),
		"text masked": text, "text alone": slog.New(slog.NewTextHandler(new(nothing), nil)),
	} {
		log = log.With("role", "greeter", "instance", "greeter-1")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				log.LogAttrs(b.Context(), slog.LevelInfo, "request", slog.String("method", "GET"), slog.String("path", "/v1/greetings/Ada%20Lovelace"),
					slog.Int("status", 200), slog.Duration("took", 1234567), slog.String("error", "no phrase in \"eo\""))
			}
		})
	}
}

type nothing struct{}

func (*nothing) Write(p []byte) (int, error) { return len(p), nil }
