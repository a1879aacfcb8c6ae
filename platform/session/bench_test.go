package session_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// What a session costs a request: a cookie is opened.
func BenchmarkSession(b *testing.B) {
	w := newWorld(b)
	w.issuer.padding = 700
	w.logIn()
	r := httptest.NewRequest(http.MethodGet, "https://app.example.com/x", nil)
	for _, c := range w.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	h := gateway(b, config(w.issuer), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
