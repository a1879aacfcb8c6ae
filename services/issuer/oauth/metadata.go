package oauth

import (
	"encoding/json"
	"net/http"

	"example.com/app/services/issuer/account"
	"example.com/app/services/issuer/keys"
)

// metadata tells clients what the server can do (RFC 8414 section 2, OpenID
// Connect Discovery 1.0 section 3).
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) {
	at, auth := s.cfg.Issuer+"/oauth2", []string{"client_secret_basic", "client_secret_post", "none"}
	publish(w, map[string]any{
		"issuer":                                         s.cfg.Issuer,
		"authorization_endpoint":                         at + "/authorize",
		"token_endpoint":                                 at + "/token",
		"userinfo_endpoint":                              at + "/userinfo",
		"jwks_uri":                                       at + "/jwks",
		"introspection_endpoint":                         at + "/introspect",
		"revocation_endpoint":                            at + "/revoke",
		"device_authorization_endpoint":                  at + "/device_authorization",
		"end_session_endpoint":                           at + "/logout",
		"scopes_supported":                               []string{"openid", "profile", "offline_access"},
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "client_credentials", "refresh_token", account.DeviceGrant},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{string(keys.Algorithm)},
		"token_endpoint_auth_methods_supported":          auth,
		"revocation_endpoint_auth_methods_supported":     auth,
		"introspection_endpoint_auth_methods_supported":  auth[:2],
		"code_challenge_methods_supported":               []string{"S256"},
		"claims_supported":                               []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "amr", "name", "preferred_username"},
		"prompt_values_supported":                        []string{"none", "login", "consent", "select_account"},
		"authorization_response_iss_parameter_supported": true, // RFC 9207 section 3
		"claims_parameter_supported":                     false,
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false,
	})
}

// jwks publishes the keys (RFC 7517 section 5).
func (s *Server) jwks(w http.ResponseWriter, _ *http.Request) { publish(w, s.cfg.Keys.Public()) }

// publish answers with what everybody may know and keep a while.
func publish(w http.ResponseWriter, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(data)
}
