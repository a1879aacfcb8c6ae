package filter_test

import (
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul/consultest/filter"
)

func entry() *api.ServiceEntry {
	return &api.ServiceEntry{
		Node: &api.Node{Node: "n1"},
		Service: &api.AgentService{
			ID: "a", Service: "web", Port: 80, Tags: []string{"http", "v 2"}, Meta: map[string]string{"zone": "north"},
		},
	}
}

func TestExpressionsDecide(t *testing.T) {
	for expression, want := range map[string]bool{
		``:                                  true,
		`Service.ID == a`:                   true,
		`Service.ID == "a"`:                 true,
		`Service.ID=="b"`:                   false,
		`Service.ID != b`:                   true,
		`Service.Port == 80`:                true,
		`Service.Meta.zone == "north"`:      true,
		`Service.Meta.none == "north"`:      false,
		`Service.Meta.none != "north"`:      true,
		`Service.Meta contains zone`:        true,
		`zone not in Service.Meta`:          false,
		`Service.Tags contains "v 2"`:       true,
		`"v 2" in Service.Tags`:             true,
		`http not in Service.Tags`:          false,
		`Service.Tags not contains gone`:    true,
		`Service.Tags is empty`:             false,
		`Service.Tags is not empty`:         true,
		"Service.Service == `web`":          true,
		`not Service.ID == a`:               false,
		`Service.ID == b or Node.Node==n1`:  true,
		`Service.ID == a and Node.Node==n2`: false,
		`(Service.ID == b or Service.ID == a) and not (Node.Node == n2)`: true,
	} {
		f, err := filter.For(entry(), expression)
		require.NoError(t, err, expression)
		require.Equal(t, want, f.Match(entry()), expression)
	}
}

func TestWrongExpressionsAreRefusedAsConsulDoes(t *testing.T) {
	for expression, want := range map[string]string{
		`Nonsense == a`:              `Failed to create boolean expression evaluator: Selector "Nonsense" is not valid`,
		`Service.Nonsense == a`:      `Failed to create boolean expression evaluator: Selector "Service.Nonsense" is not valid`,
		`Service.CreateIndex == 1`:   `Selector "Service.CreateIndex" is not valid`,
		`Service.ID.More == a`:       `Selector "Service.ID.More" is not valid`,
		`Service.ID ==`:              `no match found`,
		`Service.ID`:                 `no match found`,
		`Service.ID == a and`:        `no match found`,
		`Service.ID == a or`:         `no match found`,
		`Service.ID == a b`:          `no match found`,
		`(Service.ID == a`:           `no match found`,
		`Service.ID == "a`:           `no match found`,
		`== a`:                       `no match found`,
		`not`:                        `no match found`,
		`Service.ID is a`:            `no match found`,
		`Service.ID == (a)`:          `no match found`,
		`_service_maintenance:a = b`: `no match found`,
	} {
		_, err := filter.For(entry(), expression)
		require.ErrorContains(t, err, want, expression)
	}
}
