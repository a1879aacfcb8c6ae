// Package greeter greets people in their language, with the phrases of the
// phrasebook.
package greeter

import (
	"cmp"
	"context"
	_ "embed" // the OpenAPI document
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/services/greeter/greeterpb"
	"example.com/app/services/phrasebook/phrasebookpb"
)

//go:embed greeterpb/greeter.openapi.json
var openAPI []byte

// Role greets.
var Role = app.Role{
	Name:     "greeter",
	Doc:      "greets people in their language",
	Replicas: 2,
	Callers:  []string{"gateway"},
	New:      New,
	HTTP:     greeterpb.RegisterGreeterHandler,
	OpenAPI:  openAPI,
	Load:     []string{"GET /v1/greetings/Ada", "GET /v1/greetings/Grace?language=de", "GET /v1/greetings/Alan?language=ja"},
}

// phrase is the id of the phrase that people are greeted with, in every
// language.
const phrase = "greeting"

type greeter struct {
	greeterpb.UnimplementedGreeterServer
	instance string
	phrases  phrasebookpb.PhrasebookClient
}

// New builds a greeter.
func New(env *app.Env) (app.Service, error) {
	conn, err := env.Dial("phrasebook")
	if err != nil {
		return nil, err
	}
	return &greeter{instance: env.Instance, phrases: phrasebookpb.NewPhrasebookClient(conn)}, nil
}

// Register adds the greeter to a server.
func (g *greeter) Register(s grpc.ServiceRegistrar) { greeterpb.RegisterGreeterServer(s, g) }

// SayHello greets in one language.
func (g *greeter) SayHello(ctx context.Context, req *greeterpb.SayHelloRequest) (*greeterpb.SayHelloResponse, error) {
	return g.greet(ctx, req.GetName(), cmp.Or(req.GetLanguage(), "en"))
}

// SayHelloStream greets in several languages, one message each.
func (g *greeter) SayHelloStream(req *greeterpb.SayHelloStreamRequest, stream grpc.ServerStreamingServer[greeterpb.SayHelloResponse]) error {
	languages := req.GetLanguages()
	if len(languages) == 0 {
		var err error
		if languages, err = g.languages(stream.Context()); err != nil {
			return err
		}
	}
	for _, language := range languages {
		hello, err := g.greet(stream.Context(), req.GetName(), language)
		if err != nil {
			return err
		}
		if err := stream.Send(hello); err != nil {
			return err
		}
	}
	return nil
}

func (g *greeter) greet(ctx context.Context, name, language string) (*greeterpb.SayHelloResponse, error) {
	found, err := g.phrases.GetPhrase(ctx, &phrasebookpb.GetPhraseRequest{Name: "languages/" + language + "/phrases/" + phrase})
	if errs.NotFound.Is(err) {
		return nil, errs.NotFound.New("no greeting in language %q", language).Because("LANGUAGE_UNKNOWN", "language", language)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the phrasebook: %w", err)
	}
	return &greeterpb.SayHelloResponse{
		Message:  strings.Replace(found.GetText(), "{name}", name, 1),
		Language: language,
		ServedBy: g.instance,
	}, nil
}

// languages lists, sorted, those that have a greeting.
func (g *greeter) languages(ctx context.Context) ([]string, error) {
	var all []string
	req := &phrasebookpb.ListPhrasesRequest{Parent: "languages/-", PageSize: 1000}
	for {
		page, err := g.phrases.ListPhrases(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("ask the phrasebook: %w", err)
		}
		for _, p := range page.GetPhrases() {
			if language, ok := strings.CutSuffix(strings.TrimPrefix(p.GetName(), "languages/"), "/phrases/"+phrase); ok {
				all = append(all, language)
			}
		}
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			slices.Sort(all)
			return all, nil
		}
	}
}
