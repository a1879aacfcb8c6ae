package oauth

import (
	"crypto/rand"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/account"
	"example.com/app/services/issuer/page"
)

const (
	letters    = "BCDFGHJKLMNPQRSTVWXZ" // of user codes: no vowels, so no words (RFC 8628 section 6.1)
	codeLength = 8                      // 20^8 codes, guessed at a few a minute
	pollEvery  = 5 * time.Second
)

// authorizeDevice begins the flow of a device that has no browser (RFC 8628
// section 3.1).
func (s *Server) authorizeDevice(w http.ResponseWriter, r *http.Request) {
	answer, err := s.beginDevice(r)
	if err != nil {
		s.sayRefusal(w, err)
		return
	}
	sayJSON(w, http.StatusOK, answer)
}

func (s *Server) beginDevice(r *http.Request) (map[string]any, error) {
	f, err := form(r)
	if err != nil {
		return nil, err
	}
	c, err := s.client(r, f)
	if err != nil {
		return nil, err
	}
	if !c.May(account.DeviceGrant) {
		return nil, refuse(unauthorizedClient, "the client may not use the device flow")
	}
	scopes, err := permitted(c, f.Get("scope"))
	if err != nil {
		return nil, err
	}
	resources, err := s.targets(f)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if err := s.byAddress.take(address(r), now); err != nil {
		return nil, err
	}
	device, typed, ends := rand.Text()+rand.Text(), userCode(), now.Add(s.cfg.Device)
	if err := s.store.Put(Devices, hashed(device), Record{
		Client: c.ID, Scopes: scopes, Resources: resources, Interval: pollEvery, Deadline: ends, Expires: ends.Add(s.cfg.Device),
	}); err != nil {
		return nil, err
	}
	if err := s.store.Put(Typed, hashed(typed), Record{Of: hashed(device), Expires: ends}); err != nil {
		return nil, err
	}
	shown := typed[:codeLength/2] + "-" + typed[codeLength/2:]
	at := s.cfg.Issuer + "/oauth2/device"
	return map[string]any{
		"device_code": device, "user_code": shown, "verification_uri": at, "verification_uri_complete": at + "?user_code=" + shown,
		"expires_in": int(s.cfg.Device / time.Second), "interval": int(pollEvery / time.Second),
	}, nil
}

func userCode() string {
	b := make([]byte, codeLength)
	for i := range b {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic(err) // crypto/rand never fails
		}
		b[i] = letters[n.Int64()]
	}
	return string(b)
}

// plain is a code as it was made, however it was typed.
func plain(code string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(code))
}

// devicePage asks for a code, and then whether the device may have what it wants.
func (s *Server) devicePage(w http.ResponseWriter, r *http.Request) {
	code := r.URL.Query().Get("user_code")
	cookie, session, in := s.visitor(r)
	if !in {
		s.askLogin(w, r, &url.URL{Path: "/oauth2/device", RawQuery: url.Values{"user_code": {code}}.Encode()}, nil)
		return
	}
	shown := page.Page{Name: "code", Title: "Connect a device", Mark: s.mark(cookie), User: s.called(session.Subject)}
	if code == "" {
		s.pages.Show(w, http.StatusOK, shown)
		return
	}
	device, _, err := s.typed(r, code)
	if err != nil {
		problem := s.asRefusal(err)
		retryAfter(w, problem.wait)
		shown.Problem = problem.Text
		s.pages.Show(w, problem.status, shown)
		return
	}
	c, err := s.cfg.Accounts.Client(device.Client)
	if err != nil {
		s.sayPage(w, err)
		return
	}
	shown.Name, shown.Title, shown.Client, shown.Scopes, shown.Code = "device", "Allow this device?", title(c), page.Scopes(device.Scopes), code
	s.pages.Show(w, http.StatusOK, shown)
}

// typed finds the device that shows a code. Guesses are counted by address.
func (s *Server) typed(r *http.Request, code string) (Record, string, error) {
	if err := s.byAddress.take(address(r), s.cfg.Now()); err != nil {
		return Record{}, "", err
	}
	t, ok := find(s.store, Typed, hashed(plain(code)))
	device, found := find(s.store, Devices, t.Of)
	if !ok || !found || device.State != Pending {
		return Record{}, "", refuse(invalidGrant, "That code is not known, or it is too old.")
	}
	return device, t.Of, nil
}

// device takes the person's decision.
func (s *Server) device(w http.ResponseWriter, r *http.Request) {
	f, _, err := s.posted(r)
	if err != nil {
		s.sayPage(w, err)
		return
	}
	_, session, in := s.visitor(r)
	if !in {
		s.sayPage(w, &refusal{Code: loginRequired, Text: "you are logged out: go back and try again", status: http.StatusForbidden})
		return
	}
	_, key, err := s.typed(r, f.Get("user_code"))
	if err != nil {
		s.sayPage(w, err)
		return
	}
	text, state := "The device gets no access.", Refused
	if f.Get("decision") == "allow" {
		text, state = "The device has access now. You may close this page.", Approved
	}
	err = s.store.Edit(Devices, key, func(d *Record) error {
		if d.State != Pending {
			return refuse(invalidGrant, "that was decided before")
		}
		d.State, d.Subject, d.AuthTime, d.Login, d.Family = state, session.Subject, session.AuthTime, session.Login, rand.Text()
		return nil
	})
	s.store.Delete(Typed, hashed(plain(f.Get("user_code"))))
	if errs.NotFound.Is(err) {
		err = refuse(invalidGrant, "that code is too old")
	}
	if err != nil {
		s.sayPage(w, err)
		return
	}
	s.pages.Show(w, http.StatusOK, page.Page{Name: "message", Title: "Done", Text: text})
}
