package account

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/rogpeppe/go-internal/lockedfile"

	"example.com/app/platform/errs"
)

// filesHaveOwners: the permissions that Windows shows say nothing.
const filesHaveOwners = runtime.GOOS != "windows"

const mostBytes = 16 << 20 // of a file

// file is a list in a JSON file, read again when the file has changed.
type file[T any] struct {
	path  string
	check func(*T) error

	mu   sync.Mutex
	seen os.FileInfo
	list []T
}

// read returns the list, which nobody may change. A nil file is empty.
func (f *file[T]) read() ([]T, error) {
	if f == nil {
		return nil, nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	f.mu.Lock()
	seen, list := f.seen, f.list
	f.mu.Unlock()
	if seen != nil && os.SameFile(seen, info) && seen.ModTime().Equal(info.ModTime()) && seen.Size() == info.Size() {
		return list, nil
	}
	if list, err = readList(f.path, f.check); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.list = info, list
	return list, nil
}

func readList[T any](path string, check func(*T) error) ([]T, error) {
	data, err := ReadPrivate(path)
	if err != nil {
		return nil, err
	}
	var list []T
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, errs.Precondition.New("%s: %w", path, err)
	}
	for i := range list {
		if err := check(&list[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return list, nil
}

func writeList[T any](path string, list []T) error {
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return WritePrivate(path, append(data, '\n'))
}

// ReadPrivate reads a file that its owner alone may read: others are
// errs.Denied. A file that is not there is fs.ErrNotExist.
func ReadPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := private(path, info); err != nil {
		return nil, err
	}
	if info.Size() > mostBytes {
		return nil, errs.Invalid.New("%s is larger than %d bytes", path, mostBytes)
	}
	return os.ReadFile(path)
}

// WritePrivate replaces a file that its owner alone may read: whoever reads it
// at that moment sees the old one or the new one whole.
func WritePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already where all went well
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// locked has one process at a time change the files of a directory, which is
// made where it is missing.
func locked(dir string, change func() error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(dir, "lock")).Lock()
	if err != nil {
		return err
	}
	defer unlock()
	return change()
}

// furnish makes the files that a directory does not hold yet.
func furnish(dir string, h *hasher) error {
	return locked(dir, func() error {
		clients, users := filepath.Join(dir, "clients.json"), filepath.Join(dir, "users.json")
		if _, err := os.Stat(clients); errors.Is(err, fs.ErrNotExist) {
			secret := rand.Text() + rand.Text()
			if err := WritePrivate(filepath.Join(dir, "demo.secret"), []byte(secret+"\n")); err != nil {
				return err
			}
			if err := writeList(clients, []Client{demo(secret)}); err != nil {
				return err
			}
		}
		if _, err := os.Stat(users); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		password := rand.Text()
		hash, err := h.hash(context.Background(), password)
		if err != nil {
			return err
		}
		if err := WritePrivate(filepath.Join(dir, "demo.password"), []byte(password+"\n")); err != nil {
			return err
		}
		return writeList(users, []User{{Name: "demo", Subject: rand.Text(), Display: "Demo", Password: hash}})
	})
}

// demo is the confidential client for development.
func demo(secret string) Client {
	return Client{ID: "demo", Name: "Demo", SecretHash: HashSecret(secret),
		Grants: []string{"client_credentials", DeviceGrant, "refresh_token"},
		Scopes: []string{"greetings.read", "phrases.read", "phrases.write", "openid", "profile", "offline_access"}}
}

// DeviceGrant is the grant type of RFC 8628 section 3.4.
const DeviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// public is the clients that every issuer has and that keep no secret: the
// gateway's pages, and the command line.
func public(url string) []Client {
	scopes := []string{"openid", "profile", "greetings.read", "phrases.read", "phrases.write"}
	return []Client{
		{ID: "gateway", Name: "The browser pages of this system", Redirects: []string{url + "/auth/callback"},
			LogoutRedirects: []string{url + "/"}, Grants: []string{"authorization_code", "refresh_token"}, Scopes: scopes},
		{ID: "app", Name: "The command line", Grants: []string{DeviceGrant, "refresh_token"}, Scopes: append(scopes[:5:5], "offline_access")},
	}
}

// SetPassword gives a user of a directory a new password; a user who is not
// there is made. An issuer that runs knows at the next login.
func SetPassword(dir, user, password string) error {
	if user == "" || password == "" {
		return errs.Invalid.New("set a password: want a user and a password")
	}
	hash, err := HashPassword(context.Background(), password)
	if err != nil {
		return fmt.Errorf("set the password of %s: %w", user, err)
	}
	return locked(dir, func() error {
		path := filepath.Join(dir, "users.json")
		list, err := readList(path, checkUser)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set the password of %s: %w", user, err)
		}
		i := slices.IndexFunc(list, func(u User) bool { return u.Name == user })
		if i < 0 {
			i, list = len(list), append(list, User{Name: user, Subject: rand.Text(), Display: user})
		}
		list[i].Password = hash
		if err := writeList(path, list); err != nil {
			return fmt.Errorf("set the password of %s: %w", user, err)
		}
		return nil
	})
}
