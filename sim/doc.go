// Package sim runs a whole fleet in one process and breaks it on purpose.
//
// The roles are the ones that are deployed: sim hands them a network that can be
// spoilt and a Consul that can lie, sends them users, has faults happen, and
// asks all the while whether what must hold does. The one rule: nothing here is
// scripted but the load and the faults. What is reported has happened.
//
// A [Scenario] is a value that reads aloud:
//
//	sim.Scenario{
//		Name: "orders", Doc: "shops crash while people buy",
//		Calls:    load.Requests(`POST /v1/orders {"book":"Dune"}`),
//		Arrivals: load.Poisson(20),
//		Faults:   sim.SwarmOn([]string{"shop"}, 10, fault.Crash, fault.Loss),
//		Check: func(w *sim.World) {
//			sold := map[string]bool{}
//			w.Always("no order twice", func(f app.Fact) error {
//				if f.Name == "order.created" && sold[f.Key] {
//					return fmt.Errorf("order %s", f.Key)
//				}
//				sold[f.Key] = true
//				return nil
//			})
//		},
//	}
//
// Roles say what they have done with app.Env.Fact, which costs nothing where
// nobody listens. A service of yours gets its scenario in one file beside the
// list of roles; `app sim NAME` runs it, and [Test] does in go test.
//
//	Scenario.Run  plays it once, in the time it finds itself in
//	Virtual       makes that time virtual, and in the exact twin a function of a seed
//	World         what checks and pages look at while it runs
//	Test          runs seeds and kept schedules as tests
//
// Beside it: fault says what goes wrong, wire is the network, ground adds Consul,
// fleet starts and ends instances, load is the users, trace what is recorded,
// twin makes runs exact, search finds and shrinks failures, scenarios are those
// that come with the program, zoo proves that bugs are found, desk is `app sim`.
package sim
