// Command app is a whole microservice system in one program: it runs one role,
// some, or all of them, or the whole fleet on your desk.
//
//	app serve --role=greeter     one role of a real fleet, found through Consul
//	app serve --role=all         everything in this process, nothing to install
//	app sim                      the fleet on your desk: load, a crash, what happened
package main

import (
	"os"

	"example.com/app/platform/command"
	"example.com/app/services"
	"example.com/app/services/issuer/account"
	"example.com/app/sim/desk"
	"example.com/app/sim/scenarios"
)

func main() {
	version := command.BuildVersion()
	root := command.Root(version)
	root.AddCommand(
		command.Serve(services.All, version),
		command.Roles(services.All, version),
		command.Ps(services.All),
		command.Explain(services.All),
		command.Bench(),
		command.Token(),
		command.Passwd(account.SetPassword),
		command.Certs(),
		command.Version(version),
		desk.Command(desk.System{Roles: services.All, Scenarios: append(scenarios.All(), services.Scenarios()...), Version: version}),
	)
	os.Exit(command.Report(os.Stderr, root.Execute()))
}
