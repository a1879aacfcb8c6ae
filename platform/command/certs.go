package command

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/platform/identity"
)

// Certs is `app certs`: who a certificate says that a workload is.
func Certs() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Show and verify certificates of workloads",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(certsShow(), certsExport(), certsVerify())
	return cmd
}

// certsShow is `app certs show`.
func certsShow() *cobra.Command {
	var port adminPort
	cmd := &cobra.Command{
		Use:     "show [FILE]",
		Short:   "Tell whose certificates a PEM file holds, or a running process shows, and for how long",
		Example: "  app certs show\n  app certs show greeter.pem",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return oneFile(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return showRunning(cmd, &port)
			}
			chain, err := readChain(args[0])
			if err != nil {
				return err
			}
			return printChain(cmd.OutOrStdout(), chain, time.Now())
		},
	}
	port.flags(cmd.Flags())
	return cmd
}

// running asks a process for its certificates.
func running(cmd *cobra.Command, port *adminPort) (app.Certificates, error) {
	var all app.Certificates
	if err := FromEnv(cmd, os.LookupEnv); err != nil {
		return all, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
	defer cancel()
	err := port.get(ctx, cmd.InOrStdin(), url.URL{Path: "/debug/certs"}, &all)
	return all, err
}

// showRunning tells of the certificates of each instance of a process.
func showRunning(cmd *cobra.Command, port *adminPort) error {
	all, err := running(cmd, port)
	if err != nil {
		return err
	}
	if len(all.Instances) == 0 {
		return &HintError{errs.NotFound.New("the process at %s has no certificates", port.addr), "it runs with --insecure"}
	}
	for _, in := range all.Instances {
		if in.Error != "" {
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", in.Host, in.Error)
			continue
		}
		chain, err := parseChain(in.Host, []byte(in.Chain))
		if err != nil {
			return err
		}
		if err := printChain(cmd.OutOrStdout(), chain, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// certsExport is `app certs export`.
func certsExport() *cobra.Command {
	var port adminPort
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Print the roots of a running process whose CA is in memory, PEM",
		Example: "  app certs export > roots.pem",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := running(cmd, &port)
			if err != nil {
				return err
			}
			if all.Roots == "" {
				return &HintError{errs.NotFound.New("the process at %s has no CA in memory", port.addr), "Consul's roots: curl $CONSUL_HTTP_ADDR/v1/connect/ca/roots"}
			}
			_, err = io.WriteString(cmd.OutOrStdout(), all.Roots)
			return err
		},
	}
	port.flags(cmd.Flags())
	return cmd
}

// certsVerify is `app certs verify`.
func certsVerify() *cobra.Command {
	var ca, role string
	cmd := &cobra.Command{
		Use:     "verify FILE --ca=FILE",
		Short:   "Tell whether a certificate leads to a root and names a role",
		Example: "  app certs verify greeter.pem --ca=roots.pem --role=greeter",
		Args:    oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := FromEnv(cmd, os.LookupEnv); err != nil {
				return err
			}
			if ca == "" {
				return usage("which roots? --ca is missing")
			}
			chain, err := readChain(args[0])
			if err != nil {
				return err
			}
			roots, err := readChain(ca)
			if err != nil {
				return err
			}
			id, err := verifyChain(chain, roots, role, time.Now())
			if err != nil {
				return errs.Unauthenticated.New("verify %s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, until %s\n", id, chain[0].NotAfter.UTC().Format(time.RFC3339))
			return err
		},
	}
	cmd.Flags().StringVar(&ca, "ca", "", "file that holds the roots, PEM")
	cmd.Flags().StringVar(&role, "role", "", "role that the certificate must name; empty: any")
	return cmd
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage("which file? want one, as in %s greeter.pem", cmd.CommandPath())
	}
	return nil
}

// readChain reads the certificates of a PEM file.
func readChain(name string) ([]*x509.Certificate, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, errs.Invalid.New("read certificates %s: %w", name, plainPath(err))
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, errs.Invalid.New("read certificates %s: %w", name, plainPath(err))
	}
	return parseChain(name, text)
}

// parseChain reads the certificates of a text. Keys in it are passed over.
func parseChain(name string, text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errs.Invalid.New("read certificates %s: %w", name, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errs.Invalid.New("read certificates %s: it holds none in PEM", name)
	}
	return chain, nil
}

// printChain tells of each certificate whose it is, from whom, and how long it
// is good.
func printChain(w io.Writer, chain []*x509.Certificate, now time.Time) error {
	for _, c := range chain {
		name := fmt.Sprintf("%q", c.Subject.String())
		if id, err := identity.Of(c); err == nil {
			name = id.String()
		}
		state := "good for " + c.NotAfter.Sub(now).Round(time.Second).String()
		switch {
		case now.After(c.NotAfter):
			state = "expired"
		case now.Before(c.NotBefore):
			state = "not good yet"
		}
		if _, err := fmt.Fprintf(w, "%s\n  from    %q\n  valid   %s to %s, %s\n  sha256  %x\n", name, c.Issuer.String(),
			c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), state, sha256.Sum256(c.Raw)); err != nil {
			return err
		}
	}
	return nil
}

// verifyChain returns whose certificate it is, for calling and for answering.
func verifyChain(chain, roots []*x509.Certificate, role string, now time.Time) (identity.ID, error) {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range roots {
		options.Roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		options.KeyUsages = []x509.ExtKeyUsage{usage}
		if _, err := chain[0].Verify(options); err != nil {
			return identity.ID{}, err
		}
	}
	id, err := identity.Of(chain[0])
	if err != nil {
		return id, err
	}
	if id.Role() == "" || role != "" && id.Role() != role {
		return id, errs.Unauthenticated.New("%s does not name the role %s", id, role)
	}
	return id, nil
}
