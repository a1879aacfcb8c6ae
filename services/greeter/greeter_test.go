package greeter

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/app/platform/errs"
	"example.com/app/services/greeter/greeterpb"
	"example.com/app/services/phrasebook/phrasebookpb"
)

// pages answers as a phrasebook of a few phrases does, two to a page.
type pages struct {
	phrasebookpb.PhrasebookClient
	phrases []*phrasebookpb.Phrase
	err     error
}

func (p pages) GetPhrase(_ context.Context, req *phrasebookpb.GetPhraseRequest, _ ...grpc.CallOption) (*phrasebookpb.Phrase, error) {
	if p.err != nil {
		return nil, p.err
	}
	for _, phrase := range p.phrases {
		if phrase.GetName() == req.GetName() {
			return phrase, nil
		}
	}
	return nil, status.Error(codes.NotFound, req.GetName())
}

func (p pages) ListPhrases(_ context.Context, req *phrasebookpb.ListPhrasesRequest, _ ...grpc.CallOption) (*phrasebookpb.ListPhrasesResponse, error) {
	if p.err != nil {
		return nil, p.err
	}
	from := 0
	if req.GetPageToken() != "" {
		if _, err := fmt.Sscan(req.GetPageToken(), &from); err != nil {
			return nil, err
		}
	}
	to := min(from+2, len(p.phrases))
	res := &phrasebookpb.ListPhrasesResponse{Phrases: p.phrases[from:to]}
	if to < len(p.phrases) {
		res.NextPageToken = fmt.Sprint(to)
	}
	return res, nil
}

func fewPhrases() pages {
	return pages{phrases: []*phrasebookpb.Phrase{
		{Name: "languages/de-AT/phrases/greeting", Text: "Servus, {name}!"},
		{Name: "languages/de/phrases/farewell", Text: "Tschüss, {name}!"},
		{Name: "languages/de/phrases/greeting", Text: "Hallo, {name}!"},
		{Name: "languages/en/phrases/greeting", Text: "Hello, {name}!"},
		{Name: "languages/fr/phrases/farewell", Text: "Adieu, {name} !"},
	}}
}

func TestAGreetingIsInTheLanguageAskedFor(t *testing.T) {
	g := &greeter{instance: "greeter-1", phrases: fewPhrases()}
	for name, test := range map[string]struct{ name, language, want, in string }{
		"English by default":        {"Ada", "", "Hello, Ada!", "en"},
		"German":                    {"Ada", "de", "Hallo, Ada!", "de"},
		"Austrian":                  {"Ada", "de-AT", "Servus, Ada!", "de-AT"},
		"a name that looks like it": {"{name}", "en", "Hello, {name}!", "en"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := g.SayHello(t.Context(), &greeterpb.SayHelloRequest{Name: test.name, Language: test.language})
			require.NoError(t, err)
			require.Equal(t, test.want, got.GetMessage())
			require.Equal(t, test.in, got.GetLanguage())
			require.Equal(t, "greeter-1", got.GetServedBy())
		})
	}
}

func TestAnUnknownLanguageIsNotFoundByTheGreetersOwnWords(t *testing.T) {
	g := &greeter{phrases: fewPhrases()}
	_, err := g.SayHello(t.Context(), &greeterpb.SayHelloRequest{Name: "Ada", Language: "tlh"})
	require.True(t, errs.NotFound.Is(err))
	require.EqualError(t, err, `no greeting in language "tlh"`)
	info := status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
	require.Equal(t, "LANGUAGE_UNKNOWN", info.GetReason())
	require.Equal(t, map[string]string{"language": "tlh"}, info.GetMetadata())
}

func TestAFailureOfThePhrasebookKeepsItsKind(t *testing.T) {
	for _, kind := range []errs.Kind{errs.Unavailable, errs.Deadline, errs.Internal, errs.Exhausted} {
		g := &greeter{phrases: pages{err: kind.New("not now")}}
		_, err := g.SayHello(t.Context(), &greeterpb.SayHelloRequest{Name: "Ada"})
		require.Equal(t, kind, errs.Of(err))
		require.ErrorContains(t, err, "ask the phrasebook")
		err = g.SayHelloStream(&greeterpb.SayHelloStreamRequest{Name: "Ada"}, &sent{ctx: t.Context()})
		require.Equal(t, kind, errs.Of(err))
	}
}

// sent is a stream that remembers what was sent.
type sent struct {
	grpc.ServerStreamingServer[greeterpb.SayHelloResponse]
	ctx   context.Context //nolint:containedctx // as gRPC's streams
	got   []string
	after int // how many go through before the caller is gone; 0: all
}

func (s *sent) Context() context.Context { return s.ctx }

var errGone = errors.New("the caller is gone")

func (s *sent) Send(r *greeterpb.SayHelloResponse) error {
	if s.after > 0 && len(s.got) == s.after {
		return errGone
	}
	s.got = append(s.got, r.GetLanguage()+": "+r.GetMessage())
	return nil
}

func TestAStreamGreetsInTheOrderAskedFor(t *testing.T) {
	g, s := &greeter{phrases: fewPhrases()}, &sent{ctx: t.Context()}
	require.NoError(t, g.SayHelloStream(&greeterpb.SayHelloStreamRequest{Name: "Ada", Languages: []string{"en", "de"}}, s))
	require.Equal(t, []string{"en: Hello, Ada!", "de: Hallo, Ada!"}, s.got)
}

// Sorted by language is not sorted by phrase name: "de-AT" comes before "de/".
func TestAStreamGreetsInAllLanguagesThatHaveAGreeting(t *testing.T) {
	g, s := &greeter{phrases: fewPhrases()}, &sent{ctx: t.Context()}
	require.NoError(t, g.SayHelloStream(&greeterpb.SayHelloStreamRequest{Name: "Ada"}, s))
	require.Equal(t, []string{"de: Hallo, Ada!", "de-AT: Servus, Ada!", "en: Hello, Ada!"}, s.got)
}

func TestAStreamEndsWithTheFirstFailure(t *testing.T) {
	g := &greeter{phrases: fewPhrases()}
	s := &sent{ctx: t.Context()}
	err := g.SayHelloStream(&greeterpb.SayHelloStreamRequest{Name: "Ada", Languages: []string{"en", "tlh", "de"}}, s)
	require.True(t, errs.NotFound.Is(err))
	require.Len(t, s.got, 1)
	s = &sent{ctx: t.Context(), after: 2}
	require.ErrorIs(t, g.SayHelloStream(&greeterpb.SayHelloStreamRequest{Name: "Ada"}, s), errGone)
	require.Len(t, s.got, 2)
}
