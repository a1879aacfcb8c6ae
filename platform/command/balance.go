package command

import (
	"strconv"
	"strings"

	"example.com/app/platform/app"
	"example.com/app/platform/balance/policy"
)

// ParseBalance reads how calls are shared from texts like "prequal", for every
// role, or "greeter=ring_hash:bound=1.5", for one.
func ParseBalance(texts []string) (map[string]app.Balance, error) {
	chosen := make(map[string]app.Balance)
	for _, text := range texts {
		if err := choose(chosen, text, func(b *app.Balance, value string) error {
			b.Policy = value
			_, err := policy.Parse(value)
			return err
		}); err != nil {
			return nil, usage("--balance %q: %w", text, err)
		}
	}
	return chosen, nil
}

// choose changes what a text says: of the role that it names, or of all.
func choose(chosen map[string]app.Balance, text string, change func(*app.Balance, string) error) error {
	role, value := "", text
	if name, rest, ok := strings.Cut(text, "="); ok && !strings.Contains(name, ":") { // a policy's parameters follow a colon
		role, value = name, rest
	}
	b := chosen[role]
	if err := change(&b, strings.TrimSpace(value)); err != nil {
		return err
	}
	chosen[role] = b
	return nil
}

// shares reads how calls to each role, or to all (""), are shared.
func (s *serving) shares() (map[string]app.Balance, error) {
	chosen, err := ParseBalance(s.balance)
	if err != nil {
		return nil, err
	}
	for _, text := range s.hashHeaders {
		if err := choose(chosen, text, func(b *app.Balance, value string) error {
			b.Header = strings.ToLower(value)
			if b.Header == "" || strings.Trim(b.Header, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
				return usage("--hash-header %q: want the name of a header, or role=name, as in greeter=x-user", text)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	for _, text := range s.subsets {
		if err := choose(chosen, text, func(b *app.Balance, value string) (err error) {
			if b.Subset, err = strconv.Atoi(value); err != nil || b.Subset < 0 {
				return usage("--subset %q: want a number, or role=number, as in greeter=10", text)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return chosen, nil
}
