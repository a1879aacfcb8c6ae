// Package services is what the system does: one folder per role.
package services

import (
	"example.com/app/platform/app"
	"example.com/app/services/gateway"
	"example.com/app/services/greeter"
	"example.com/app/services/interop"
	"example.com/app/services/issuer"
	"example.com/app/services/phrasebook"
)

//go:generate sh ../.tools/generate

// All is the roles of the system, a line each. Nothing changes it.
var All = []app.Role{
	gateway.Role,
	greeter.Role,
	phrasebook.Role,
	issuer.Role,
	interop.Role,
}
