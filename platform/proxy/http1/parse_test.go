package http1_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/proxy/http1"
)

// wellFormed and malformed are answers; both are where fuzzing starts.
var wellFormed = map[string]struct{ text, body string }{
	"by length":               {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body"},
	"the same length twice":   {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody", "body"},
	"no reason":               {"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", ""},
	"by close":                {"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nbody", "body"},
	"over HTTP/1.0":           {"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body"},
	"in chunks":               {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=b\r\nbo\r\n02 \r\ndy\r\n0\r\n\r\n", "body"},
	"with trailers":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A, b\r\n\r\n4\r\nbody\r\n0\r\nA: 1\r\nC: 3\r\n\r\n", "body"},
	"after early hints":       {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body"},
	"no content":              {"HTTP/1.1 204 No Content\r\n\r\n", ""},
	"no content with length":  {"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", ""},
	"not modified":            {"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", ""},
	"values in several lines": {"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX:\r\nset-cookie: b \t\r\nContent-Length: 0\r\n\r\n", ""},
	"bytes above ASCII":       {"HTTP/1.1 200 \xe9\r\nX: \xe9\r\nContent-Length: 0\r\n\r\n", ""},
}

var malformed = map[string]string{
	"folded line":             "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
	"folded first line":       "HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 0\r\n\r\n",
	"bare line feed":          "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	"line feed in a value":    "HTTP/1.1 200 OK\r\nX: a\nY: b\r\nContent-Length: 0\r\n\r\n",
	"return in a value":       "HTTP/1.1 200 OK\r\nX: a\rY: b\r\nContent-Length: 0\r\n\r\n",
	"zero in a value":         "HTTP/1.1 200 OK\r\nX: a\x00\r\nContent-Length: 0\r\n\r\n",
	"space before the colon":  "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
	"no name":                 "HTTP/1.1 200 OK\r\n: 0\r\n\r\n",
	"no colon":                "HTTP/1.1 200 OK\r\nX\r\n\r\n",
	"no token":                "HTTP/1.1 200 OK\r\nX(: 0\r\n\r\n",
	"other lengths":           "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!",
	"list of lengths":         "HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\nbody",
	"signed length":           "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nbody",
	"negative length":         "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nbody",
	"empty length":            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nbody",
	"huge length":             "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nbody",
	"length and encoding":     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"another encoding":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
	"encoding after another":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"encoding twice":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"encoding of HTTP/1.0":    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"length as a trailer":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n",
	"another protocol":        "SSH-2.0-OpenSSH\r\n\r\n",
	"another version":         "HTTP/2.0 200 OK\r\n\r\n",
	"short status":            "HTTP/1.1 20 OK\r\n\r\n",
	"long status":             "HTTP/1.1 2000 OK\r\n\r\n",
	"low status":              "HTTP/1.1 099 OK\r\n\r\n",
	"switch nobody asked for": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
	"hints without end":       strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: x\r\n\r\n", 2500),
	"large header":            "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
	"nothing":                 "",
	"cut header":              "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
}

var broken = map[string]string{
	"cut body":               "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody",
	"cut chunk":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbody",
	"no last chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
	"no end of trailers":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n",
	"chunk without size":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nbody\r\n0\r\n\r\n",
	"chunk of size -1":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nbody\r\n0\r\n\r\n",
	"chunk of size 0x4":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x4\r\nbody\r\n0\r\n\r\n",
	"chunk of a huge size":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nbody\r\n0\r\n\r\n",
	"line feed in chunks":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\nbody\n0\n\n",
	"longer than its chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbody\r\n0\r\n\r\n",
	"return in an extension": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a\rb\r\nbody\r\n0\r\n\r\n",
	"bad trailer":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX y: z\r\n\r\n",
	"large trailers":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: y\r\n", 20<<10) + "\r\n",
	"mostly extensions":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("e", 1000)+"\r\nx\r\n", 30) + "0\r\n\r\n",
}

func TestAnswersAreReadToTheirEnd(t *testing.T) {
	for name, c := range wellFormed {
		res, err := reading([]byte(c.text), false)
		require.NoError(t, err, name)
		body, err := read(res)
		require.NoError(t, err, name)
		require.Equal(t, c.body, body, name)
	}
	res, err := reading([]byte("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"), true)
	require.NoError(t, err)
	body, err := read(res)
	require.NoError(t, err, "an answer to HEAD has no body")
	require.Empty(t, body)
	require.EqualValues(t, 4, res.Length)
}

func TestTrailersAreThereAtTheEnd(t *testing.T) {
	res, err := reading([]byte(wellFormed["with trailers"].text), false)
	require.NoError(t, err)
	require.Equal(t, http.Header{"A": nil, "B": nil}, res.Trailer)
	_, err = read(res)
	require.NoError(t, err)
	require.Equal(t, http.Header{"A": {"1"}, "B": nil, "C": {"3"}}, res.Trailer)
}

func TestWhatTwoReadersCouldReadDifferentlyIsRefused(t *testing.T) {
	for name, text := range malformed {
		for _, head := range []bool{false, true} {
			_, err := reading([]byte(text), head)
			require.Error(t, err, name)
			require.NotErrorIs(t, err, http1.ErrTimeout, name)
		}
	}
}

func TestABodyThatDoesNotEndAsItShouldIsBroken(t *testing.T) {
	for name, text := range broken {
		res, err := reading([]byte(text), false)
		require.NoError(t, err, name)
		_, err = read(res)
		require.Error(t, err, name)
	}
}

// FuzzWhatWeAcceptNetHTTPReadsTheSame: the reader is stricter than net/http's,
// and never of another opinion.
func FuzzWhatWeAcceptNetHTTPReadsTheSame(f *testing.F) {
	for _, c := range wellFormed {
		f.Add([]byte(c.text), false)
		f.Add([]byte(c.text), true)
	}
	for _, text := range malformed {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	for _, text := range broken {
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, head bool) {
		res, err := reading(text, head)
		if err != nil {
			return
		}
		header := res.Header.Clone()
		body, err := read(res)
		if err != nil {
			return
		}
		other, otherBody := standard(t, text, head)
		require.Equal(t, other.StatusCode, res.Status)
		require.Equal(t, otherBody, body)
		if other.ContentLength >= 0 && res.Status != 204 && res.Status != 304 {
			require.Equal(t, other.ContentLength, res.Length)
		}
		for _, h := range []http.Header{header, other.Header} {
			delete(h, "Connection")
			delete(h, "Trailer")       // net/http takes it off answers without a body too
			delete(h, "Cache-Control") // net/http makes one of Pragma
		}
		require.Equal(t, other.Header, header)
		if !head && len(other.Trailer)+len(res.Trailer) > 0 && res.Status != 204 && res.Status != 304 {
			require.Equal(t, other.Trailer, res.Trailer)
		}
	})
}

// standard is what net/http makes of a text.
func standard(t *testing.T, text []byte, head bool) (*http.Response, string) {
	req := &http.Request{Method: "GET"}
	if head {
		req.Method = "HEAD"
	}
	// net/http refuses trailers that do not fit its buffer.
	for r := bufio.NewReaderSize(bytes.NewReader(text), 64+len(text)); ; {
		res, err := http.ReadResponse(r, req)
		require.NoError(t, err)
		if res.StatusCode >= 200 {
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			return res, string(body)
		}
	}
}
