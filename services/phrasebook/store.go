package phrasebook

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/app/platform/errs"
	"example.com/app/services/phrasebook/phrasebookpb"
)

// maxPhrases bounds what one instance keeps.
const maxPhrases = 100_000

// A store keeps phrases by name. What it returns is the caller's.
type store struct {
	now func() time.Time

	mu      sync.RWMutex
	phrases map[string]*phrasebookpb.Phrase // never changed, only replaced
	names   []string                        // sorted
	version uint64                          // of the last change; etags are made of it
}

func newStore(now func() time.Time) *store {
	return &store{now: now, phrases: make(map[string]*phrasebookpb.Phrase)}
}

func (s *store) get(name string) (*phrasebookpb.Phrase, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, ok := s.phrases[name]
	if !ok {
		return nil, notFound(name)
	}
	return p, nil // shared: gRPC only reads it
}

// list returns the phrases of a parent whose names come after another, in
// order, at most size, and whether there are more.
func (s *store) list(parent, after string, size int) (page []*phrasebookpb.Phrase, more bool) {
	prefix := parent + "/phrases/"
	if parent == "languages/-" {
		prefix = "languages/"
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	from, found := slices.BinarySearch(s.names, max(prefix, after))
	if found && after != "" {
		from++
	}
	for _, name := range s.names[from:] {
		if !strings.HasPrefix(name, prefix) {
			break
		}
		if len(page) == size {
			return page, true
		}
		page = append(page, s.phrases[name])
	}
	return page, false
}

func (s *store) create(name, text string) (*phrasebookpb.Phrase, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := slices.BinarySearch(s.names, name)
	if found {
		return nil, errs.Exists.New("%s exists already", name).Because("PHRASE_EXISTS", "name", name)
	}
	if len(s.names) >= maxPhrases {
		return nil, errs.Exhausted.New("the phrasebook is full: it holds %d phrases; delete some", maxPhrases).Because("PHRASEBOOK_FULL")
	}
	now := timestamppb.New(s.now())
	p := &phrasebookpb.Phrase{Name: name, Text: text, CreateTime: now, UpdateTime: now}
	s.names = slices.Insert(s.names, at, name)
	return s.put(p), nil
}

func (s *store) update(name, text, etag string) (*phrasebookpb.Phrase, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.expect(name, etag)
	if err != nil {
		return nil, err
	}
	p := proto.CloneOf(old)
	p.Text, p.UpdateTime = text, timestamppb.New(s.now())
	return s.put(p), nil
}

func (s *store) delete(name, etag string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.expect(name, etag); err != nil {
		return err
	}
	delete(s.phrases, name)
	at, _ := slices.BinarySearch(s.names, name)
	s.names = slices.Delete(s.names, at, at+1)
	return nil
}

// expect returns the phrase if it is there and, where an etag is given, as it
// was read. The lock is held.
func (s *store) expect(name, etag string) (*phrasebookpb.Phrase, error) {
	p, ok := s.phrases[name]
	if !ok {
		return nil, notFound(name)
	}
	if etag != "" && etag != p.GetEtag() {
		return nil, errs.Aborted.New("%s was changed since it was read: read it again and retry", name).Because("ETAG_MISMATCH", "name", name)
	}
	return p, nil
}

// put stores p under a new etag. The lock is held.
func (s *store) put(p *phrasebookpb.Phrase) *phrasebookpb.Phrase {
	s.version++
	p.Etag = strconv.FormatUint(s.version, 36)
	s.phrases[p.GetName()] = p
	return p
}

func notFound(name string) error {
	return errs.NotFound.New("%s does not exist", name).Because("PHRASE_UNKNOWN", "name", name)
}

// A page token is the parent and the last name of the page, so that pages stay
// right while phrases come and go. It is opaque to callers.
func writeToken(parent, last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(parent + "\n" + last))
}

func readToken(token, parent string) (last string, err error) {
	if token == "" {
		return "", nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	of, last, ok := strings.Cut(string(text), "\n")
	if err != nil || !ok || of != parent {
		return "", errs.Invalid.New("page_token: not one that listing %s returned", parent).
			Because("PAGE_TOKEN_INVALID").Field("page_token", "unknown", "not one that listing %s returned", parent)
	}
	return last, nil
}
