package token_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth/token"
	"example.com/app/platform/errs"
)

// An endless issuer never stops answering at one of its addresses.
type endless struct {
	web
	at     string
	begins string // the answer
	read   int    // bytes of answers that were taken
	open   int    // bodies that nobody has closed
}

func (e *endless) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.String() != e.at {
		return e.web.RoundTrip(r)
	}
	e.open++
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Request: r, ContentLength: -1,
		Body: &endlessBody{e, bytes.NewBufferString(e.begins)},
	}, nil
}

// An endlessBody is what it begins with, and then spaces.
type endlessBody struct {
	of    *endless
	begin *bytes.Buffer
}

func (b *endlessBody) Read(p []byte) (int, error) {
	n, err := b.begin.Read(p)
	if err == io.EOF {
		for n = range p {
			p[n] = ' '
		}
		n = len(p)
	}
	b.of.read += n
	return n, nil
}

func (b *endlessBody) Close() error { b.of.open--; return nil }

func TestGW11AnEndlessDocumentOfTheIssuerIsCutOff(t *testing.T) {
	const (
		a    = "https://a.example"
		conf = a + "/.well-known/openid-configuration"
		jwks = a + "/jwks"
	)
	for at, begins := range map[string]string{conf: metadata(a, jwks), jwks: `{"keys":[]}`} {
		e := &endless{at: at, begins: begins, web: web{pages: map[string]string{conf: metadata(a, jwks), jwks: `{"keys":[]}`}}}
		got, err := token.Discover(&http.Client{Transport: e}, a)(t.Context())
		require.Nil(t, got)
		require.Equal(t, errs.Unavailable, errs.Of(err), "%v", err)
		require.ErrorContains(t, err, "longer than 1048576 bytes")
		require.Greater(t, e.read, 1<<20, "it was asked")
		require.Less(t, e.read, 2<<20)
		require.Zero(t, e.open, "connections would be used up")
	}
}
