// Package telemetry makes what a process tells of itself: logs for people and
// for machines.
package telemetry

import (
	"io"
	"log/slog"

	"example.com/app/platform/errs"
)

// A LogConfig says how to write a log. The zero value writes text from level
// info on.
type LogConfig struct {
	Format  string     // "text" for people; "json" for Elasticsearch, by the Elastic Common Schema; empty means text
	Level   slog.Level // the lowest level that is written
	Service string     // service.name of every JSON line; empty: none
	Version string     // service.version of every JSON line; empty: none
}

// ecsVersion is the version of the Elastic Common Schema that the names come
// from (https://www.elastic.co/docs/reference/ecs).
const ecsVersion = "8.17.0"

// NewLog returns a log that writes one line per record to w, whatever the texts
// hold that clients sent. Secrets are masked: attributes with a telling name
// (password, token, secret, cookie, authorization, api-key, or an end like
// that, at any depth), and what Mask finds in messages, texts and errors.
func NewLog(w io.Writer, cfg LogConfig) (*slog.Logger, error) {
	switch cfg.Format {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: cfg.Level, ReplaceAttr: redact})), nil
	case "json":
		log := slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: cfg.Level, ReplaceAttr: ecs})).With("ecs.version", ecsVersion)
		if cfg.Service != "" {
			log = log.With("service.name", cfg.Service)
		}
		if cfg.Version != "" {
			log = log.With("service.version", cfg.Version)
		}
		return log, nil
	default:
		return nil, errs.Invalid.New("log format %q: want text or json", cfg.Format)
	}
}

// ecs gives the attributes of the platform their names in the schema.
func ecs(groups []string, a slog.Attr) slog.Attr {
	a = redact(groups, a)
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		a.Key = "@timestamp"
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String("log.level", levelName(level))
		}
	case slog.MessageKey:
		a.Key = "message"
	case "error":
		a.Key = "error.message"
	case "stack":
		a.Key = "error.stack_trace"
	case "role":
		a.Key = "service.type"
	case "instance":
		a.Key = "service.node.name"
	case "peer":
		a.Key = "client.address"
	case "request_id":
		a.Key = "http.request.id"
	case "took":
		return slog.Int64("event.duration", a.Value.Duration().Nanoseconds())
	}
	return a
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	default:
		return "error"
	}
}
