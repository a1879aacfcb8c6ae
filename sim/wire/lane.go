package wire

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// largest is the size of a segment, in bytes. It is that of an offloaded one,
// not of a packet: fleets send small messages.
const largest = 16 << 10

// A segment is bytes on their way, or the end of them.
type segment struct {
	at   time.Time // when it arrives
	data []byte
	end  ending
}

// An ending is how a stream ends.
type ending int

const (
	open ending = iota
	halfClosing
	closing
)

// A lane is one direction of a connection: what was written and has not arrived.
// When a segment is due it is written to the connection underneath, by one
// goroutine at a time, which lasts no longer than there are segments due.
type lane struct {
	conn *conn

	mu         sync.Mutex
	room       sync.Cond // for writers: the window, or something else, has changed
	queue      []segment // from head on
	head       int
	limited    bool      // the connection underneath has a deadline for writes
	held       int       // bytes in queue
	last       time.Time // when the last of them arrives
	writing    bool      // a writer is at work; others wait, lest their bytes mingle
	delivering bool      // somebody writes to the connection underneath
	direct     bool      // that is a writer itself
	ending     ending    // no more will be written
	err        error     // why nothing more can be
	by         time.Time // deadline of writes
	alarm      *time.Timer
	timer      *time.Timer // of the first segment
	spare      [][]byte    // buffers to use again
}

// road is the way that segments take now, and when one of a size arrives.
func (l *lane) road(size int) (link Link, at time.Time, gone bool) {
	n, c := l.conn.network, l.conn
	n.mu.Lock()
	defer n.mu.Unlock()
	r := c.road
	if r.version != n.version {
		n.road(c.local, c.remote)
	}
	gone = c.peer.incarnation != c.peerIncarnation
	if size < 0 || r.link.instant() {
		return r.link, time.Time{}, gone
	}
	return r.link, r.arrival(size, n.cfg.RTO), gone
}

// write puts b on its way, and waits while the window is full.
func (l *lane) write(b []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing && l.problem() == nil {
		l.room.Wait()
	}
	if err := l.problem(); err != nil { // of an empty write too
		return 0, err
	}
	l.writing = true
	defer func() {
		l.writing = false
		l.room.Broadcast()
	}()
	for {
		if n == len(b) {
			return n, nil
		}
		switch err := l.problem(); {
		case err != nil:
			return n, err
		case l.idle():
			wrote, err := l.straight(b[n:])
			n += wrote
			if err != nil {
				return n, err
			}
		case l.held < l.conn.network.cfg.Window:
			size := min(len(b)-n, largest, l.conn.network.cfg.Window-l.held)
			l.send(segment{data: append(l.buffer(), b[n:n+size]...)})
			n += size
		default:
			l.room.Wait()
		}
	}
}

// problem is why nothing can be written. The caller holds mu.
func (l *lane) problem() error {
	switch {
	case l.conn.isDead():
		return l.conn.fault()
	case l.err != nil:
		return l.err
	case l.ending != open:
		return syscall.EPIPE
	case !l.by.IsZero() && !time.Now().Before(l.by):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// idle says whether bytes can go straight to the peer: nothing is on its way,
// and the way takes no time. The caller holds mu.
func (l *lane) idle() bool {
	if l.waiting() > 0 || l.delivering {
		return false
	}
	link, _, gone := l.road(-1)
	return link.instant() && !gone
}

// straight writes to the connection underneath. The caller holds mu, which is
// free meanwhile.
func (l *lane) straight(b []byte) (int, error) {
	l.delivering, l.direct = true, true
	l.limit(l.by)
	l.mu.Unlock()
	n, err := l.conn.Conn.Write(b)
	l.mu.Lock()
	l.direct = false
	l.limit(time.Time{})
	if err != nil {
		err = l.refused(err)
	}
	if l.delivering = l.waiting() > 0; l.delivering { // an end was put behind what was written
		go l.deliver()
	}
	return n, err
}

// limit sets the deadline of the connection underneath. The caller holds mu.
func (l *lane) limit(t time.Time) {
	if l.limited || !t.IsZero() {
		l.limited = !t.IsZero()
		_ = l.conn.Conn.SetWriteDeadline(t) // fails only where it is closed
	}
}

// waiting is the number of segments in the queue. The caller holds mu.
func (l *lane) waiting() int { return len(l.queue) - l.head }

// take takes the first segment off the queue. The caller holds mu.
func (l *lane) take() segment {
	s := l.queue[l.head]
	l.queue[l.head] = segment{}
	if l.head++; l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	return s
}

// clear empties the queue. The caller holds mu.
func (l *lane) clear() { l.queue, l.head, l.held = nil, 0, 0 }

// refused notes why the peer takes nothing more. The caller holds mu.
func (l *lane) refused(err error) error {
	if problem := l.problem(); problem != nil {
		return problem
	}
	l.err = syscall.ECONNRESET
	if reason := cause(err); reason != nil {
		l.err = reason
	}
	return l.err
}

// send puts a segment on its way. The caller holds mu.
func (l *lane) send(s segment) {
	link, at, _ := l.road(len(s.data))
	s.at = at
	if link.instant() {
		s.at = time.Now()
	}
	if s.at.Before(l.last) {
		s.at = l.last // a stream stays in order
	}
	l.last = s.at
	l.held += len(s.data)
	l.queue = append(l.queue, s)
	if l.waiting() == 1 && !l.delivering {
		l.arm()
	}
}

// arm has the first segment delivered when it is due. The caller holds mu.
func (l *lane) arm() {
	if l.waiting() == 0 {
		return
	}
	wait := time.Until(l.queue[l.head].at)
	switch {
	case wait <= 0:
		l.delivering = true
		go l.deliver()
	case l.timer == nil:
		l.timer = time.AfterFunc(wait, l.due)
	default:
		l.timer.Reset(wait)
	}
}

// due is called by the timer.
func (l *lane) due() {
	l.mu.Lock()
	if l.delivering {
		l.mu.Unlock()
		return
	}
	l.delivering = true
	l.mu.Unlock()
	l.deliver()
}

// again looks whether what waited can go on, because the network has changed.
func (l *lane) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hurry()
	if !l.delivering {
		l.arm()
	}
	l.room.Broadcast()
}

// hurry has what waits arrive no later than if it were sent now: what the
// network was like when it was sent may have been healed. The caller holds mu.
func (l *lane) hurry() {
	l.last = time.Time{}
	for i := l.head; i < len(l.queue); i++ {
		s := &l.queue[i]
		_, at, _ := l.road(len(s.data))
		if at.IsZero() {
			at = time.Now()
		}
		if at.Before(s.at) {
			s.at = at
		}
		if s.at.Before(l.last) {
			s.at = l.last
		}
		l.last = s.at
	}
}

// deliver writes to the connection underneath what is due. It has been counted
// as delivering by whoever called it, and none other does at the same time.
func (l *lane) deliver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.next() {
		s := l.take()
		l.mu.Unlock()
		var err error
		if len(s.data) > 0 {
			_, err = l.conn.Conn.Write(s.data)
		}
		l.mu.Lock()
		l.held -= len(s.data)
		l.keep(s.data)
		if err != nil && l.err == nil {
			_ = l.refused(err)
			l.clear()
		}
		l.room.Broadcast()
		if s.end != open || err != nil && l.ending == closing {
			l.finish(s.end)
		}
	}
	l.delivering = false
	if l.waiting() > 0 && l.ready() {
		l.arm()
	}
}

