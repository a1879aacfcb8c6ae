package transcode

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"example.com/app/platform/auth"
	"example.com/app/platform/errs"
)

// WriteError answers r with err, as AIP-193 has it:
//
//	{"error":{"code":404,"status":"NOT_FOUND","message":"…","details":[…]}}
//
// The kind of err decides the code; a *runtime.HTTPStatusError around it
// decides otherwise (a 405, a 502). The text of a bug, and of what failed
// between the services, stays inside: the client gets the request id to quote.
// RetryInfo becomes Retry-After. Nothing may have been written to w before.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	code := 0
	if e, ok := errors.AsType[*errs.Error](err); ok {
		code = errs.HTTP(e)
	}
	if over, ok := errors.AsType[*runtime.HTTPStatusError](err); ok {
		code, err = over.HTTPStatus, over.Err
	}
	st := statusOf(err, code)
	if code == 0 {
		code = errs.Kind(st.Code()).HTTP()
	}
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Trailer"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if seconds := retryAfter(st); seconds > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
	if challenge := auth.Challenge("", err); challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	w.WriteHeader(code)
	// A client that is gone does not read why.
	_, _ = w.Write(append(errorJSON(st, code, r.Header.Get(requestID)), '\n'))
}

// NotAllowed answers r with 405: its path has the methods in allow, and not its
// own.
func NotAllowed(w http.ResponseWriter, r *http.Request, allow ...string) {
	w.Header().Set("Allow", strings.Join(allow, ", "))
	WriteError(w, r, &runtime.HTTPStatusError{
		HTTPStatus: http.StatusMethodNotAllowed,
		Err:        errs.Unsupported.New("%s is not allowed here", r.Method).Because("METHOD_NOT_ALLOWED"),
	})
}

// statusOf is err as a status. An error without a kind is a bug, unless code
// blames the client.
func statusOf(err error, code int) *status.Status {
	if st, ok := status.FromError(err); ok {
		return st
	}
	if st := status.FromContextError(err); st.Code() != codes.Unknown {
		return st
	}
	if code >= 400 && code < 500 {
		return status.New(codes.InvalidArgument, err.Error())
	}
	return status.New(codes.Internal, err.Error())
}

// errorJSON is the body of an error answer. A code of 0 means that of the kind.
func errorJSON(st *status.Status, code int, id string) []byte {
	kind := errs.Kind(st.Code())
	if code == 0 {
		code = kind.HTTP()
	}
	text, details := public(st)
	if hidden(st.Code()) && wellFormed(id) {
		if d, err := anypb.New(&errdetails.RequestInfo{RequestId: id}); err == nil {
			details = append(details, d)
		}
	}
	type body struct {
		Code    int               `json:"code"`
		Status  string            `json:"status"`
		Message string            `json:"message"`
		Details []json.RawMessage `json:"details,omitempty"`
	}
	b := body{Code: code, Status: kind.String(), Message: text}
	for _, d := range details {
		if doc, ok := detailJSON(d); ok {
			b.Details = append(b.Details, doc)
		}
	}
	doc, err := json.Marshal(map[string]body{"error": b})
	if err != nil { // only a detail could have caused it
		return []byte(`{"error":{"code":500,"status":"INTERNAL","message":"internal error"}}`)
	}
	return doc
}

// detailJSON writes one detail. One of a type that is not linked in is left
// out, and so is DebugInfo, which is for us.
func detailJSON(d *anypb.Any) (json.RawMessage, bool) {
	if d.MessageIs((*errdetails.DebugInfo)(nil)) {
		return nil, false
	}
	doc, err := protojson.Marshal(d)
	if err != nil {
		return nil, false
	}
	var b bytes.Buffer
	if json.Compact(&b, doc) != nil {
		return nil, false
	}
	return b.Bytes(), true
}

// hidden says which kinds come from bugs alone.
func hidden(c codes.Code) bool {
	return c == codes.Internal || c == codes.Unknown || c == codes.DataLoss
}

// public is what a client may read of a status. Some kinds come from the
// transport too, with addresses in the text; those that a service made on
// purpose are told by their ErrorInfo.
func public(st *status.Status) (text string, details []*anypb.Any) {
	if hidden(st.Code()) {
		return "internal error", nil
	}
	details = st.Proto().GetDetails()
	if _, ok := detail[*errdetails.ErrorInfo](st); ok {
		return st.Message(), details
	}
	switch st.Code() {
	case codes.Unavailable:
		return "the service is not available just now", details
	case codes.DeadlineExceeded:
		return "the call took too long", details
	case codes.Canceled:
		return "the call was cancelled", details
	case codes.Unimplemented:
		return "not implemented", details
	}
	return st.Message(), details
}

// detail is the first detail of its type.
func detail[T proto.Message](st *status.Status) (T, bool) {
	for _, d := range st.Details() {
		if m, ok := d.(T); ok {
			return m, true
		}
	}
	var none T
	return none, false
}

// retryAfter is how many seconds to wait, rounded up; 0: not said.
func retryAfter(st *status.Status) int {
	info, ok := detail[*errdetails.RetryInfo](st)
	if !ok || info.GetRetryDelay() == nil {
		return 0
	}
	return max(1, int(math.Ceil(info.GetRetryDelay().AsDuration().Seconds())))
}
