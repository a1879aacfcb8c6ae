package errs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/app/platform/errs"
)

// wire is err as it arrives at a caller over gRPC.
func wire(t *testing.T, err error) error {
	t.Helper()
	sent, ok := status.FromError(err)
	require.True(t, ok)
	bytes, err := proto.Marshal(sent.Proto())
	require.NoError(t, err)
	got := sent.Proto()
	proto.Reset(got)
	require.NoError(t, proto.Unmarshal(bytes, got))
	return status.FromProto(got).Err()
}

func kinds() []errs.Kind {
	return []errs.Kind{
		errs.Invalid, errs.NotFound, errs.Exists, errs.Denied, errs.Unauthenticated, errs.Exhausted, errs.Precondition,
		errs.Aborted, errs.Unavailable, errs.Deadline, errs.Cancelled, errs.Unsupported, errs.Internal,
	}
}

func TestAKindSurvivesTheTrip(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.String(), func(t *testing.T) {
			err := k.New("went %s", "wrong")
			require.EqualError(t, err, "went wrong")
			for _, e := range []error{err, fmt.Errorf("act: %w", err), wire(t, err), wire(t, fmt.Errorf("act: %w", err))} {
				require.Equal(t, k, errs.Of(e))
				require.True(t, k.Is(e))
				for _, other := range kinds() {
					require.Equal(t, other == k, other.Is(e), "%v.Is(%v)", other, e)
				}
			}
		})
	}
}

func TestDetailsSurviveTheTrip(t *testing.T) {
	err := errs.Invalid.New("bad phrase").Because("PHRASE_BAD", "name", "x", "odd").
		Field("phrase.text", "string.max_len", "at most %d", 200).Field("phrase.name", "", "missing")
	s := status.Convert(wire(t, err))
	require.Equal(t, "bad phrase", s.Message())
	require.Len(t, s.Details(), 2)
	info := s.Details()[0].(*errdetails.ErrorInfo)
	require.Equal(t, "PHRASE_BAD", info.GetReason())
	require.Equal(t, errs.Domain, info.GetDomain())
	require.Equal(t, map[string]string{"name": "x"}, info.GetMetadata())
	fields := s.Details()[1].(*errdetails.BadRequest).GetFieldViolations()
	require.Len(t, fields, 2)
	require.Equal(t, []string{"phrase.text", "string.max_len", "at most 200"}, []string{fields[0].GetField(), fields[0].GetReason(), fields[0].GetDescription()})
	require.Equal(t, "phrase.name", fields[1].GetField())
}

func TestWithoutAReasonTheKindIsTheReason(t *testing.T) {
	s := status.Convert(errs.Aborted.New("lost"))
	require.Len(t, s.Details(), 1)
	require.Equal(t, "ABORTED", s.Details()[0].(*errdetails.ErrorInfo).GetReason())
}

func TestDetailsThatCannotTravelDoNotTakeTheKindAlong(t *testing.T) {
	s := status.Convert(errs.NotFound.New("gone").Because("GONE", "name", "\xff"))
	require.Equal(t, codes.NotFound, s.Code())
	require.Empty(t, s.Details())
}

func TestOfFindsTheKind(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want errs.Kind
	}{
		"nil":                  {nil, errs.Kind(codes.OK)},
		"plain":                {io.EOF, errs.Internal},
		"deadline":             {context.DeadlineExceeded, errs.Deadline},
		"wrapped deadline":     {fmt.Errorf("ask: %w", context.DeadlineExceeded), errs.Deadline},
		"cancellation":         {context.Canceled, errs.Cancelled},
		"status":               {status.Error(codes.DataLoss, "x"), errs.Kind(codes.DataLoss)},
		"wrapped status":       {fmt.Errorf("ask: %w", status.Error(codes.NotFound, "x")), errs.NotFound},
		"a kind over a kind":   {errs.Unavailable.New("ask: %w", errs.NotFound.New("x")), errs.Unavailable},
		"a kind over deadline": {errs.Aborted.New("ask: %w", context.DeadlineExceeded), errs.Aborted},
		"joined":               {errors.Join(io.EOF, errs.Exists.New("x")), errs.Exists},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, errs.Of(test.err)) })
	}
	require.False(t, errs.Internal.Is(nil))
	require.False(t, errs.Kind(codes.OK).Is(nil))
}

