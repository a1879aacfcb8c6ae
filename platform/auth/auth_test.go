package auth_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
)

func TestTheCallerIsInTheContext(t *testing.T) {
	require.Nil(t, auth.From(context.Background()))
	ada := &auth.Principal{Subject: "ada"}
	ctx := auth.With(context.Background(), ada)
	require.Same(t, ada, auth.From(ctx))
	require.Nil(t, auth.From(auth.With(ctx, nil)), "a call may be made in nobody's name")
}
