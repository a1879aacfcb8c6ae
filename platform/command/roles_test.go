package command

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"example.com/app/platform/app"
)

// web is a service that speaks HTTP.
type web struct{ http.Handler }

func (web) Register(grpc.ServiceRegistrar) {}

// serves is a role of one service, which dials other roles.
func serves(name string, s app.Service, dials ...string) app.Role {
	return app.Role{Name: name, Edge: true, New: func(env *app.Env) (app.Service, error) {
		for _, role := range dials {
			if _, err := env.Dial(role); err != nil {
				return nil, err
			}
		}
		return s, nil
	}}
}

// describable is a system of roles that can be built.
func describable() []app.Role {
	front := serves("front", web{http.NotFoundHandler()}, "back", "aside")
	front.Doc, front.Replicas = "answers people", 2
	back := serves("back", web{http.NotFoundHandler()})
	back.Doc = "answers front"
	aside := serves("aside", web{http.NotFoundHandler()})
	aside.Extra = true
	return []app.Role{front, back, aside}
}

func TestRolesAreATable(t *testing.T) {
	text, err := program("roles")
	require.NoError(t, err)
	require.Equal(t, `ROLE   REPLICAS  IN ALL  NEEDS        DOES
front  2         yes     aside, back  answers people
back   1         yes     -            answers front
aside  1         no      -            
`, text)
}

func TestRolesAreJSON(t *testing.T) {
	text, err := program("roles", "-o", "json")
	require.NoError(t, err)
	var got []map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &got))
	require.Equal(t, map[string]any{
		"name": "front", "does": "answers people", "needs": []any{"aside", "back"}, "replicas": 2.0, "in_all": true,
		"callers": []any{}, "methods": []any{},
	}, got[0])
	require.Equal(t, []any{}, got[1]["needs"], "a list, also when it is empty")
}
