// Package scenarios holds the stories that a fleet is put through: what goes
// wrong in services, one thing at a time, and what must hold all the same.
//
// Each is a value that says it all: who is there, what is asked, what goes
// wrong, and what holds. Most are about the roles of a program that has a
// gateway, a greeter, a phrasebook and an issuer; those that need more bring
// the roles of package shop along.
package scenarios

import (
	"context"
	"errors"
	"net/http"
	"time"

	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
)

// All lists the scenarios, in the order in which they are best read.
func All() []sim.Scenario {
	return []sim.Scenario{
		Rolling(), Crash(), PowerCut(), RetryEffect(), RetryStorm(), Deadlines(),
		RegistryCut(), Zombie(), SplitView(), SlowNode(), Herd(),
		Clock(), Rotation(), Gray(), Overload(), Storm(),
	}
}

// fleet is the program's roles with so many greeters.
func fleet(greeters int) map[string]int {
	return map[string]int{"gateway": 2, "greeter": greeters, "phrasebook": 2, "issuer": 1}
}

// hello is what most users ask for.
func hello() []load.Call { return load.Requests("GET /v1/greetings/Ada") }

// oneOf is a fault that strikes an instance of a role now and then, which the
// seed chooses. The first one is spared, so that somebody is there.
func oneOf(role string, kind fault.Kind, every, lasting time.Duration) sim.Faults {
	return func(d sim.Draft) []fault.Fault {
		var all []fault.Fault
		hosts, draw := d.Of(role)[1:], fault.Rand(d.Seed, "one of", role)
		for at := every; at < d.Within-lasting; at += every {
			all = append(all, fault.Fault{At: at, Kind: kind, A: hosts[draw.IntN(len(hosts))], For: lasting})
		}
		return all
	}
}

// order is a user of the shop who orders something.
func order() load.Call {
	return load.Call{Name: "POST /orders", Do: func(ctx context.Context, u *load.User) error {
		_, err := u.Do(ctx, http.MethodPost, "/orders/"+load.ID(ctx), "")
		return err
	}}
}

// onlyAway finds amiss what a request failed for, unless somebody was away.
func onlyAway(d load.Done) error {
	var answer *load.StatusError
	if !errors.As(d.Err, &answer) {
		return nil // there was none: the gateway went
	}
	switch answer.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nil
	}
	return d.Err
}
