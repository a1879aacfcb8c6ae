package http1

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"strings"
)

// A Response is an answer: its head, and the body as it comes. It belongs to one
// goroutine, and is gone with Close, its maps too; what they held may be kept.
type Response struct {
	Status int
	Header http.Header // without Transfer-Encoding and Trailer
	Length int64       // that the head tells; below 0: none

	// Trailer has the names that the head announced, and the trailers that came
	// when Next has returned io.EOF. Nil: none.
	Trailer http.Header

	conn    *conn
	mode    int   // how the body ends
	left    int64 // bytes of the body, or of this chunk
	chunked bool  // a chunk has been read
	excess  int64 // bytes that chunks cost beyond what they carry
	ended   bool
	keep    bool // the connection may be used again
}

// Next returns the next piece of the body, which is its own until the next
// call. After the last one the error is io.EOF; any other error means that the
// body broke off.
func (r *Response) Next() ([]byte, error) {
	if r.ended {
		return nil, io.EOF
	}
	piece, err := r.next()
	if err != nil && !errors.Is(err, io.EOF) {
		r.keep = false
	}
	return piece, err
}

func (r *Response) next() ([]byte, error) {
	c := r.conn
	if r.mode == byChunks && r.left == 0 {
		if err := r.nextChunk(); err != nil {
			return nil, err
		}
	}
	if c.r == c.w {
		if _, err := c.more(); err != nil {
			if r.mode == byClose && errors.Is(err, io.EOF) {
				r.ended = true
				return nil, io.EOF
			}
			return nil, unexpected(err)
		}
	}
	n := c.w - c.r
	if r.mode != byClose {
		n = int(min(int64(n), r.left))
		r.left -= int64(n)
		r.ended = r.mode == byLength && r.left == 0
	}
	c.r += n
	return c.buf[c.r-n : c.r : c.r], nil
}

// Ready reports whether Next need not wait for the backend.
func (r *Response) Ready() bool {
	return r.ended || r.mode != byChunks && r.conn.r < r.conn.w
}

// Alarm is for who wants the exchange to end at a time: it is stopped, and
// closes the connection when it rings.
func (r *Response) Alarm() *Alarm { return r.conn.alarm }

// Close ends the exchange. The connection is kept if the body has ended.
func (r *Response) Close() { r.conn.release() }

// nextChunk reads on to the bytes of the next chunk, or over the trailers.
func (r *Response) nextChunk() error {
	if r.chunked {
		if line, err := r.line(maxLine); err != nil || line != "" {
			return cmp.Or(err, malformed("a chunk longer than it says"))
		}
	}
	line, err := r.line(maxLine)
	if err != nil {
		return err
	}
	size, extension, _ := strings.Cut(line, ";")
	n, ok := hex(strings.TrimRight(size, " \t"))
	if !ok || !validValue(extension) {
		return malformed("a chunk size")
	}
	// Chunks that are mostly extensions would let a little body cost much.
	r.excess = max(r.excess+int64(len(line))+2-16-2*n, 0)
	if r.excess > 16<<10 {
		return malformed("more of chunks than in them")
	}
	r.chunked, r.left = true, n
	if n > 0 {
		return nil
	}
	if err := r.trailers(); err != nil {
		return err
	}
	r.ended = true
	return io.EOF
}

// trailers reads what comes after the last chunk.
func (r *Response) trailers() error {
	var text strings.Builder
	for room := r.conn.client.cfg.MaxHeaderBytes; ; {
		line, err := r.line(room)
		if err != nil {
			return err
		}
		if line == "" {
			break
		}
		if room -= len(line) + 2; room < 0 {
			return errHeadTooLarge
		}
		text.WriteString(line)
		text.WriteString("\r\n")
	}
	if text.Len() == 0 {
		return nil
	}
	came := make(http.Header)
	if err := parseFields(text.String(), came); err != nil {
		return err
	}
	if r.Trailer == nil {
		r.Trailer = came
		return nil
	}
	for name, values := range came { // into a map again: no order
		r.Trailer[name] = values
	}
	return nil
}

// maxLine is how long a line between chunks may be.
const maxLine = 4 << 10

// line reads to the next CR LF.
func (r *Response) line(most int) (string, error) {
	c := r.conn
	for {
		held := c.buf[c.r:c.w]
		if i := bytes.IndexByte(held, '\n'); i >= 0 {
			if i == 0 || held[i-1] != '\r' {
				return "", malformed("a bare line feed")
			}
			c.r += i + 1
			if i > most {
				return "", errHeadTooLarge
			}
			return string(held[:i-1]), nil
		}
		if len(held) > most {
			return "", errHeadTooLarge
		}
		if _, err := c.more(); err != nil {
			return "", unexpected(err)
		}
	}
}

// hex reads a hexadecimal number of at most 15 digits.
func hex(s string) (n int64, ok bool) {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int64(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 | int64(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return n, s != "" && len(s) <= 15
}
