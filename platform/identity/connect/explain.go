package connect

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry/consul"
)

// explain is consul.Explain, with advice where Consul refuses.
func explain(act string, err error) error {
	var status api.StatusError
	switch {
	case !errors.As(err, &status):
	case status.Code == http.StatusForbidden:
		act += ": the token lacks service:write for the role (its leaf, its intentions)"
	case strings.Contains(status.Body, "Connect must be enabled"):
		return errs.Precondition.New("%s: consul's CA is off: set connect { enabled = true } on its servers", act)
	}
	return consul.Explain(act, err)
}
