package rpc

import (
	"encoding/json"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// The wire names that decide about retries (gRFC A6).
const (
	pushbackKey = "grpc-retry-pushback-ms" // a trailer; a negative value says: do not retry
	noRetry     = "-1"
)

type serviceConfig struct {
	LoadBalancing   []map[string]struct{} `json:"loadBalancingConfig"`
	Health          map[string]string     `json:"healthCheckConfig"`
	Methods         []methodConfig        `json:"methodConfig,omitempty"`
	RetryThrottling throttling            `json:"retryThrottling"`
}

type methodConfig struct {
	Names []methodName `json:"name"`
	Retry retryPolicy  `json:"retryPolicy"`
}

type methodName struct {
	Service string `json:"service"`
	Method  string `json:"method"`
}

type retryPolicy struct {
	MaxAttempts       int      `json:"maxAttempts"`
	InitialBackoff    string   `json:"initialBackoff"`
	MaxBackoff        string   `json:"maxBackoff"`
	BackoffMultiplier float64  `json:"backoffMultiplier"`
	Codes             []string `json:"retryableStatusCodes"`
}

type throttling struct {
	MaxTokens  int     `json:"maxTokens"`
	TokenRatio float64 `json:"tokenRatio"`
}

// defaultServiceConfig is the gRPC service config of a client of a role: our
// own balancer over the instances that say that they serve this very role, and a
// retry of UNAVAILABLE for the methods whose proto says that a second delivery
// does no harm, under a budget of one retry in ten calls.
func defaultServiceConfig(role string) (string, error) {
	c := serviceConfig{
		LoadBalancing:   []map[string]struct{}{{policyName: {}}},
		Health:          map[string]string{"serviceName": role},
		RetryThrottling: throttling{MaxTokens: 100, TokenRatio: 0.1},
	}
	if names := idempotent(protoregistry.GlobalFiles); len(names) > 0 {
		c.Methods = []methodConfig{{Names: names, Retry: retryPolicy{
			MaxAttempts: 4, InitialBackoff: "0.05s", MaxBackoff: "1s", BackoffMultiplier: 2, Codes: []string{"UNAVAILABLE"},
		}}}
	}
	text, err := json.Marshal(c)
	return string(text), err
}

// idempotent lists the linked methods that carry an idempotency_level.
func idempotent(files *protoregistry.Files) []methodName {
	var names []methodName
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for s := range f.Services().Len() {
			service := f.Services().Get(s)
			for m := range service.Methods().Len() {
				method := service.Methods().Get(m)
				options, ok := method.Options().(*descriptorpb.MethodOptions)
				if ok && options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN {
					names = append(names, methodName{string(service.FullName()), string(method.Name())})
				}
			}
		}
		return true
	})
	return names
}
