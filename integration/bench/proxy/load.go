package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A turn is what one stretch of load gave.
type turn struct {
	requests int
	took     time.Duration
	cpu      time.Duration
	p50, p99 float64 // ms
}

func (t turn) cost() float64 { return float64(t.cpu.Microseconds()) / float64(t.requests) }
func (t turn) rate() float64 { return float64(t.requests) / t.took.Seconds() }

// turn loads a subject for a while.
func (y *yard) turn(ctx context.Context, s *subject) (turn, error) {
	before, err := used(s.cmd.Process.Pid)
	if err != nil {
		return turn{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, y.plan.turn)
	defer cancel()
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	times := make([][]time.Duration, y.plan.connections)
	began := time.Now()
	for i := range times {
		all.Go(func() {
			var err error
			if times[i], err = ride(ctx, s.addr, y.plan.size); err != nil {
				failed.Store(&err)
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	if err := failed.Load(); err != nil {
		return turn{}, *err
	}
	after, err := used(s.cmd.Process.Pid)
	if err != nil {
		return turn{}, err
	}
	sum := slices.Concat(times...)
	if len(sum) == 0 {
		return turn{}, errors.New("no request was answered")
	}
	slices.Sort(sum)
	at := func(p float64) float64 { return float64(sum[int(p*float64(len(sum)-1))].Microseconds()) / 1000 }
	return turn{requests: len(sum), took: took, cpu: after - before, p50: at(0.5), p99: at(0.99)}, nil
}

// ask sends one request.
func ask(ctx context.Context, addr string, size int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	return request(ctx, conn, bufio.NewReaderSize(conn, 8<<10), addr, size)
}

// ride sends requests over one connection, one after the other, until ctx ends.
func ride(ctx context.Context, addr string, size int) (times []time.Duration, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 8<<10)
	for ctx.Err() == nil {
		began := time.Now()
		if err := request(context.Background(), conn, in, addr, size); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// request sends a GET and reads the answer, which must be as long as agreed.
func request(ctx context.Context, conn net.Conn, in *bufio.Reader, addr string, size int) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	_ = conn.SetDeadline(deadline)
	_, err := fmt.Fprintf(conn, "GET /shop/x HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", addr)
	if err != nil {
		return err
	}
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		return fmt.Errorf("answer %q", status)
	}
	length, chunked := -1, false
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length = 0
			for _, c := range bytes.TrimSpace(value) {
				length = length*10 + int(c-'0')
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if chunked || length != size {
		return fmt.Errorf("an answer of %d bytes (chunked: %v), want %d", length, chunked, size)
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return err
}
