package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// subjects are the proxies, each configured as it would be for this job:
// connections to backends kept open, no access log, the machine's two cores.
func (y *yard) subjects(ctx context.Context) []*subject {
	servers := func(format string) (text string) {
		for i, b := range y.backends {
			text += fmt.Sprintf(format+"\n", i, b)
		}
		return text
	}
	upstreams := ""
	for _, b := range y.backends {
		upstreams += "server " + b + "; "
	}
	file := func(before ...string) func(string, string) []string {
		return func(config, _ string) []string { return append(before, config) }
	}
	ours := []string{"serve", "--role=gateway", "--registry=static", "--admin=", "--log-level=warn", "--route=/shop=shop"}
	if y.plan.profile != "" {
		y.admin, _ = freeAddr(ctx)
		ours[3] = "--admin=" + y.admin
	}
	for _, b := range y.backends {
		ours = append(ours, "--peer=shop="+b)
	}
	backends := strings.Join(y.backends, ",")
	return []*subject{
		{name: "nginx", program: "nginx", missing: "apt-get install nginx-light", args: file("-c"), config: `
worker_processes 2; daemon off; pid DIR/nginx.pid; error_log DIR/nginx.err;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path DIR; proxy_temp_path DIR; fastcgi_temp_path DIR; uwsgi_temp_path DIR; scgi_temp_path DIR;
  upstream shop { ` + upstreams + ` keepalive 64; keepalive_requests 1000000000; }
  server { listen LISTEN; location /shop/ { proxy_pass http://shop/; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; } }
}`},
		{name: "haproxy", program: "haproxy", missing: "apt-get install haproxy", args: file("-db", "-f"), config: `
global
  nbthread 2
  maxconn 2000
defaults
  mode http
  option forwardfor
  http-reuse always
  timeout connect 2s
  timeout client 300s
  timeout server 30s
frontend in
  bind LISTEN
  default_backend shop
backend shop
  http-request replace-path /shop/(.*) /\1
  balance leastconn
` + servers("  server s%d %s")},
		{name: "caddy", program: "caddy", missing: "apt-get install caddy", args: func(config, _ string) []string {
			return []string{"run", "--config", config, "--adapter", "caddyfile"}
		}, config: `{
  admin off
  auto_https off
}
http://LISTEN {
  handle_path /shop/* {
    reverse_proxy ` + strings.Join(y.backends, " ") + ` {
      lb_policy least_conn
      transport http {
        keepalive_idle_conns_per_host 64
      }
    }
  }
}`},
		{name: "ReverseProxy, tuned", program: y.self, args: func(_, addr string) []string { return []string{"standard", "tuned," + addr, backends} }},
		{name: "ReverseProxy", program: y.self, args: func(_, addr string) []string { return []string{"standard", "naive," + addr, backends} }},
		{name: "app", program: y.app(ctx), missing: "run it from the top of the repository: go build failed", args: func(_, addr string) []string {
			return append(ours, "--http="+addr)
		}},
	}
}

// app builds the program, and says where it is.
func (y *yard) app(ctx context.Context) string {
	bin := filepath.Join(y.dir, "app")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "example.com/app")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build app:", err)
	}
	return bin
}

// backends serves an answer at some addresses, which it prints.
func backends(ctx context.Context, what string) error {
	count, bytes, _ := strings.Cut(what, ",")
	n, _ := strconv.Atoi(count)
	size, _ := strconv.Atoi(bytes)
	answer := []byte(strings.Repeat("x", size))
	var addrs []string
	for range n {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		addrs = append(addrs, ln.Addr().String())
		go func() {
			_ = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:gosec // a backend on loopback
				w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
				_, _ = w.Write(answer)
			}))
		}()
	}
	fmt.Println(strings.Join(addrs, " "))
	<-ctx.Done()
	return nil
}

// standard is net/http's proxy over several backends, by turns: as it comes, or
// tuned with connections enough and buffers that are used again.
func standard(ctx context.Context, what, list string) error {
	kind, addr, _ := strings.Cut(what, ",")
	hosts := strings.Split(list, ",")
	var next atomic.Uint64
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", hosts[next.Add(1)%uint64(len(hosts))]
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/shop")
		r.SetXForwarded()
	}}
	if kind == "tuned" {
		p.BufferPool = make(buffers, 128)
		p.Transport = &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(ln, p) }() //nolint:gosec // a proxy on loopback
	<-ctx.Done()
	return nil
}

type buffers chan []byte

func (b buffers) Get() []byte {
	select {
	case s := <-b:
		return s
	default:
		return make([]byte, 32<<10)
	}
}

func (b buffers) Put(s []byte) {
	select {
	case b <- s:
	default:
	}
}
