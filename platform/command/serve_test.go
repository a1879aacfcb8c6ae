package command

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/resilience"
)

// asked is the Config that a command line gives.
func asked(t *testing.T, line string) (app.Config, error) {
	t.Helper()
	var s serving
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.flags(flags)
	require.NoError(t, flags.Parse(strings.Fields(line)))
	return s.config(system(), "v1.2.3", streams{err: io.Discard}, flags.Changed("drain"))
}

func TestServeDefaults(t *testing.T) {
	cfg, err := asked(t, "--role=all")
	require.NoError(t, err)
	require.Equal(t, system(), cfg.Roles)
	require.Equal(t, map[string]int{"gateway": 2, "greeter": 3, "phrasebook": 1}, cfg.Run)
	require.Equal(t, []string{":50051", ":8080", "127.0.0.1:9090", "", "", "v1.2.3"},
		[]string{cfg.GRPC, cfg.HTTP, cfg.Admin, cfg.Advertise, cfg.Zone, cfg.Version})
	require.Equal(t, 30*time.Second, cfg.Grace)
	require.IsType(t, (*network.TCP)(nil), cfg.Edge)
	require.NotNil(t, cfg.Metrics)
	require.Empty(t, cfg.Routes)
	require.Empty(t, cfg.Work)
}

func TestServeFlagsReachTheConfig(t *testing.T) {
	cfg, err := asked(t, "--role=greeter,gateway --replicas=greeter=4 --grpc=127.0.0.1:0 --http=:80 --admin= --advertise=h --zone=z"+
		" --route=/shop=shop --route=/a=b --work=greeter=20ms,workers=8 --drain=1s --grace=2s")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"greeter": 4, "gateway": 1}, cfg.Run)
	require.Equal(t, []string{"127.0.0.1:0", ":80", "", "h", "z"}, []string{cfg.GRPC, cfg.HTTP, cfg.Admin, cfg.Advertise, cfg.Zone})
	require.Equal(t, []proxy.Route{{Prefix: "/shop", Service: "shop"}, {Prefix: "/a", Service: "b"}}, cfg.Routes)
	require.Equal(t, map[string]resilience.Work{"greeter": {Time: 20 * time.Millisecond, Workers: 8}}, cfg.Work)
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second}, []time.Duration{cfg.Drain, cfg.Grace})
}

func TestServeStandsOnTheGroundThatIsAskedFor(t *testing.T) {
	memory, tcp := "memory", "tcp"
	for line, want := range map[string]struct {
		registry, network string
		drain             time.Duration
	}{
		"--role=all":                                                      {memory, memory, 0},
		"--role=all --drain=1s":                                           {memory, memory, time.Second},
		"--role=all,interop":                                              {memory, memory, 0},
		"--role=all --registry=consul":                                    {"consul", tcp, 5 * time.Second},
		"--role=all --registry=consul --network=memory":                   {"consul", memory, 0},
		"--role=all --network=tcp":                                        {memory, tcp, 5 * time.Second},
		"--role=greeter":                                                  {"consul", tcp, 5 * time.Second},
		"--role=greeter --registry=memory":                                {memory, memory, 0},
		"--role=greeter --registry=memory --network=tcp":                  {memory, tcp, 5 * time.Second},
		"--role=greeter --registry=static --insecure":                     {"static", tcp, 5 * time.Second},
		"--role=greeter --registry=static --insecure --peer=a=10.0.0.7:1": {"static", tcp, 5 * time.Second},
		"--role=greeter --registry=static --insecure --network=memory":    {"static", memory, 0},
		"--role=greeter --registry=auto --network=auto":                   {"consul", tcp, 5 * time.Second},
	} {
		cfg, err := asked(t, line)
		require.NoError(t, err, line)
		reg, net := cfg.Fabric.Host("greeter-1")
		kind := memory
		switch reg.(type) {
		case *consul.Registry:
			kind = "consul"
		case registry.Static:
			kind = "static"
		}
		_, isTCP := net.(*network.TCP)
		require.Equal(t, want.registry, kind, line)
		require.Equal(t, want.network == tcp, isTCP, line)
		require.Equal(t, want.network == tcp, cfg.Spread, "%s: hosts of memory have ports of their own", line)
		require.Equal(t, want.drain, cfg.Drain, line)
	}
}

func TestServePeersAreTheStaticRegistry(t *testing.T) {
	cfg, err := asked(t, "--role=greeter --registry=static --insecure --peer=phrasebook=10.0.0.7:50051 --peer=phrasebook=[::1]:2")
	require.NoError(t, err)
	require.Equal(t, []string{"10.0.0.7:50051", "[::1]:2"}, addrs(cfg.Fabric, "phrasebook"))
	require.Empty(t, addrs(cfg.Fabric, "greeter"))
}

