package app

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// describable is a system of roles that can be built.
func describable() []Role {
	front := serves("front", web{http.HandlerFunc(greeting)}, "back", "aside")
	front.Doc, front.Replicas = "answers people", 2
	back := serves("back", new(echo))
	back.Doc = "answers front"
	aside := serves("aside", new(echo))
	aside.Extra = true
	return []Role{front, back, aside}
}

// tested is the methods that the roles of these tests answer.
func tested() []MethodInfo {
	var all []MethodInfo
	for _, name := range []string{"CacheableUnaryCall", "EmptyCall", "FullDuplexCall", "HalfDuplexCall", "StreamingInputCall", "StreamingOutputCall", "UnaryCall", "UnimplementedCall"} {
		all = append(all, MethodInfo{Name: "grpc.testing.TestService/" + name, Rule: "public", Routes: []string{}})
	}
	return all
}

func TestDescribeSeesWhatARoleDials(t *testing.T) {
	bubble(t, func(t *testing.T) {
		got, err := Describe(describable(), "v1")
		require.NoError(t, err)
		require.Equal(t, []RoleInfo{
			{Name: "front", Does: "answers people", Needs: []string{"aside", "back"}, Replicas: 2, InAll: true, Callers: []string{}, Methods: []MethodInfo{}},
			{Name: "back", Does: "answers front", Needs: []string{}, Replicas: 1, InAll: true, Callers: []string{}, Methods: tested()},
			{Name: "aside", Needs: []string{}, Replicas: 1, Callers: []string{}, Methods: tested()},
		}, got)
	})
}

func TestDescribeLeavesNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T) { // the end of the bubble proves it
		var conn *grpc.ClientConn
		role := Role{Name: "a", Edge: true, Rules: anybody, New: func(env *Env) (Service, error) {
			var err error
			if conn, err = env.Dial("b"); err != nil {
				return nil, err
			}
			conn.Connect() // a role that cannot wait
			return nil, errors.New("no key to sign with")
		}}
		_, err := Describe([]Role{role}, "v1")
		require.EqualError(t, err, "describe a: no key to sign with")
		require.Equal(t, "SHUTDOWN", conn.GetState().String())
	})
}