// next says whether the first segment is to be delivered now. Where the peer is
// not the one that it was sent to, the connection is reset. The caller holds mu.
func (l *lane) next() bool {
	if l.waiting() == 0 {
		return false
	}
	link, _, gone := l.road(-1)
	if link.Cut {
		return false
	}
	if time.Until(l.queue[l.head].at) > 0 {
		return false
	}
	if gone {
		l.clear()
		l.mu.Unlock()
		l.conn.abort(syscall.ECONNRESET)
		l.mu.Lock()
		return false
	}
	return true
}

// ready says whether a timer can bring the first segment on its way: where
// nothing gets through, only a change of the network can. The caller holds mu.
func (l *lane) ready() bool {
	link, _, _ := l.road(-1)
	return !link.Cut
}

// finish ends the connection underneath. The caller holds mu.
func (l *lane) finish(e ending) {
	l.mu.Unlock()
	defer l.mu.Lock()
	if h, ok := l.conn.Conn.(interface{ CloseWrite() error }); ok && e == halfClosing {
		_ = h.CloseWrite()
		return
	}
	_ = l.conn.Conn.Close()
	l.conn.network.forget(l.conn)
}

// end puts the end of the stream behind all that was written.
func (l *lane) end(e ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending >= e {
		return
	}
	l.ending = e
	l.stop()
	if l.err != nil && e == closing { // nothing more arrives
		l.finish(closing)
		return
	}
	if !l.delivering && l.waiting() == 0 {
		if link, _, gone := l.road(-1); link.instant() && !gone {
			l.finish(e)
			return
		}
	}
	l.send(segment{end: e})
	l.room.Broadcast()
}

// drop forgets all that has not arrived.
func (l *lane) drop(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = why
	}
	l.clear()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.stop()
	l.room.Broadcast()
}

// wake has writers look again.
func (l *lane) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.direct {
		l.limit(longAgo())
	}
	l.room.Broadcast()
}

// deadline sets when writes give up.
func (l *lane) deadline(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop()
	l.by = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		l.by = time.Now().Add(wait) // monotonic, as the timer is
		l.alarm = time.AfterFunc(wait, l.wakeWriters)
	}
	if l.direct {
		l.limit(l.by)
	}
	l.room.Broadcast()
}

func (l *lane) wakeWriters() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room.Broadcast()
}

// stop calls the alarm of the deadline off. The caller holds mu.
func (l *lane) stop() {
	if l.alarm != nil {
		l.alarm.Stop()
		l.alarm = nil
	}
}

// buffer is an empty one, of the size of a segment. The caller holds mu.
func (l *lane) buffer() []byte {
	if n := len(l.spare); n > 0 {
		b := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return b[:0]
	}
	return nil
}

// keep keeps a buffer for the next segment. The caller holds mu.
func (l *lane) keep(b []byte) {
	const most = 4
	if cap(b) > 0 && len(l.spare) < most {
		l.spare = append(l.spare, b)
	}
}
