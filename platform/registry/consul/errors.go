package consul

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"syscall"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/errs"
)

// maxReason is how much of an answer goes into an error, in bytes.
const maxReason = 512

// Explain names the act that failed, with an error of Consul's client, and gives
// it a kind. Its text stays the same while the reason does: it leaves out port
// numbers and query strings; and it is short: the client keeps the whole answer.
func Explain(act string, err error) error {
	var status api.StatusError
	if errors.As(err, &status) {
		status.Body = status.Body[:min(len(status.Body), maxReason)]
		return kindOf(status.Code).New("%s: consul answers %d: %w", act, status.Code, status)
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

// kindOf is the kind of failure that a status code of Consul stands for.
func kindOf(code int) errs.Kind {
	switch code {
	case http.StatusUnauthorized:
		return errs.Unauthenticated
	case http.StatusForbidden:
		return errs.Denied
	case http.StatusNotFound:
		return errs.NotFound
	case http.StatusTooManyRequests:
		return errs.Exhausted
	}
	return errs.Unavailable
}
