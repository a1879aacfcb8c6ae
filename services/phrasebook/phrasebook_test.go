package phrasebook

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/services/phrasebook/phrasebookpb"
)

const hello = "languages/en/phrases/greeting"

func book(t *testing.T) phrasebookpb.PhrasebookServer {
	t.Helper()
	s, err := New(&app.Env{Now: time.Now})
	require.NoError(t, err)
	return s.(phrasebookpb.PhrasebookServer)
}

func TestAPhrasebookStartsWithAGreetingInEachLanguage(t *testing.T) {
	res, err := book(t).ListPhrases(t.Context(), &phrasebookpb.ListPhrasesRequest{Parent: "languages/-"})
	require.NoError(t, err)
	require.Len(t, res.GetPhrases(), 8)
	require.Empty(t, res.GetNextPageToken())
	for _, p := range res.GetPhrases() {
		require.Contains(t, p.GetText(), "{name}")
	}
}

func TestAPhraseIsCreatedReadChangedAndDeleted(t *testing.T) {
	b, ctx := book(t), t.Context()
	p, err := b.CreatePhrase(ctx, &phrasebookpb.CreatePhraseRequest{
		Parent: "languages/en", PhraseId: "farewell", Phrase: &phrasebookpb.Phrase{Name: "not read", Text: "Bye, {name}"},
	})
	require.NoError(t, err)
	require.Equal(t, "languages/en/phrases/farewell", p.GetName())
	got, err := b.GetPhrase(ctx, &phrasebookpb.GetPhraseRequest{Name: p.GetName()})
	require.NoError(t, err)
	require.Equal(t, "Bye, {name}", got.GetText())
	changed, err := b.UpdatePhrase(ctx, &phrasebookpb.UpdatePhraseRequest{Phrase: &phrasebookpb.Phrase{
		Name: p.GetName(), Text: "Bye bye, {name}", Etag: got.GetEtag(),
	}})
	require.NoError(t, err)
	require.Equal(t, "Bye bye, {name}", changed.GetText())
	_, err = b.DeletePhrase(ctx, &phrasebookpb.DeletePhraseRequest{Name: p.GetName(), Etag: changed.GetEtag()})
	require.NoError(t, err)
	_, err = b.GetPhrase(ctx, &phrasebookpb.GetPhraseRequest{Name: p.GetName()})
	require.True(t, errs.NotFound.Is(err))
}

func TestOnlyTheTextIsEverChanged(t *testing.T) {
	for name, test := range map[string]struct {
		paths []string
		want  string
	}{
		"no mask":              {nil, "Hi, {name}"},
		"the text":             {[]string{"text"}, "Hi, {name}"},
		"everything":           {[]string{"*"}, "Hi, {name}"},
		"all fields of a form": {[]string{"name", "text", "etag", "create_time", "update_time"}, "Hi, {name}"},
		"nothing changeable":   {[]string{"name", "etag"}, "Hello, {name}!"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := book(t).UpdatePhrase(t.Context(), &phrasebookpb.UpdatePhraseRequest{
				Phrase: &phrasebookpb.Phrase{Name: hello, Text: "Hi, {name}"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: test.paths},
			})
			require.NoError(t, err)
			require.Equal(t, test.want, p.GetText())
			require.Equal(t, hello, p.GetName())
		})
	}
}

func TestErrorsOfThePhrasebookSayWhatToDo(t *testing.T) {
	b, ctx := book(t), t.Context()
	token := writeToken("languages/en", hello)
	for name, test := range map[string]struct {
		call   func() error
		kind   errs.Kind
		reason string
	}{
		"get what is not there": {func() error {
			_, err := b.GetPhrase(ctx, &phrasebookpb.GetPhraseRequest{Name: "languages/xx/phrases/greeting"})
			return err
		}, errs.NotFound, "PHRASE_UNKNOWN"},
		"create what is there": {func() error {
			_, err := b.CreatePhrase(ctx, &phrasebookpb.CreatePhraseRequest{Parent: "languages/en", PhraseId: "greeting", Phrase: &phrasebookpb.Phrase{Text: "{name}"}})
			return err
		}, errs.Exists, "PHRASE_EXISTS"},
		"update what is not there": {func() error {
			_, err := b.UpdatePhrase(ctx, &phrasebookpb.UpdatePhraseRequest{Phrase: &phrasebookpb.Phrase{Name: "languages/xx/phrases/a", Text: "{name}"}})
			return err
		}, errs.NotFound, "PHRASE_UNKNOWN"},
		"update nothing in particular": {func() error {
			_, err := b.UpdatePhrase(ctx, &phrasebookpb.UpdatePhraseRequest{Phrase: &phrasebookpb.Phrase{Text: "{name}"}})
			return err
		}, errs.Invalid, "INVALID_FIELD"},
		"update an unknown field": {func() error {
			_, err := b.UpdatePhrase(ctx, &phrasebookpb.UpdatePhraseRequest{Phrase: &phrasebookpb.Phrase{Name: hello, Text: "{name}"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"colour"}}})
			return err
		}, errs.Invalid, "INVALID_FIELD"},
		"update what has changed": {func() error {
			_, err := b.UpdatePhrase(ctx, &phrasebookpb.UpdatePhraseRequest{Phrase: &phrasebookpb.Phrase{Name: hello, Text: "{name}", Etag: "old"}})
			return err
		}, errs.Aborted, "ETAG_MISMATCH"},
		"delete what has changed": {func() error {
			_, err := b.DeletePhrase(ctx, &phrasebookpb.DeletePhraseRequest{Name: hello, Etag: "old"})
			return err
		}, errs.Aborted, "ETAG_MISMATCH"},
		"a page token of another list": {func() error {
			_, err := b.ListPhrases(ctx, &phrasebookpb.ListPhrasesRequest{Parent: "languages/de", PageToken: token})
			return err
		}, errs.Invalid, "PAGE_TOKEN_INVALID"},
		"a page token made up": {func() error {
			_, err := b.ListPhrases(ctx, &phrasebookpb.ListPhrasesRequest{Parent: "languages/de", PageToken: "%%%"})
			return err
		}, errs.Invalid, "PAGE_TOKEN_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.call()
			require.Equal(t, test.kind, errs.Of(err))
			require.Equal(t, test.reason, status.Convert(err).Details()[0].(*errdetails.ErrorInfo).GetReason())
		})
	}
}

func TestPagesAreHandedOnByToken(t *testing.T) {
	b := book(t)
	var names []string
	req := &phrasebookpb.ListPhrasesRequest{Parent: "languages/-", PageSize: 3}
	for range 3 {
		res, err := b.ListPhrases(t.Context(), req)
		require.NoError(t, err)
		for _, p := range res.GetPhrases() {
			names = append(names, p.GetName())
		}
		req.PageToken = res.GetNextPageToken()
	}
	require.Empty(t, req.GetPageToken())
	require.Len(t, names, 8)
	require.IsIncreasing(t, names)
}
