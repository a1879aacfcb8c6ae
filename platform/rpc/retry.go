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

// full is the name as gRPC writes it, "/pkg.Service/Method".
func (n methodName) full() string { return "/" + n.Service + "/" + n.Method }

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
func (c ClientConfig) defaultServiceConfig() (string, error) {
	s := serviceConfig{
		LoadBalancing:   []map[string]struct{}{{policyName: {}}},
		Health:          map[string]string{"serviceName": c.Role},
		RetryThrottling: throttling{MaxTokens: 100, TokenRatio: 0.1},
	}
	harmless := marked(protoregistry.GlobalFiles, descriptorpb.MethodOptions_NO_SIDE_EFFECTS)
	idempotent := append(harmless, marked(protoregistry.GlobalFiles, descriptorpb.MethodOptions_IDEMPOTENT)...)
	byAttempts := make([][]methodName, mostAttempts+1)
	for i, m := range idempotent {
		n := c.attempts(m, i < len(harmless))
		byAttempts[n] = append(byAttempts[n], m)
	}
	for n, names := range byAttempts {
		if n < 2 || len(names) == 0 {
			continue
		}
		s.Methods = append(s.Methods, methodConfig{Names: names, Retry: retryPolicy{
			MaxAttempts: n, InitialBackoff: "0.05s", MaxBackoff: "1s", BackoffMultiplier: 2, Codes: []string{"UNAVAILABLE"},
		}})
	}
	text, err := json.Marshal(s)
	return string(text), err
}

// attempts is how often a call is sent at most. A copy of it, where one may be
// sent, is an attempt too.
func (c ClientConfig) attempts(m methodName, harmless bool) int {
	set := c.Methods.of(m.full())
	n := set.Attempts
	if n == 0 {
		n = 4
	}
	if harmless && n > 1 && c.hedges(set) {
		n--
	}
	return n
}

// marked lists the linked methods that carry this idempotency_level.
func marked(files *protoregistry.Files, level descriptorpb.MethodOptions_IdempotencyLevel) []methodName {
	var names []methodName
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for s := range f.Services().Len() {
			service := f.Services().Get(s)
			for m := range service.Methods().Len() {
				method := service.Methods().Get(m)
				options, ok := method.Options().(*descriptorpb.MethodOptions)
				if ok && options.GetIdempotencyLevel() == level {
					names = append(names, methodName{string(service.FullName()), string(method.Name())})
				}
			}
		}
		return true
	})
	return names
}
