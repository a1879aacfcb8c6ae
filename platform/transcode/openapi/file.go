package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"example.com/app/platform/transcode"
)

// A file is served from memory. One of its two forms may be missing.
type file struct {
	media  string
	tag    string // of the content, without quotes
	plain  []byte // nil: unpacked for each client that wants it, who are rare
	packed []byte // gzip; nil: not worth it
}

func newFile(name string, plain, packed []byte) *file {
	content := plain
	if content == nil {
		content = packed
	}
	sum := sha256.Sum256(content)
	return &file{media: mediaOf(name), tag: hex.EncodeToString(sum[:12]), plain: plain, packed: packed}
}

func pack(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(plain); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unpack(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// mediaOf is a table of its own: that of package mime depends on the machine.
func mediaOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".json":
		return "application/json"
	}
	return "application/octet-stream"
}

// serve answers GET and HEAD.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache") // ask each time; the tag makes it cheap
	h.Set("Vary", "Accept-Encoding")
	gzipped := f.packed != nil && acceptsGzip(r.Header)
	tag := `"` + f.tag + `"`
	if gzipped {
		tag = `"` + f.tag + `-gzip"` // two encodings are two representations (RFC 9110)
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	if matches(r.Header, tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.packed
	if !gzipped {
		var err error
		if body, err = f.unpacked(); err != nil {
			transcode.WriteError(w, r, fmt.Errorf("unpack: %w", err))
			return
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // net/http leaves it out for HEAD
}

func (f *file) unpacked() ([]byte, error) {
	if f.plain != nil {
		return f.plain, nil
	}
	return unpack(f.packed)
}

// matches says whether the client has that version already.
func matches(h http.Header, tag string) bool {
	for have := range strings.SplitSeq(h.Get("If-None-Match"), ",") {
		if have = strings.TrimPrefix(strings.TrimSpace(have), "W/"); have == tag || have == "*" {
			return true
		}
	}
	return false
}

// acceptsGzip says whether the client can unpack.
func acceptsGzip(h http.Header) bool {
	for part := range strings.SplitSeq(h.Get("Accept-Encoding"), ",") {
		coding, params, err := mime.ParseMediaType(part)
		if err != nil || coding != "gzip" {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		return err != nil || q > 0
	}
	return false
}

// get refuses all methods but GET and HEAD.
func get(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			serve(w, r)
			return
		}
		transcode.NotAllowed(w, r, http.MethodGet, http.MethodHead)
	})
}
