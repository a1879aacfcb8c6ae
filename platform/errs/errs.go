// Package errs names the kinds of failure, so that they survive a trip over
// gRPC and over HTTP.
//
// An error of this package says what happened, of which kind it is, and, where
// it helps a program, a stable reason and the fields at fault. It reaches the
// caller as google.rpc.Status with ErrorInfo and BadRequest details (AIP-193),
// the same over both protocols. What it wraps stays in this process.
package errs

import (
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// Domain is the domain of every ErrorInfo made here: who defines the reasons.
const Domain = "app.example.com"

// A Kind is a class of failure that callers treat alike. It is a gRPC code by
// another name, with its HTTP status (google/rpc/code.proto).
type Kind codes.Code

// The kinds, as AIP-193 and google/rpc/code.proto define them.
const (
	Invalid         = Kind(codes.InvalidArgument)    // the request is wrong, whatever the state: 400
	NotFound        = Kind(codes.NotFound)           // 404
	Exists          = Kind(codes.AlreadyExists)      // 409
	Denied          = Kind(codes.PermissionDenied)   // the caller is known, and may not: 403
	Unauthenticated = Kind(codes.Unauthenticated)    // the caller is not known: 401
	Exhausted       = Kind(codes.ResourceExhausted)  // over a limit, come back later: 429
	Precondition    = Kind(codes.FailedPrecondition) // the state must change first: 400
	Aborted         = Kind(codes.Aborted)            // lost a race, read again and retry: 409
	Unavailable     = Kind(codes.Unavailable)        // not now, retry with backoff: 503
	Deadline        = Kind(codes.DeadlineExceeded)   // 504
	Cancelled       = Kind(codes.Canceled)           // the caller went away: 499
	Unsupported     = Kind(codes.Unimplemented)      // 501
	Internal        = Kind(codes.Internal)           // a bug: 500
)

// New makes an error of kind k. It wraps what %w names; the caller of a service
// sees the text alone.
func (k Kind) New(format string, args ...any) *Error {
	return &Error{kind: k, err: fmt.Errorf(format, args...)}
}

// Is reports whether err, or an error it wraps, is of kind k, whether it was
// made here or arrived over the wire.
func (k Kind) Is(err error) bool { return err != nil && Of(err) == k }

// HTTP is the status code that stands for k.
func (k Kind) HTTP() int {
	switch k {
	case Kind(codes.OK):
		return http.StatusOK
	case Invalid, Precondition, Kind(codes.OutOfRange):
		return http.StatusBadRequest
	case Unauthenticated:
		return http.StatusUnauthorized
	case Denied:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case Exists, Aborted:
		return http.StatusConflict
	case Exhausted:
		return http.StatusTooManyRequests
	case Cancelled:
		return 499 // nginx's "client closed request"; net/http has no name for it
	case Unsupported:
		return http.StatusNotImplemented
	case Unavailable:
		return http.StatusServiceUnavailable
	case Deadline:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// String is the name of k in google/rpc/code.proto, as in "NOT_FOUND".
func (k Kind) String() string {
	switch c := codes.Code(k); c {
	case codes.OK:
		return "OK"
	case codes.Canceled:
		return "CANCELLED"
	case codes.Unknown:
		return "UNKNOWN"
	case codes.InvalidArgument:
		return "INVALID_ARGUMENT"
	case codes.DeadlineExceeded:
		return "DEADLINE_EXCEEDED"
	case codes.NotFound:
		return "NOT_FOUND"
	case codes.AlreadyExists:
		return "ALREADY_EXISTS"
	case codes.PermissionDenied:
		return "PERMISSION_DENIED"
	case codes.ResourceExhausted:
		return "RESOURCE_EXHAUSTED"
	case codes.FailedPrecondition:
		return "FAILED_PRECONDITION"
	case codes.Aborted:
		return "ABORTED"
	case codes.OutOfRange:
		return "OUT_OF_RANGE"
	case codes.Unimplemented:
		return "UNIMPLEMENTED"
	case codes.Internal:
		return "INTERNAL"
	case codes.Unavailable:
		return "UNAVAILABLE"
	case codes.DataLoss:
		return "DATA_LOSS"
	case codes.Unauthenticated:
		return "UNAUTHENTICATED"
	default:
		return fmt.Sprintf("CODE_%d", c)
	}
}

// Of is the kind of err: OK for nil, that of the outermost error with a kind,
// Internal where there is none.
func Of(err error) Kind {
	if err == nil {
		return Kind(codes.OK)
	}
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(err)
		if s.Code() == codes.Unknown {
			return Internal
		}
	}
	return Kind(s.Code())
}

// An Error is a failure with a kind. Its With methods return a copy.
type Error struct {
	kind   Kind
	err    error
	http   int // 0: that of the kind
	reason string
	meta   map[string]string
	fields []*errdetails.BadRequest_FieldViolation
}

// Error is the text that the caller of a service sees.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap leads to what stays in this process, be it one error or several.
func (e *Error) Unwrap() error { return e.err }

// Because adds a reason in UPPER_SNAKE_CASE that programs may compare, and
// pairs of key and value that belong to it (ErrorInfo of AIP-193).
func (e *Error) Because(reason string, pairs ...string) *Error {
	c := *e
	c.reason = reason
	c.meta = make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		c.meta[pairs[i]] = pairs[i+1]
	}
	return &c
}

// Field adds a field at fault (BadRequest of AIP-193). Path is as in
// "phrase.text"; rule is the name of what was broken, or empty.
func (e *Error) Field(path, rule, format string, args ...any) *Error {
	c := *e
	c.fields = append(e.fields[:len(e.fields):len(e.fields)], &errdetails.BadRequest_FieldViolation{
		Field: path, Reason: rule, Description: fmt.Sprintf(format, args...),
	})
	return &c
}

// Status sets the HTTP status, where that of the kind would say too little (a
// 405, a 502). It does not travel over gRPC.
func (e *Error) Status(code int) *Error {
	c := *e
	c.http = code
	return &c
}

// HTTP is the HTTP status of err: the one that was set, else that of its kind.
func HTTP(err error) int {
	var e *Error
	if errors.As(err, &e) && e.http != 0 {
		return e.http
	}
	return Of(err).HTTP()
}

// GRPCStatus is how e travels. It is found by google.golang.org/grpc/status.
func (e *Error) GRPCStatus() *status.Status {
	s := status.New(codes.Code(e.kind), e.Error())
	reason := e.reason
	if reason == "" {
		reason = e.kind.String()
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: Domain, Metadata: e.meta}}
	if len(e.fields) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: e.fields})
	}
	if d, err := s.WithDetails(details...); err == nil {
		return d
	}
	return s
}
