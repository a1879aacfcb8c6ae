package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestJSONFollowsTheElasticCommonSchema(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLog(&out, LogConfig{Format: "json", Service: "app", Version: "v1"})
	require.NoError(t, err)
	log.With("role", "greeter", "instance", "greeter-1").Warn("call",
		"error", errors.New("no phrase"), "took", 3*time.Millisecond, "request_id", "r1", "peer", "a:1")

	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	at, _ := line["@timestamp"].(string)
	_, err = time.Parse(time.RFC3339Nano, at)
	require.NoError(t, err, "@timestamp must be a time")
	delete(line, "@timestamp")
	require.Equal(t, map[string]any{
		"log.level": "warn", "message": "call", "ecs.version": ecsVersion,
		"service.name": "app", "service.version": "v1", "service.type": "greeter", "service.node.name": "greeter-1",
		"error.message": "no phrase", "event.duration": 3e6, "http.request.id": "r1", "client.address": "a:1",
	}, line)
}

func TestARecordIsOneLineWhateverItSays(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, err := NewLog(&out, LogConfig{Format: format})
		require.NoError(t, err)
		log.Info("a\nb", "name", "Ada\n{\"log.level\":\"forged\"}")
		require.Equal(t, 1, strings.Count(out.String(), "\n"), format)
	}
}

func TestLevelsHaveTheirNames(t *testing.T) {
	for level, name := range map[slog.Level]string{
		slog.LevelDebug: "debug", slog.LevelInfo: "info", slog.LevelWarn: "warn", slog.LevelError: "error", slog.LevelError + 4: "error",
	} {
		require.Equal(t, name, levelName(level))
	}
}

func TestUnknownFormatIsRefused(t *testing.T) {
	_, err := NewLog(new(bytes.Buffer), LogConfig{Format: "xml"})
	require.EqualError(t, err, `log format "xml": want text or json`)
}
