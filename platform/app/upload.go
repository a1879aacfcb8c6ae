package app

import (
	"io"
	"net/http"
	"time"
)

// An upload is the body of a request, which must keep up a rate: a client that
// sends a byte now and then would hold a connection, and whoever reads from it,
// for ever.
type upload struct {
	io.ReadCloser
	control *http.ResponseController
	began   time.Time
	credit  time.Duration // how long the client may keep us waiting
}

// uploadGrace is the most that a client may be silent for, or fall behind.
const uploadGrace = 15 * time.Second

// uploadRate is how many bytes earn a client another second, up to uploadGrace.
const uploadRate = 1 << 10

// timed is a request whose body must keep up the rate, or r itself where it has
// none. It is a copy: net/http looks at the body of its own to tell whether it
// still waits for 100 Continue. Reads fail with os.ErrDeadlineExceeded where the
// client falls behind. A handler that reads nothing leaves the deadline behind
// too, as net/http reads the rest before it takes another request.
func timed(w http.ResponseWriter, r *http.Request) *http.Request {
	control := http.NewResponseController(w)
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		_ = control.SetReadDeadline(time.Time{}) // or the request would be cancelled when it passes
		return r
	}
	u := &upload{ReadCloser: r.Body, control: control, credit: uploadGrace}
	u.allow()
	r = r.WithContext(r.Context())
	r.Body = u
	return r
}

// allow sets the deadline for what the client has earned. Where the connection
// has none to set, which is in tests alone, nobody is waited for.
func (u *upload) allow() {
	u.began = time.Now()
	_ = u.control.SetReadDeadline(u.began.Add(max(u.credit, time.Millisecond)))
}

// Read reads from the client. Time in which nobody reads is not counted.
func (u *upload) Read(b []byte) (int, error) {
	u.allow()
	n, err := u.ReadCloser.Read(b)
	u.credit += time.Duration(n)*time.Second/uploadRate - time.Since(u.began)
	u.credit = min(u.credit, uploadGrace)
	if err == io.EOF {
		// Or the deadline would look like a client that has hung up.
		_ = u.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
