package sim_test

import (
	"net/http"

	"google.golang.org/grpc"
)

// panicker is a gateway whose handler has a bug.
type panicker struct{}

// Register adds nothing.
func (panicker) Register(grpc.ServiceRegistrar) {}

func (panicker) ServeHTTP(http.ResponseWriter, *http.Request) { panic("a bug") }
