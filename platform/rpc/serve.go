package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
)

// healthPrefix begins the methods that are not business: they are neither
// counted nor bounded, so that an overloaded server can still say that it lives.
const healthPrefix = "/grpc.health.v1.Health/"

// unary is what every unary call goes through: refuse what is late, what is too
// much and who may not, check, work, answer, tell.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (reply any, err error) {
	if strings.HasPrefix(info.FullMethod, healthPrefix) {
		return handle(ctx, req)
	}
	start := s.begin()
	defer func() { err = s.end(ctx, info.FullMethod, start, recover(), err) }()
	if err := refuseExpired(ctx); err != nil {
		return nil, err
	}
	place, err := s.admit.enter(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	how := resilience.Failed // where the handler panics
	defer func() { place.Release(how) }()
	if ctx, err = s.cfg.Guard.Admit(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	if err := s.check(req); err != nil {
		return nil, err
	}
	reply, err = s.work(ctx, req, s.around(info, handle))
	how = ended(ctx, err)
	return reply, err
}

// around is the handler, with what stands in front of it.
func (s *Server) around(info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) grpc.UnaryHandler {
	if s.cfg.Around == nil {
		return handle
	}
	return func(ctx context.Context, req any) (any, error) { return s.cfg.Around(ctx, req, info, handle) }
}

// work has the handler answer, by a worker where there are any.
func (s *Server) work(ctx context.Context, req any, handle grpc.UnaryHandler) (reply any, err error) {
	if s.cfg.Workers == nil {
		return handle(ctx, req)
	}
	err = s.cfg.Workers.Do(ctx, func() error {
		reply, err = handle(ctx, req)
		return err
	})
	return reply, err
}

// stream is unary's twin for streams: every message received is checked, and
// the stream holds its worker while it lasts.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	if strings.HasPrefix(info.FullMethod, healthPrefix) {
		return handle(srv, ss)
	}
	ctx, start := ss.Context(), s.begin()
	defer func() { err = s.end(ctx, info.FullMethod, start, recover(), err) }()
	if err := refuseExpired(ctx); err != nil {
		return err
	}
	place, err := s.admit.enter(ctx, info.FullMethod)
	if err != nil {
		return err
	}
	place.Release(resilience.Failed) // a stream waits its turn like a call, but how long it lasts says nothing
	if ctx, err = s.cfg.Guard.Admit(ctx, info.FullMethod); err != nil {
		return err
	}
	return s.cfg.Workers.Do(ctx, func() error { return handle(srv, checkedStream{ss, s, ctx}) })
}

func (s *Server) begin() time.Time {
	s.inFlight.Add(1)
	return time.Now()
}

// end gives a call's error its place on the wire, and tells of the call.
func (s *Server) end(ctx context.Context, method string, start time.Time, panicked any, err error) error {
	switch {
	case panicked != nil:
		s.cfg.Log.LogAttrs(ctx, slog.LevelError, "a handler panicked", slog.String("method", method),
			slog.Any("panic", panicked), slog.String("stack", string(debug.Stack())))
		err = errs.Internal.New("internal error in %s", method)
	case err != nil:
		if d := (downstream{}); errors.As(err, &d) {
			_ = grpc.SetTrailer(ctx, metadata.Pairs(pushbackKey, noRetry)) // fails only where the caller has gone
		}
		err = s.outward(ctx, method, err)
	}
	s.inFlight.Add(-1)
	s.tell(ctx, method, start, err)
	return err
}

type checkedStream struct {
	grpc.ServerStream
	server *Server
	ctx    context.Context // gRPC's own, and what the guard knows of the caller
}

// Context is the call's.
func (c checkedStream) Context() context.Context { return c.ctx }

func (c checkedStream) RecvMsg(m any) error {
	if err := c.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return c.server.check(m)
}

// check applies the rules of the message's proto (protovalidate).
func (s *Server) check(req any) error {
	m, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	err := s.validate.Validate(m)
	if err == nil {
		return nil
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) {
		return errs.Internal.New("check %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	e := errs.Invalid.New("%s", broken.Violations[0]).Because("INVALID_FIELD")
	for _, v := range broken.Violations {
		e = e.Field(protovalidate.FieldPathString(v.Proto.GetField()), v.Proto.GetRuleId(), "%s", v.Proto.GetMessage())
	}
	return e
}

// refuseExpired keeps a server from starting what nobody waits for any more.
func refuseExpired(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	return nil
}

// outward turns what a handler returned into what the caller may see. An error
// without a kind is a bug of ours: its text is logged here and stays here.
func (s *Server) outward(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	if st, ok := status.FromError(err); ok {
		return plain(st, err)
	}
	if st := status.FromContextError(err); st.Code() != codes.Unknown {
		return st.Err()
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelError, "an error without a kind", slog.String("method", method), slog.Any("error", err))
	return errs.Internal.New("internal error in %s", method)
}

// plain takes gRPC's own words out of an error that a handler wrapped around
// one it got from another role: "ask the phrasebook: rpc error: code = …".
func plain(st *status.Status, err error) error {
	words := fmt.Sprintf("rpc error: code = %s desc = ", st.Code())
	if !strings.Contains(st.Message(), words) {
		return err
	}
	p := st.Proto() // a copy
	p.Message = strings.ReplaceAll(p.GetMessage(), words, "")
	return status.ErrorProto(p)
}

// tell reports a call: to the observer all, to the log what failed.
func (s *Server) tell(ctx context.Context, method string, start time.Time, err error) {
	code, took := status.Code(err), time.Since(start)
	if s.cfg.Observe != nil {
		s.cfg.Observe(Call{Method: method, Code: code, Duration: took, ID: requestOf(ctx), Peer: callerOf(ctx)})
	}
	level := slog.LevelDebug
	switch code {
	case codes.Unknown, codes.Internal, codes.DataLoss, codes.Unavailable:
		level = slog.LevelWarn
	}
	if !s.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("method", method), slog.String("code", errs.Kind(code).String()), slog.Duration("took", took)}
	if addr := callerOf(ctx); addr != "" {
		attrs = append(attrs, slog.String("peer", addr))
	}
	if id := requestOf(ctx); id != "" {
		attrs = append(attrs, slog.String("request_id", id))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	if d := (downstream{}); errors.As(err, &d) {
		attrs = append(attrs, slog.Any("cause", d.cause))
	}
	s.cfg.Log.LogAttrs(ctx, level, "call", attrs...)
}

// callerOf is the address of who sent a call.
func callerOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}

// requestOf is the id of the request that a call is part of.
func requestOf(ctx context.Context) string {
	if id := metadata.ValueFromIncomingContext(ctx, RequestID); len(id) > 0 {
		return id[0]
	}
	return ""
}
