package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEX4InventedPathsMethodsAndHostsAddFewSeries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{Roles: []Role{{Name: "www", Edge: true, New: serves("www", web{http.HandlerFunc(greeting)}).New}}})
		<-s.Started()
		series := func() (n int) {
			_, text, _ := v.get("http://edge:9090/metrics")
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "#") {
					n++
				}
			}
			return n
		}
		before := series()
		for i := range 500 {
			req, err := http.NewRequestWithContext(t.Context(), fmt.Sprintf("M%d", i), fmt.Sprintf("http://edge:8080/made/up/%d", i), http.NoBody)
			require.NoError(t, err)
			req.Host = fmt.Sprintf("host-%d.example", i)
			v.send(req)
		}
		require.Less(t, series()-before, 60)
	})
}
