package services

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
)

// Scenarios are the stories about this system that `app sim` tells beside its
// own. A new one is a function like those below, and a line here.
func Scenarios() []sim.Scenario {
	return []sim.Scenario{phrases()}
}

// phrases is about an editor: a phrase that was taken is there.
func phrases() sim.Scenario {
	return sim.Scenario{
		Name: "phrases", Doc: "an editor adds phrases while gateways crash and calls are lost",
		Duration: 30 * time.Second,
		Faults:   sim.SwarmOn([]string{"gateway", "greeter"}, 8, fault.Crash, fault.Restart, fault.Slow, fault.Loss),
		Begin: func(s *sim.Scenario) {
			var number, kept atomic.Int64
			s.Calls = []load.Call{{Name: "add a phrase and read it", Steps: 2, Do: func(ctx context.Context, u *load.User) error {
				id := fmt.Sprintf("phrase-%d", number.Add(1))
				body := `{"text":"nuqneH, {name}"}`
				if _, err := u.Do(ctx, http.MethodPost, "/v1/languages/tlh/phrases?phrase_id="+id, body); err != nil {
					return err
				}
				_, err := u.Get(ctx, "/v1/languages/tlh/phrases/"+id)
				if err == nil {
					kept.Add(1)
				}
				return err
			}}}
			s.Check = func(w *sim.World) {
				w.EachRequest("a phrase that was taken is there", func(d load.Done) error {
					var answer *load.StatusError
					if errors.As(d.Err, &answer) && answer.Method == http.MethodGet && answer.Status == http.StatusNotFound {
						return d.Err
					}
					return nil
				})
				w.Sometimes("a phrase was kept", func() bool { return kept.Load() > 0 })
			}
		},
	}
}
