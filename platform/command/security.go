package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"example.com/app/platform/app"
	"example.com/app/platform/edge"
	"example.com/app/platform/identity"
	"example.com/app/platform/identity/connect"
	"example.com/app/platform/registry/consul"
)

// securing is what `app serve` was asked for that concerns who is who, and who
// may what.
type securing struct {
	insecure                    bool
	identity, domain            string
	cert, key, ca               string
	publicURL, issuer, audience string
	issuerDir                   string
	adminTokenFile              string

	tlsCert, tlsKey                            string
	rates, origins, proxies                    []string
	sessionKeyFile, clientID, clientSecretFile string
}

func (s *securing) flags(f *pflag.FlagSet) {
	f.BoolVar(&s.insecure, "insecure", false, "no certificates, no tokens, no rules: for a test")
	f.StringVar(&s.identity, "identity", "auto", "who hands out certificates: memory, consul, files; auto is memory with a memory registry, consul with Consul")
	f.StringVar(&s.domain, "trust-domain", "", "trust domain of the certificates' SPIFFE ids; default: that of the CA")
	f.StringVar(&s.cert, "identity-cert", "", "certificate chain for --identity=files, PEM")
	f.StringVar(&s.key, "identity-key", "", "its private key, PEM, in a file that nobody else may read")
	f.StringVar(&s.ca, "identity-ca", "", "roots that certificates of others must lead to, PEM")
	f.StringVar(&s.publicURL, "public-url", "", "URL of the gateway as a browser sees it; default: http://localhost and the port of --http")
	f.StringVar(&s.issuer, "issuer", "", "URL of an OAuth2 issuer of your own, as in https://id.example.com; default: the role issuer, at --public-url")
	f.StringVar(&s.audience, "audience", "app", "the audience that access tokens must name")
	f.StringVar(&s.issuerDir, "issuer-dir", defaultIssuerDir(), "where the role issuer keeps keys, clients and users; empty: in memory")
	f.StringVar(&s.tlsCert, "tls-cert", "", "certificate chain of the gateway for browsers, PEM; read again when it changes")
	f.StringVar(&s.tlsKey, "tls-key", "", "its private key, PEM, in a file that nobody else may read")
	f.StringArrayVar(&s.rates, "rate", nil, "requests of one client at the gateway, as in 100/s,burst=200, or off, or under a path, as in /v1/greetings=10/s (may be repeated); default 1000/s,burst=2000")
	f.StringSliceVar(&s.origins, "cors", nil, "web origin whose scripts may read answers, as in https://app.example.com (may be repeated)")
	f.StringSliceVar(&s.proxies, "trusted-proxy", nil, "network of proxies in front of the gateway that are believed about whom they speak for, as in 10.0.0.0/8 (may be repeated)")
	f.StringVar(&s.sessionKeyFile, "session-key-file", "", "file with the key of browser sessions, 32 bytes or more, the same for all gateways; default: a random one")
	f.StringVar(&s.clientID, "client-id", "gateway", "the gateway's client id at the issuer, for browsers that log in")
	f.StringVar(&s.clientSecretFile, "client-secret-file", "", "file with its client secret; none: a public client")
	f.StringVar(&s.adminTokenFile, "admin-token-file", "", "file with the token that the admin port asks for; needed where it is not on loopback")
}

// secure fills in the security of a node.
func (s *serving) secure(cfg *app.Config, whole bool, stdin io.Reader) error {
	registry := s.kind(whole)
	cfg.Security = app.Security{
		Insecure: s.insecure, PublicURL: strings.TrimSuffix(s.publicURL, "/"), Issuer: strings.TrimSuffix(s.issuer, "/"),
		Audience: s.audience, IssuerDir: s.issuerDir,
	}
	var err error
	if cfg.AdminToken, err = AdminToken(stdin, s.adminTokenFile); err != nil {
		return err
	}
	if err := s.gate(cfg, stdin); err != nil {
		return err
	}
	kind := s.identity
	if kind == "auto" {
		kind = map[string]string{"memory": "memory", "consul": "consul", "static": "files"}[registry]
	}
	if s.insecure {
		return nil
	}
	if (s.cert != "" || s.key != "" || s.ca != "") && kind != "files" {
		return usage("--identity-cert, --identity-key and --identity-ca need --identity=files")
	}
	switch kind {
	case "memory":
		cfg.Security.Identity = identity.NewMemory(identity.MemoryConfig{Domain: s.domain, Now: cfg.Now})
	case "files":
		if s.cert == "" || s.key == "" || s.ca == "" {
			return &UsageError{&HintError{
				fmt.Errorf("no certificate: --registry=%s has nobody who hands out certificates", registry),
				"give --identity-cert, --identity-key and --identity-ca; --insecure switches certificates, tokens and rules off, for a test",
			}}
		}
		cfg.Security.Identity = &identity.Files{Cert: s.cert, Key: s.key, CA: s.ca}
	case "consul":
		var err error
		cfg.Security.Identity, cfg.Security.Intentions, err = connect.New(consul.Config{Log: cfg.Log})
		if err != nil {
			return &HintError{err, "CONSUL_HTTP_ADDR and its kin say where Consul is and how to talk to it"}
		}
	default:
		return usage("--identity %q: want auto, memory, consul or files", s.identity)
	}
	return nil
}

// gate reads how the gateway meets the outside.
func (s *securing) gate(cfg *app.Config, stdin io.Reader) error {
	g := &cfg.Gate
	g.Origins, g.ClientID = s.origins, s.clientID
	for _, text := range s.rates {
		if !strings.HasPrefix(text, "/") {
			var err error
			if g.Rate, err = edge.ParseRate(text); err != nil {
				return usage("--rate: %w", err)
			}
			continue
		}
		r, err := edge.ParseRouteRate(text)
		if err != nil {
			return usage("--rate: %w", err)
		}
		g.Rates = append(g.Rates, r)
	}
	var err error
	if g.Proxies, err = edge.ParseProxies(s.proxies); err != nil {
		return usage("--trusted-proxy: %w", err)
	}
	if s.sessionKeyFile != "" {
		if g.SessionKey, err = ReadSecret(stdin, s.sessionKeyFile); err != nil {
			return err
		}
	}
	if s.clientSecretFile != "" {
		if g.ClientSecret, err = ReadSecret(stdin, s.clientSecretFile); err != nil {
			return err
		}
	}
	switch {
	case s.tlsCert == "" && s.tlsKey == "":
		return nil
	case s.tlsCert == "" || s.tlsKey == "":
		return usage("--tls-cert and --tls-key belong together")
	}
	g.TLS, err = edge.NewTLS(edge.TLSConfig{Cert: s.tlsCert, Key: s.tlsKey, Log: cfg.Log})
	return err
}

// defaultIssuerDir is where the issuer keeps what outlives it (XDG Base
// Directory Specification); empty where there is no home.
func defaultIssuerDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "app", "issuer")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "state", "app", "issuer")
}