func TestWhatAnErrorWrapsIsFoundInThisProcess(t *testing.T) {
	one := errs.Internal.New("read: %w", fs.ErrNotExist)
	require.ErrorIs(t, one, fs.ErrNotExist)
	require.ErrorIs(t, one.Because("X").Field("a", "", "b").Status(502), fs.ErrNotExist)
	two := errs.Internal.New("read: %w, then %w", fs.ErrNotExist, io.EOF)
	require.ErrorIs(t, two, fs.ErrNotExist)
	require.ErrorIs(t, two, io.EOF)
	require.NotErrorIs(t, errs.Internal.New("nothing"), io.EOF)
}

func TestEachAdditionMakesACopy(t *testing.T) {
	base := errs.Invalid.New("bad").Field("a", "", "one")
	left, right := base.Field("b", "", "left"), base.Field("c", "", "right")
	require.Equal(t, []string{"a"}, fields(base))
	require.Equal(t, []string{"a", "b"}, fields(left))
	require.Equal(t, []string{"a", "c"}, fields(right))

	told := base.Because("FIRST", "k", "v")
	again := told.Because("SECOND")
	require.Equal(t, "INVALID_ARGUMENT", info(base).GetReason())
	require.Equal(t, map[string]string{"k": "v"}, info(told).GetMetadata())
	require.Equal(t, "SECOND", info(again).GetReason())
	require.Empty(t, info(again).GetMetadata())

	require.Equal(t, 405, errs.HTTP(base.Status(405)))
	require.Equal(t, 400, errs.HTTP(base))
}

func info(err error) *errdetails.ErrorInfo {
	return status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
}

func fields(err error) (paths []string) {
	for _, f := range status.Convert(err).Details()[1].(*errdetails.BadRequest).GetFieldViolations() {
		paths = append(paths, f.GetField())
	}
	return paths
}

// The table of google/rpc/code.proto, whole.
func TestEveryCodeHasItsHTTPStatus(t *testing.T) {
	table := map[codes.Code]int{
		codes.OK: 200, codes.Canceled: 499, codes.Unknown: 500, codes.InvalidArgument: 400, codes.DeadlineExceeded: 504,
		codes.NotFound: 404, codes.AlreadyExists: 409, codes.PermissionDenied: 403, codes.ResourceExhausted: 429,
		codes.FailedPrecondition: 400, codes.Aborted: 409, codes.OutOfRange: 400, codes.Unimplemented: 501,
		codes.Internal: 500, codes.Unavailable: 503, codes.DataLoss: 500, codes.Unauthenticated: 401,
	}
	require.Len(t, table, 17)
	for c, want := range table {
		require.Equal(t, want, errs.Kind(c).HTTP(), "HTTP status of %v", c)
	}
	require.Equal(t, 500, errs.Kind(99).HTTP())
	require.Equal(t, 404, errs.HTTP(fmt.Errorf("ask: %w", errs.NotFound.New("x"))))
	require.Equal(t, 502, errs.HTTP(fmt.Errorf("ask: %w", errs.Unavailable.New("x").Status(502))))
	require.Equal(t, 200, errs.HTTP(nil))
}

func TestKindsAreNamedAsInCodeProto(t *testing.T) {
	require.Len(t, code.Code_name, 17)
	for c, name := range code.Code_name {
		require.Equal(t, name, errs.Kind(c).String())
	}
	require.Equal(t, "CODE_99", errs.Kind(99).String())
}
