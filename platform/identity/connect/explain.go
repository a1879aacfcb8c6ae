package connect

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/errs"
)

// maxReason is how much of an answer goes into an error, in bytes.
const maxReason = 512

// explain names the act that failed and gives the error a kind. Its text stays
// the same while the reason does: it leaves out port numbers and query strings.
func explain(act string, err error) error {
	var status api.StatusError
	if errors.As(err, &status) {
		// The client keeps the whole answer, which may be of any length.
		status.Body = status.Body[:min(len(status.Body), maxReason)]
		switch {
		case status.Code == http.StatusForbidden:
			return errs.Denied.New("%s: consul answers 403: the token lacks service:write for the role (its leaf, its intentions): %w", act, status)
		case strings.Contains(status.Body, "Connect must be enabled"):
			return errs.Precondition.New("%s: consul's CA is off: set connect { enabled = true } on its servers: %w", act, status)
		}
		return errs.Unavailable.New("%s: consul answers %d: %w", act, status.Code, status)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errs.Unavailable.New("%s: ask consul: %w", act, errno)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errs.Unavailable.New("%s: consul does not answer in time: %w", act, context.DeadlineExceeded)
	}
	var sent *url.Error
	if errors.As(err, &sent) {
		err = sent.Err
	}
	return errs.Unavailable.New("%s: ask consul: %w", act, err)
}
