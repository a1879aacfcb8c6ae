package command

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
	"golang.org/x/oauth2"
)

// keptToken is a token in a file, locked: of two programs that refresh one
// token at a time, the second would look like a thief to the issuer.
type keptToken struct {
	file   string        // empty: nothing is kept
	token  *oauth2.Token // nil: none is kept
	unlock func()
}

// tokenFile is what the file holds.
type tokenFile struct {
	Access  string    `json:"access_token"`
	Refresh string    `json:"refresh_token,omitempty"`
	Expiry  time.Time `json:"expiry"`
}

// open locks the file of what was asked for, and reads it. A file that others
// may read or that makes no sense counts for nothing.
func (l *login) open() (*keptToken, error) {
	if l.cache == "" {
		return &keptToken{unlock: func() {}}, nil
	}
	if err := os.MkdirAll(l.cache, 0o700); err != nil {
		return nil, &HintError{fmt.Errorf("keep tokens: %w", err), "XDG_CACHE_HOME says where"}
	}
	scopes := slices.Sorted(slices.Values(l.scopes))
	flow := map[bool]string{true: "device", false: "client"}[l.device]
	sum := sha256.Sum256([]byte(strings.Join([]string{l.issuer, flow, l.clientID, strings.Join(scopes, " "), l.resource, l.audience}, "\x00")))
	k := &keptToken{file: filepath.Join(l.cache, hex.EncodeToString(sum[:16])+".json")}
	var err error
	if k.unlock, err = lockedfile.MutexAt(k.file + ".lock").Lock(); err != nil {
		return nil, fmt.Errorf("keep tokens: %w", err)
	}
	k.token = k.read()
	return k, nil
}

func (k *keptToken) close() { k.unlock() }

func (k *keptToken) read() *oauth2.Token {
	f, err := os.Open(k.file)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil
	}
	var held tokenFile
	if json.NewDecoder(io.LimitReader(f, secretBytes)).Decode(&held) != nil || held.Access == "" {
		return nil
	}
	return &oauth2.Token{AccessToken: held.Access, RefreshToken: held.Refresh, Expiry: held.Expiry}
}

// write puts a token in the place of the last, at once: who is killed in
// between leaves the old one.
func (k *keptToken) write(t *oauth2.Token) error {
	if k.file == "" {
		return nil
	}
	text, err := json.MarshalIndent(tokenFile{Access: t.AccessToken, Refresh: t.RefreshToken, Expiry: t.Expiry}, "", "  ") //nolint:gosec // to be kept
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(k.file), "new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), k.file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
