package network

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A stream is one direction of a connection in memory. Bytes wait in it up to
// its size; then the writer waits.
//
// gRPC's bufconn does nearly this, and would do, but for three things: it
// starts timers that are due at once, and two of those at a time crash the race
// detector inside a synctest bubble (Go 1.26); a deadline that was moved can
// still fire; and a write that times out does not tell how much it wrote.
type stream struct {
	mu       sync.Mutex
	readable sync.Cond
	writable sync.Cond
	size     int
	ring     []byte // made by the first write: many connections carry bytes one way only
	start    int    // where the oldest byte is
	held     int    // how many there are
	ended    bool   // no more will be written: after the last byte comes io.EOF
	writing  bool   // a writer is at work; others wait, lest their bytes mingle
	readErr  error  // why nothing more can be read
	writeErr error  // why nothing more can be written
	readBy   deadline
	writeBy  deadline
}

func newStream(size int) *stream {
	s := &stream{size: size}
	s.readable.L, s.writable.L = &s.mu, &s.mu
	return s
}

// read waits for at least one byte.
func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readErr != nil:
			return 0, s.readErr
		case s.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case s.held > 0:
			n := s.take(b)
			s.writable.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.readable.Wait()
	}
}

// write waits until all of b is in the stream, and tells how much is.
func (s *stream) write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		s.writable.Wait()
	}
	s.writing = true
	defer func() {
		s.writing = false
		s.writable.Broadcast()
	}()
	for {
		switch {
		case s.writeErr != nil:
			return n, s.writeErr
		case s.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		case n == len(b):
			return n, nil
		case s.held < s.size:
			n += s.put(b[n:])
			s.readable.Broadcast()
			if n == len(b) {
				return n, nil
			}
		default:
			s.writable.Wait()
		}
	}
}

// take moves the oldest bytes to b. The caller holds mu.
func (s *stream) take(b []byte) (n int) {
	for n < len(b) && s.held > 0 {
		x := copy(b[n:], s.ring[s.start:min(s.start+s.held, s.size)])
		s.start = (s.start + x) % s.size
		s.held -= x
		n += x
	}
	return n
}

// put takes over what there is room for. The caller holds mu.
func (s *stream) put(b []byte) (n int) {
	if s.ring == nil {
		s.ring = make([]byte, s.size)
	}
	for n < len(b) && s.held < s.size {
		at := (s.start + s.held) % s.size
		x := copy(s.ring[at:min(at+s.size-s.held, s.size)], b[n:])
		s.held += x
		n += x
	}
	return n
}

// end lets what was written be read, and after it the end of the stream. The
// writer is told why it may not go on.
func (s *stream) end(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.writeErr = graver(s.writeErr, why)
	s.writeBy.set(time.Time{}, nil)
	s.wake()
}

// abandon ends reading. The writer meets a broken pipe.
func (s *stream) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readErr = net.ErrClosed
	s.writeErr = graver(s.writeErr, syscall.EPIPE)
	s.readBy.set(time.Time{}, nil)
	s.wake()
}

// breakOff ends both sides at once, each with its own error; what was in
// flight is lost.
func (s *stream) breakOff(reader, writer error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readErr = graver(s.readErr, reader)
	s.writeErr = graver(s.writeErr, writer)
	s.ring, s.start, s.held = nil, 0, 0
	s.wake()
}

// graver is what to tell when there are two reasons: the caller's own Close
// before anything its peer did.
func graver(was, is error) error {
	if errors.Is(was, net.ErrClosed) || was != nil && !errors.Is(is, net.ErrClosed) {
		return was
	}
	return is
}

func (s *stream) setReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.readErr, net.ErrClosed) {
		return net.ErrClosed
	}
	s.readBy.set(t, s.lockAndWake)
	s.wake()
	return nil
}

func (s *stream) setWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.writeErr, net.ErrClosed) {
		return net.ErrClosed
	}
	s.writeBy.set(t, s.lockAndWake)
	s.wake()
	return nil
}

// wake has all who wait look again. The caller holds mu.
func (s *stream) wake() {
	s.readable.Broadcast()
	s.writable.Broadcast()
}

func (s *stream) lockAndWake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake()
}

// A deadline is a time and the timer that has those who wait look at it. The
// timer decides nothing, so one that fires too late does no harm.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) set(t time.Time, wake func()) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if t.IsZero() {
		return
	}
	if wait := time.Until(t); wait > 0 {
		d.at = time.Now().Add(wait) // monotonic, as the timer is
		d.timer = time.AfterFunc(wait, wake)
	}
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }
