package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/pflag"
)

const adminBytes = 16 << 20 // of an answer of the admin port

// adminPort is that of a running process, as the flags name it.
type adminPort struct{ addr, tokenFile string }

// flags adds the flags of commands that ask a running process.
func (p *adminPort) flags(f *pflag.FlagSet) {
	f.StringVar(&p.addr, "admin", "127.0.0.1:9090", "admin address of the process to ask")
	f.StringVar(&p.tokenFile, "admin-token-file", "", "file that holds the token of that address, - is stdin; needed where it is not loopback")
}

// get asks for a page and returns its JSON in into.
func (p *adminPort) get(ctx context.Context, stdin io.Reader, page url.URL, into any) error {
	token, err := AdminToken(stdin, p.tokenFile)
	if err != nil {
		return err
	}
	page.Scheme, page.Host = "http", p.addr
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page.String(), nil)
	if err != nil {
		return usage("--admin %q: %w", p.addr, err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+string(token))
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes nowhere else
	}
	res, err := client.Do(req)
	if err != nil {
		if broken := (*url.Error)(nil); errors.As(err, &broken) {
			err = broken.Err // without the address twice
		}
		return &HintError{fmt.Errorf("ask %s: %w", p.addr, err), "is a process running, and is that its --admin address?"}
	}
	defer func() { _ = res.Body.Close() }()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return &HintError{fmt.Errorf("ask %s: %s", p.addr, res.Status), "it wants the token it was started with: --admin-token-file=FILE"}
	case http.StatusForbidden:
		return &HintError{fmt.Errorf("ask %s: %s", p.addr, res.Status), "a loopback address is asked for as localhost or 127.0.0.1"}
	default:
		return fmt.Errorf("ask %s: %s", p.addr, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, adminBytes)).Decode(into); err != nil {
		return fmt.Errorf("ask %s: %w", p.addr, err)
	}
	return nil
}
