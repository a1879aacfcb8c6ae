package hostile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hidden is a request in the body of another.
const hidden = "GET /shop/hidden HTTP/1.1\nHost: x\n\n"

// TestHT1NoRequestHidesInAnother sends what two readers could cut into requests
// in two ways, to a path that the gateway answers itself and to one that it
// hands on. One answer, a refusal, and the end of the connection; or the
// reading that RFC 9112 section 6.3 prescribes.
func TestHT1NoRequestHidesInAnother(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		chunked := "0\n\n" + hidden
		for name, request := range map[string]string{
			"two lengths":                 "Content-Length: 5\nContent-Length: 40\n\nhello" + hidden,
			"list of two lengths":         "Content-Length: 5, 40\n\nhello" + hidden,
			"signed length":               "Content-Length: +5\n\nhello" + hidden,
			"negative length":             "Content-Length: -1\n\n" + hidden,
			"hexadecimal length":          "Content-Length: 0x5\n\nhello" + hidden,
			"length beyond 64 bit":        "Content-Length: 18446744073709551621\n\nhello" + hidden,
			"space in length":             "Content-Length: 5 5\n\nhello" + hidden,
			"unknown encoding":            "Transfer-Encoding: xchunked\n\n" + chunked,
			"encoding twice":              "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n" + chunked,
			"encoding twice, one odd":     "Transfer-Encoding: chunked\nTransfer-Encoding: x\n\n" + chunked,
			"chunked not last":            "Transfer-Encoding: chunked, identity\n\n" + chunked,
			"gzip below chunked":          "Transfer-Encoding: gzip, chunked\n\n" + chunked,
			"vertical tab in encoding":    "Transfer-Encoding: \x0cchunked\n\n" + chunked,
			"quoted encoding":             "Transfer-Encoding: \"chunked\"\n\n" + chunked,
			"space before colon":          "Transfer-Encoding : chunked\n\n" + chunked,
			"tab before colon":            "Content-Length\t: 5\n\nhello" + hidden,
			"name with a bracket":         "X(y: z\n\n" + hidden,
			"line without a colon":        "GET /shop/hidden HTTP/1.1\n\n" + hidden,
			"empty name":                  ": x\n\n" + hidden,
			"NUL in a value":              "X: a\x00b\n\n" + hidden,
			"CR in a value":               "X: a\rTransfer-Encoding: chunked\n\n" + chunked,
			"bad chunk size":              "Transfer-Encoding: chunked\n\nzz\nhello\n" + chunked,
			"chunk size with a sign":      "Transfer-Encoding: chunked\n\n+5\nhello\n" + chunked,
			"chunk size with a prefix":    "Transfer-Encoding: chunked\n\n0x5\nhello\n" + chunked,
			"chunk size beyond 64 bit":    "Transfer-Encoding: chunked\n\n10000000000000005\nhello\n" + chunked,
			"chunk longer than its size":  "Transfer-Encoding: chunked\n\n3\nhello\n" + chunked,
			"chunk size of spaces":        "Transfer-Encoding: chunked\n\n \n\n" + hidden,
			"extension with a line feed":  "Transfer-Encoding: chunked\n\n5;a=\vhello\n" + chunked,
			"chunk ends in a bare return": "Transfer-Encoding: chunked\n\n5\nhello\rX0\n\n" + hidden,
		} {
			for _, path := range []string{"/shop/seen", "/v1/greetings"} {
				w.shop.forget()
				all, closed := w.send("POST " + path + " HTTP/1.1\nHost: x\nContent-Type: application/json\n" + request)
				require.Len(t, all, 1, "%s: %s", path, name)
				require.Contains(t, []int{400, 501, 502}, all[0].StatusCode, "%s: %s: %s", path, name, all[0].text)
				require.True(t, closed, "%s: %s: the connection goes on", path, name)
				require.NotContains(t, strings.Join(w.shop.journal(), " "), "hidden", "%s: %s", path, name)
			}
		}
	})
}

// TestHT1WhatHasOneReadingIsForwardedOnce sends what looks alike and has one
// reading by RFC 9112: it is refused, or the backend sees just that reading.
func TestHT1WhatHasOneReadingIsForwardedOnce(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		for name, request := range map[string]string{
			"length and chunked":          "Content-Length: 4\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
			"chunked and length":          "Transfer-Encoding: chunked\nContent-Length: 400\n\n5\nhello\n0\n\n",
			"the same length twice":       "Content-Length: 5\nContent-Length: 5\n\nhello",
			"folded encoding":             "Transfer-Encoding:\n chunked\n\n5\nhello\n0\n\n",
			"bare line feeds in the head": "A: b\vContent-Length: 5\v\vhello",
			"chunk with an extension":     "Transfer-Encoding: chunked\n\n5;a=b;c=\"d\"\nhello\n0\n\n",
			"zeros before the size":       "Transfer-Encoding: chunked\n\n0000005\nhello\n0\n\n",
			"encoding in capitals":        "Transfer-Encoding: CHUNKED\n\n5\nhello\n0\n\n",
			"forbidden trailers":          "Transfer-Encoding: chunked\nTrailer: Content-Length\n\n5\nhello\n0\nContent-Length: 400\nHost: evil\n\n",
		} {
			w.shop.forget()
			all, closed := w.send("POST /shop/seen HTTP/1.1\nHost: x\n" + request)
			require.Len(t, all, 1, name)
			if all[0].StatusCode != 200 {
				require.Equal(t, 400, all[0].StatusCode, name)
				require.True(t, closed, name)
				require.Empty(t, w.shop.journal(), name)
				continue
			}
			require.Equal(t, "shop POST /seen 5", all[0].text, name)
			require.Equal(t, []string{"POST /seen"}, w.shop.journal(), name)
		}
	})
}

// TestHT1PipelinedRequestsAreAnsweredInOrder holds what a smuggler would mix up.
func TestHT1PipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		var text strings.Builder
		for _, name := range []string{"a", "b", "c"} {
			text.WriteString("POST /shop/" + name + " HTTP/1.1\nHost: x\nContent-Length: 5\n\nhelloGET /nowhere/" + name + " HTTP/1.1\nHost: x\n\n")
		}
		all, _ := w.send(text.String())
		require.Len(t, all, 6)
		for i, name := range []string{"a", "b", "c"} {
			require.Equal(t, "shop POST /"+name+" 5", all[2*i].text)
			require.Equal(t, 404, all[2*i+1].StatusCode)
			require.Contains(t, all[2*i+1].text, "/nowhere/"+name)
		}
	})
}
