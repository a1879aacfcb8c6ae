package page_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim"
	"example.com/app/sim/load"
	"example.com/app/sim/page"
	"example.com/app/sim/simtest"
)

// A browser is a headless Chromium, spoken to over a pipe in the Chrome
// DevTools Protocol: JSON, each message ended by a zero byte.
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	last    int
	session string
}

func open(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs a browser: apt-get install chromium")
	}
	theirs, in, err := os.Pipe()
	require.NoError(t, err)
	out, ours, err := os.Pipe()
	require.NoError(t, err)
	profile, err := os.MkdirTemp("", "browser") // not t.TempDir: Chromium writes to it a moment longer
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{theirs, ours}
	require.NoError(t, cmd.Start())
	theirs.Close()
	ours.Close()
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
		_ = os.RemoveAll(profile)
	})
	require.NoError(t, out.SetReadDeadline(time.Now().Add(time.Minute)))
	b := &browser{t: t, in: in, out: bufio.NewReaderSize(out, 1<<20)}
	target := b.do("Target.createTarget", map[string]any{"url": "about:blank"})
	b.session, _ = b.do("Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})["sessionId"].(string)
	require.NotEmpty(t, b.session)
	return b
}

// do sends one command and waits for its answer.
func (b *browser) do(method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.last++
	text, err := json.Marshal(map[string]any{"id": b.last, "method": method, "params": params, "sessionId": b.session})
	require.NoError(b.t, err)
	_, err = b.in.Write(append(text, 0))
	require.NoError(b.t, err)
	for {
		line, err := b.out.ReadBytes(0)
		require.NoError(b.t, err)
		var answer struct {
			ID     int
			Result map[string]any
			Error  any
		}
		require.NoError(b.t, json.Unmarshal(line[:len(line)-1], &answer))
		if answer.ID == b.last {
			require.Nil(b.t, answer.Error)
			return answer.Result
		}
	}
}

// eval is what an expression comes to, once what it promises has come.
func (b *browser) eval(code string) any {
	b.t.Helper()
	r := b.do("Runtime.evaluate", map[string]any{"expression": code, "awaitPromise": true, "returnByValue": true})
	require.Nil(b.t, r["exceptionDetails"])
	value, _ := r["result"].(map[string]any)
	return value["value"]
}

// until waits in the page until an expression is true.
func (b *browser) until(code string) {
	b.t.Helper()
	ok := b.eval(fmt.Sprintf(`new Promise((done) => {
		const end = Date.now() + 8000;
		const look = () => { let ok = false; try { ok = %s } catch {} ok || Date.now() > end ? done(ok) : setTimeout(look, 50) };
		look();
	})`, code))
	require.Equal(b.t, true, ok, "%s; it says %v", code, b.eval(`document.querySelector("#said").textContent + document.querySelector("#active").textContent`))
}

// shoot keeps a picture where SHOTS says.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("SHOTS")
	if dir == "" {
		return
	}
	text, _ := b.do("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true})["data"].(string)
	png, err := base64.StdEncoding.DecodeString(text)
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name), png, 0o600))
}

func TestInABrowserAnInstanceIsKilledAndComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser and real time")
	}
	for _, c := range []struct {
		name          string
		width, height int
		scheme        string
	}{{"desk", 1280, 900, "dark"}, {"phone", 360, 740, "light"}} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t)
			ctx, stop := context.WithCancel(t.Context())
			started, over := make(chan *sim.World, 1), make(chan error, 2)
			s := sim.Scenario{Name: "short", Roles: simtest.System(), Fleet: map[string]int{"gateway": 2, "greeter": 4}, Duration: time.Minute}
			go func() {
				_, err := s.Run(ctx, sim.Options{Seed: 1, Live: true, Knob: load.NewKnob(60), Started: func(w *sim.World) { started <- w }})
				over <- err
			}()
			w := <-started
			p := page.New(page.Config{World: w})
			go func() { over <- p.Run(ctx) }()
			srv := httptest.NewServer(p)
			defer func() {
				stop()
				require.NoError(t, <-over)
				require.NoError(t, <-over)
				srv.Close()
			}()

			b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": c.width, "height": c.height, "deviceScaleFactor": 1, "mobile": c.width < 500})
			b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": c.scheme}}})
			b.do("Page.navigate", map[string]any{"url": srv.URL})
			const node = `document.querySelector('[data-host="greeter-2"]')`
			b.until(node + ` !== null && document.querySelectorAll(".edge").length > 4`)
			require.Equal(t, false, b.eval(`document.documentElement.scrollWidth > innerWidth`), "it is no wider than the screen")

			b.eval(node + `.dispatchEvent(new MouseEvent("click", {bubbles: true})); document.querySelector("#lasting").value = "5s"; document.querySelector('[data-fault="crash"]').click()`)
			b.until(node + `.classList.contains("out") && document.querySelector("#active").textContent.includes("crash greeter-2")`)
			require.Contains(t, w.Active()[0].String(), "crash greeter-2 for 5s")
			b.until(`document.querySelectorAll(".band").length > 0`)
			b.shoot(c.name + ".png")
			b.until(`!` + node + `.classList.contains("out") && document.querySelector("#active").textContent.includes("Nothing")`)
			require.Empty(t, w.Active())
			require.Contains(t, w.Fleet.Up(), "greeter-2")
		})
	}
}
