package consul_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry/consul"
)

func TestAnErrorTellsTheBeginningOfALongAnswer(t *testing.T) {
	err := consul.Explain("list greeter", api.StatusError{Code: http.StatusInternalServerError, Body: "no leader" + strings.Repeat("x", 1<<20)})
	require.True(t, errs.Unavailable.Is(err))
	require.ErrorContains(t, err, "list greeter: consul answers 500: Unexpected response code: 500 (no leaderxx")
	require.Less(t, len(err.Error()), 1<<10, "it is logged")
}