func TestServeSaysWhichFlagIsWrong(t *testing.T) {
	for line, want := range map[string]string{
		"":                                              "which role? --role is missing",
		"--role=":                                       "which role? --role is missing",
		"--role=greter":                                 `there is no role "greter"`,
		"--role=all --replicas=no":                      `--replicas "no": want role=number, from 1 to 1000, as in greeter=3`,
		"--role=greeter --replicas=gateway=2":           `--replicas "gateway=2": gateway is not among the roles to run`,
		"--role=all --registry=etcd":                    `--registry "etcd": want auto, memory, consul or static`,
		"--role=all --network=udp":                      `--network "udp": want auto, memory or tcp`,
		"--role=all --peer=a=h:1":                       "--peer needs --registry=static",
		"--role=all --registry=static --peer=a":         `--peer: peer "a": want role=host:port`,
		"--role=all --route=shop":                       `--route: route "shop" has no "="; write it as /shop=shop`,
		"--role=all --work=greeter=fast":                `--work "greeter=fast": work "fast": want a time and limits, as in 20ms,workers=8,queue=100`,
		"--role=all --log=xml":                          `log format "xml": want text or json`,
		"--role=all --log-level=loud":                   `--log-level "loud": want debug, info, warn or error`,
		"--role=all --grpc=50051":                       "--grpc: address 50051: missing port in address: want host:port or :port",
		"--role=all --http=::1:80":                      "--http: address ::1:80: too many colons in address: want host:port or :port",
		"--role=all --http=:99999":                      `--http ":99999": the port must be a number from 0 to 65535`,
		"--role=all --advertise=foo:80":                 `--advertise "foo:80": want a host name or an IP address, without a port`,
		"--role=all --admin=localhost":                  "--admin: address localhost: missing port in address: want host:port or :port",
		"--role=all --drain=-1s":                        "--drain must be 0s or more, --grace above 0s",
		"--role=all --grace=0s":                         "--drain must be 0s or more, --grace above 0s",
		"--role=all --route=/shop=shop --route=/shop=x": "--route: ",
	} {
		_, err := asked(t, line)
		require.ErrorContains(t, err, want, line)
		if !strings.HasSuffix(want, ": ") {
			require.EqualError(t, err, want, line)
		}
		require.Equal(t, ExitUsage, Report(new(discard), err), line)
	}
}

func TestServeSaysWhereConsulIsConfigured(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", "gopher://consul:8500")
	_, err := asked(t, "--role=greeter")
	require.ErrorContains(t, err, "gopher")
	require.Equal(t, "CONSUL_HTTP_ADDR and its kin say where Consul is and how to talk to it", hintOf(err))
	require.Equal(t, ExitError, Report(new(discard), err))
}

func TestServeLogsAsAsked(t *testing.T) {
	for format, want := range map[string]string{"text": "level=INFO msg=hello", "json": `"message":"hello"`, "auto": `"message":"hello"`} {
		var out strings.Builder
		log, err := (&serving{log: format, logLevel: "info"}).newLog(&out, "v1")
		require.NoError(t, err)
		log.Info("hello")
		log.Debug("unheard")
		require.Contains(t, out.String(), want, format)
		require.NotContains(t, out.String(), "unheard")
	}
}

// inFlight runs `app serve` in real time, where signals are, with a request
// under way that ends only when it is cut.
func inFlight(t *testing.T, grace string) (stop context.CancelFunc, ended, cut <-chan error) {
	t.Helper()
	f, edge := app.Memory(), network.NewMemory()
	cfg, err := asked(t, "--role=all --grace="+grace)
	require.NoError(t, err)
	arrived := make(chan struct{})
	page := func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() }
	cfg.Roles, cfg.Run = []app.Role{serves("www", web{http.HandlerFunc(page)})}, map[string]int{"www": 1}
	cfg.Fabric, cfg.Edge = f, edge.Host("edge")
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	end := make(chan error, 1)
	go func() { end <- serve(ctx, cfg) }()
	reg, _ := f.Host("outside")
	for set := range reg.Watch(ctx, "www") {
		if len(set) > 0 {
			break
		}
	}
	dial := edge.Host("outside").Dial
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, addr) },
	}}
	t.Cleanup(client.CloseIdleConnections)
	answer := make(chan error, 1)
	go func() {
		res, err := client.Get("http://edge:8080/")
		if err == nil {
			err = res.Body.Close()
		}
		answer <- err
	}()
	<-arrived
	return stop, end, answer
}

func TestServeRunsUntilItsContextEnds(t *testing.T) {
	stop, ended, cut := inFlight(t, "50ms")
	stop()
	require.Equal(t, ExitCut, Report(new(discard), <-ended))
	require.Error(t, <-cut)
}

func TestLC7SecondSignalStopsAtOnce(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		_, ended, cut := inFlight(t, "1h")
		require.NoError(t, syscall.Kill(os.Getpid(), signal))
		// The kernel may merge a signal with one that is still pending.
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for err := error(nil); err == nil; {
			select {
			case err = <-ended:
				require.Equal(t, code, Report(new(discard), err))
			case <-again.C:
				_ = syscall.Kill(os.Getpid(), signal) // serve listens until it has returned
			}
		}
		require.Error(t, <-cut)
	}
}

func TestServeTakesItsFlagsFromTheEnvironmentToo(t *testing.T) {
	t.Setenv("APP_ROLE", "greter")
	_, err := program("serve")
	require.EqualError(t, err, `there is no role "greter"`)
	t.Setenv("APP_DRAIN", "soon")
	_, err = program("serve", "--role=all")
	require.ErrorContains(t, err, "environment variable APP_DRAIN: ")
	require.Equal(t, ExitUsage, Report(new(discard), err))
}

// addrs is where a role is listed, in the order of its instances.
func addrs(f app.Fabric, role string) []string {
	reg, _ := f.Host("outside")
	var out []string
	for set := range reg.Watch(context.Background(), role) {
		for _, in := range set {
			out = append(out, in.Addr)
		}
		break
	}
	return out
}
