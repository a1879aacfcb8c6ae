package rule

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/rule/rulepb"
	"example.com/app/platform/errs"
)

// linked is a registry with the service shop.v1.Shop, whose methods have these
// rules; nil is a method without one.
func linked(t *testing.T, rules map[string]*rulepb.Rule) *protoregistry.Files {
	t.Helper()
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("Shop")}
	for name, r := range rules {
		m := &descriptorpb.MethodDescriptorProto{Name: proto.String(name), InputType: proto.String(".shop.v1.Nothing"), OutputType: proto.String(".shop.v1.Nothing")}
		if r != nil {
			m.Options = new(descriptorpb.MethodOptions)
			proto.SetExtension(m.Options, rulepb.E_Rule, r)
		}
		service.Method = append(service.Method, m)
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("shop.proto"), Package: proto.String("shop.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Nothing")}},
		Service:     []*descriptorpb.ServiceDescriptorProto{service},
	}, protoregistry.GlobalFiles)
	require.NoError(t, err)
	files := new(protoregistry.Files)
	require.NoError(t, files.RegisterFile(file))
	return files
}

func TestAMethodWithoutARuleIsNamed(t *testing.T) {
	files := linked(t, map[string]*rulepb.Rule{
		"Buy": {Scopes: []string{"shop.buy"}}, "Sell": nil, "Look": nil,
		"Empty": {}, "Both": {Public: true, Peers: []string{"till"}}, "Odd": {Scopes: []string{"a b"}},
	})
	methods := []string{"/shop.v1.Shop/Buy", "/shop.v1.Shop/Sell", "/shop.v1.Shop/Look", "/shop.v1.Shop/Empty", "/shop.v1.Shop/Both", "/shop.v1.Shop/Odd", "/other.v1.Gone/M"}
	_, err := Read(files, methods, nil)
	require.True(t, errs.Invalid.Is(err))
	require.ErrorContains(t, err, "other.v1.Gone/M has no rule; shop.v1.Shop/Look has no rule; shop.v1.Shop/Sell has no rule; the rule of shop.v1.Shop/Both is public and lists who may call it")
	require.ErrorContains(t, err, "the rule of shop.v1.Shop/Empty says nothing")
	require.ErrorContains(t, err, "the rule of shop.v1.Shop/Odd lists a name")
	require.NotContains(t, err.Error(), "Buy")
}

func TestAProtoCountsMoreThanWhatARoleSays(t *testing.T) {
	files := linked(t, map[string]*rulepb.Rule{"Buy": {Scopes: []string{"shop.buy"}}, "Sell": nil, "Look": nil})
	public := Rule{Public: true}
	table, err := Read(files, []string{"/shop.v1.Shop/Buy", "/shop.v1.Shop/Sell", "/shop.v1.Shop/Look"},
		Table{"/shop.v1.Shop/": public, "/shop.v1.Shop/Buy": public, "/shop.v1.Shop/Look": {Peers: []string{"*"}}})
	require.NoError(t, err)
	require.Equal(t, Table{
		"/shop.v1.Shop/Buy": {Scopes: []string{"shop.buy"}}, "/shop.v1.Shop/Sell": public, "/shop.v1.Shop/Look": {Peers: []string{"*"}},
	}, table)
	require.Equal(t, []string{"/shop.v1.Shop/Buy", "/shop.v1.Shop/Look", "/shop.v1.Shop/Sell"}, table.Methods())
}

func TestHealthHasNoRuleOfItsOwn(t *testing.T) {
	_, err := Read(protoregistry.GlobalFiles, []string{grpc_health_v1.Health_Check_FullMethodName}, nil)
	require.ErrorContains(t, err, "grpc.health.v1.Health/Check has no rule")
}

func TestARuleWantsAllThatItLists(t *testing.T) {
	const method = "/shop.v1.Shop/Buy"
	someone := func(scopes, roles []string) *auth.Principal { return &auth.Principal{Scopes: scopes, Roles: roles} }
	list := func(s ...string) []string { return s }
	for name, c := range map[string]struct {
		rule   Rule
		peer   string
		who    *auth.Principal
		kind   errs.Kind
		reason string
	}{
		"public, nobody":                {rule: Rule{Public: true}},
		"a scope, no token":             {rule: Rule{Scopes: list("a")}, kind: errs.Unauthenticated, reason: auth.Missing},
		"any token, none":               {rule: Rule{Token: true}, kind: errs.Unauthenticated, reason: auth.Missing},
		"any token, one":                {rule: Rule{Token: true}, who: someone(nil, nil)},
		"a scope, had":                  {rule: Rule{Scopes: list("a")}, who: someone(list("b", "a"), nil)},
		"two scopes, one had":           {rule: Rule{Scopes: list("a", "c")}, who: someone(list("a"), nil), kind: errs.Denied, reason: auth.ScopeMissing},
		"a scope that only begins so":   {rule: Rule{Scopes: list("a")}, who: someone(list("ab", "A"), nil), kind: errs.Denied, reason: auth.ScopeMissing},
		"a role, had":                   {rule: Rule{Roles: list("admin", "clerk")}, who: someone(nil, list("clerk"))},
		"a role, not had":               {rule: Rule{Roles: list("admin")}, who: someone(list("admin"), list("clerk")), kind: errs.Denied, reason: auth.RoleMissing},
		"scope and role, scope missing": {rule: Rule{Scopes: list("a"), Roles: list("admin")}, who: someone(nil, list("admin")), kind: errs.Denied, reason: auth.ScopeMissing},
		"a peer, it is":                 {rule: Rule{Peers: list("till")}, peer: "till"},
		"a peer, another":               {rule: Rule{Peers: list("till")}, peer: "tills", kind: errs.Denied, reason: "PEER_DENIED"},
		"a peer, nobody":                {rule: Rule{Peers: list("till")}, kind: errs.Denied, reason: "PEER_DENIED"},
		"any peer":                      {rule: Rule{Peers: list("*")}, peer: "till"},
		"any peer, nobody":              {rule: Rule{Peers: list("*")}, kind: errs.Denied, reason: "PEER_DENIED"},
		"peer and scope, no token":      {rule: Rule{Peers: list("till"), Scopes: list("a")}, peer: "till", kind: errs.Unauthenticated, reason: auth.Missing},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.rule.CheckPeer(method, c.peer)
			if err == nil {
				err = c.rule.CheckCaller(method, c.who)
			}
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, c.kind, errs.Of(err), "%v", err)
			require.Equal(t, c.reason, auth.Reason(err))
			require.ErrorContains(t, err, "shop.v1.Shop/Buy")
		})
	}
}

func TestARuleReadsAsALine(t *testing.T) {
	require.Equal(t, "public", Rule{Public: true}.String())
	require.Equal(t, "scopes a b, roles c, peers *", Rule{Scopes: []string{"a", "b"}, Roles: []string{"c"}, Peers: []string{"*"}}.String())
}
