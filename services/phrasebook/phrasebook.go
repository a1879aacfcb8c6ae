// Package phrasebook keeps the phrases that people are greeted with, by
// language.
//
// An instance keeps its phrases in memory, and each starts with the same ones:
// an edit is seen through the instance that took it, and is gone when that
// instance is. Run one instance where phrases are edited.
package phrasebook

import (
	"context"
	_ "embed" // the OpenAPI document

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/services/phrasebook/phrasebookpb"
)

//go:embed phrasebookpb/phrasebook.openapi.json
var openAPI []byte

// Role keeps phrases.
var Role = app.Role{
	Name:    "phrasebook",
	Callers: []string{"gateway", "greeter"},
	Doc:     "keeps the phrases, by language, in memory: run one where they are edited",
	New:     New,
	HTTP:    phrasebookpb.RegisterPhrasebookHandler,
	OpenAPI: openAPI,
	Load:    []string{"GET /v1/languages/en/phrases?page_size=10"},
}

type phrasebook struct {
	phrasebookpb.UnimplementedPhrasebookServer
	store *store
}

// New builds a phrasebook with a greeting in a few languages.
func New(env *app.Env) (app.Service, error) {
	s := newStore(env.Now)
	for _, p := range [][2]string{
		{"de", "Hallo, {name}!"},
		{"en", "Hello, {name}!"},
		{"es", "¡Hola, {name}!"},
		{"fr", "Bonjour, {name} !"},
		{"it", "Ciao, {name}!"},
		{"ja", "こんにちは、{name}さん！"},
		{"pt-BR", "Olá, {name}!"},
		{"sw", "Habari, {name}!"},
	} {
		if _, err := s.create("languages/"+p[0]+"/phrases/greeting", p[1]); err != nil {
			return nil, err
		}
	}
	return &phrasebook{store: s}, nil
}

// Register adds the phrasebook to a server.
func (p *phrasebook) Register(s grpc.ServiceRegistrar) { phrasebookpb.RegisterPhrasebookServer(s, p) }

// GetPhrase returns one phrase.
func (p *phrasebook) GetPhrase(_ context.Context, req *phrasebookpb.GetPhraseRequest) (*phrasebookpb.Phrase, error) {
	return p.store.get(req.GetName())
}

// ListPhrases returns a page of the phrases of a language, or of all (AIP-158,
// AIP-159).
func (p *phrasebook) ListPhrases(_ context.Context, req *phrasebookpb.ListPhrasesRequest) (*phrasebookpb.ListPhrasesResponse, error) {
	after, err := readToken(req.GetPageToken(), req.GetParent())
	if err != nil {
		return nil, err
	}
	size := int(req.GetPageSize())
	if size == 0 {
		size = 50
	}
	phrases, more := p.store.list(req.GetParent(), after, min(size, 1000))
	res := &phrasebookpb.ListPhrasesResponse{Phrases: phrases}
	if more {
		res.NextPageToken = writeToken(req.GetParent(), phrases[len(phrases)-1].GetName())
	}
	return res, nil
}

// CreatePhrase adds a phrase.
func (p *phrasebook) CreatePhrase(_ context.Context, req *phrasebookpb.CreatePhraseRequest) (*phrasebookpb.Phrase, error) {
	return p.store.create(req.GetParent()+"/phrases/"+req.GetPhraseId(), req.GetPhrase().GetText())
}

// UpdatePhrase changes the text of a phrase. The gateway names every field of
// a PATCH in the mask, so those that can't be changed are let pass (AIP-203).
func (p *phrasebook) UpdatePhrase(_ context.Context, req *phrasebookpb.UpdatePhraseRequest) (*phrasebookpb.Phrase, error) {
	change := len(req.GetUpdateMask().GetPaths()) == 0
	for _, path := range req.GetUpdateMask().GetPaths() {
		switch path {
		case "text", "*":
			change = true
		case "name", "etag", "create_time", "update_time":
		default:
			return nil, errs.Invalid.New("update_mask: a phrase has no field %q", path).
				Because("INVALID_FIELD").Field("update_mask", "unknown", "a phrase has no field %q", path)
		}
	}
	name := req.GetPhrase().GetName()
	if name == "" {
		return nil, errs.Invalid.New("phrase.name: which phrase to change is missing").
			Because("INVALID_FIELD").Field("phrase.name", "required", "which phrase to change is missing")
	}
	if !change {
		return p.store.get(name)
	}
	return p.store.update(name, req.GetPhrase().GetText(), req.GetPhrase().GetEtag())
}

// DeletePhrase removes a phrase.
func (p *phrasebook) DeletePhrase(_ context.Context, req *phrasebookpb.DeletePhraseRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, p.store.delete(req.GetName(), req.GetEtag())
}
