// Package account knows the users and the clients of an issuer.
//
// They are kept in a directory, in files that only their owner may read:
// clients.json and users.json. Both may be edited while the issuer runs; it
// reads them again when they change. Without a directory they are in memory,
// and those handed in are all there are.
package account

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"example.com/app/platform/errs"
)

// A Client is a program that asks for tokens (RFC 6749 section 2).
type Client struct {
	ID              string   `json:"client_id"`
	Name            string   `json:"client_name,omitempty"`   // for people
	SecretHash      string   `json:"secret_sha256,omitempty"` // of its secret, in hex; empty: a public client
	Redirects       []string `json:"redirect_uris,omitempty"`
	LogoutRedirects []string `json:"post_logout_redirect_uris,omitempty"`
	Grants          []string `json:"grant_types"`
	Scopes          []string `json:"scopes"`          // it may ask for
	Roles           []string `json:"roles,omitempty"` // it has when it acts for itself
}

// Public says whether the client has no secret to show (RFC 6749 section 2.1).
func (c *Client) Public() bool { return c.SecretHash == "" }

// May says whether the client may use a grant type.
func (c *Client) May(grant string) bool { return slices.Contains(c.Grants, grant) }

// Shows tells whether a secret is the client's, in a time that does not depend
// on where they differ. One quick hash is enough: secrets are random, not
// thought out by people.
func (c *Client) Shows(secret string) bool {
	return c.SecretHash != "" && subtle.ConstantTimeCompare([]byte(HashSecret(secret)), []byte(c.SecretHash)) == 1
}

// HashSecret is what is kept of a client's secret.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// A User is a person who may log in.
type User struct {
	Name     string   `json:"name"`    // typed at the login page
	Subject  string   `json:"subject"` // in tokens; never given to anybody else (OpenID Connect Core section 2)
	Display  string   `json:"display,omitempty"`
	Password string   `json:"password"` // a PHC string
	Roles    []string `json:"roles,omitempty"`
}

// Config says where accounts are.
type Config struct {
	Dir       string   // empty: all is in memory
	PublicURL string   // of the gateway, whose client is sent back there
	Clients   []Client // besides those of the directory
	Users     []User   // besides those of the directory
	Cost      Cost     // of checking a password
}

// Accounts are the users and clients of an issuer. Its methods may be called
// from many goroutines.
type Accounts struct {
	cfg     Config
	hasher  *hasher
	decoy   string // the hash that names nobody has are checked against
	clients *file[Client]
	users   *file[User]
}

// Open reads the accounts. What a directory does not hold yet is made, with a
// client and a user for development whose secrets lie beside it.
func Open(cfg Config) (*Accounts, error) {
	a := &Accounts{cfg: cfg, hasher: newHasher(cfg.Cost)}
	if cfg.Dir != "" {
		if err := furnish(cfg.Dir, a.hasher); err != nil {
			return nil, fmt.Errorf("open the accounts: %w", err)
		}
		a.clients = &file[Client]{path: filepath.Join(cfg.Dir, "clients.json"), check: checkClient}
		a.users = &file[User]{path: filepath.Join(cfg.Dir, "users.json"), check: checkUser}
	}
	var err error
	if a.decoy, err = a.hasher.hash(context.Background(), "nobody has this"); err != nil {
		return nil, err
	}
	for _, c := range cfg.Clients {
		if err := checkClient(&c); err != nil {
			return nil, fmt.Errorf("open the accounts: %w", err)
		}
	}
	for _, u := range cfg.Users {
		if err := checkUser(&u); err != nil {
			return nil, fmt.Errorf("open the accounts: %w", err)
		}
	}
	if _, err = a.listClients(); err == nil {
		_, err = a.listUsers()
	}
	if err != nil {
		return nil, fmt.Errorf("open the accounts: %w", err)
	}
	return a, nil
}

// listClients has those that every issuer has at the end: a directory may
// describe them in another way.
func (a *Accounts) listClients() ([]Client, error) {
	kept, err := a.clients.read()
	return slices.Concat(a.cfg.Clients, kept, public(a.cfg.PublicURL)), err
}

func (a *Accounts) listUsers() ([]User, error) {
	kept, err := a.users.read()
	return append(slices.Clone(a.cfg.Users), kept...), err
}

// Client finds a client by its id: errs.NotFound where there is none.
func (a *Accounts) Client(id string) (*Client, error) {
	all, err := a.listClients()
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].ID == id {
			return &all[i], nil
		}
	}
	return nil, errs.NotFound.New("no client is called %q", id)
}

// User finds a user by the subject that tokens name: errs.NotFound where there
// is none.
func (a *Accounts) User(subject string) (*User, error) {
	all, err := a.listUsers()
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Subject == subject {
			return &all[i], nil
		}
	}
	return nil, errs.NotFound.New("no user has the subject %q", subject)
}

// Login finds the user with a name and a password. A wrong name is refused as a
// wrong password is, with errs.Unauthenticated and after as long a time. It waits
// for its turn: hashes are made a few at a time, since each takes memory.
func (a *Accounts) Login(ctx context.Context, name, password string) (*User, error) {
	all, err := a.listUsers()
	if err != nil {
		return nil, err
	}
	kept := User{Password: a.decoy}
	if i := slices.IndexFunc(all, func(u User) bool { return u.Name == name }); i >= 0 {
		kept = all[i]
	}
	ok, err := a.hasher.verify(ctx, cmp.Or(kept.Password, a.decoy), password)
	if err != nil {
		return nil, err
	}
	if !ok || kept.Subject == "" {
		return nil, errs.Unauthenticated.New("the name or the password is wrong")
	}
	return &kept, nil
}

func checkClient(c *Client) error {
	if c.ID == "" || len(c.Grants) == 0 {
		return errs.Invalid.New("client %q: want a client_id and grant_types", c.ID)
	}
	if sum, err := hex.DecodeString(c.SecretHash); err != nil || len(sum) != 0 && len(sum) != sha256.Size {
		return errs.Invalid.New("client %q: secret_sha256 is not the SHA-256 of a secret in hex", c.ID)
	}
	if c.Public() && c.May("client_credentials") {
		return errs.Invalid.New("client %q: client_credentials needs a secret (RFC 6749 section 4.4)", c.ID)
	}
	for _, uri := range slices.Concat(c.Redirects, c.LogoutRedirects) {
		if err := checkRedirect(uri); err != nil {
			return fmt.Errorf("client %q: %w", c.ID, err)
		}
	}
	return nil
}

func checkUser(u *User) error {
	if u.Name == "" || u.Subject == "" {
		return errs.Invalid.New("user %q: want a name and a subject", u.Name)
	}
	if _, err := parsePHC(u.Password); err != nil {
		return fmt.Errorf("user %q: %w", u.Name, err)
	}
	return nil
}

// private refuses a file that others than its owner may read.
func private(path string, info os.FileInfo) error {
	if filesHaveOwners && info.Mode().Perm()&0o077 != 0 {
		return errs.Denied.New("%s may be read by others (%v): chmod 600 it, and change what is in it", path, info.Mode().Perm())
	}
	return nil
}
