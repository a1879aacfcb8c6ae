package app

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
)

// Certificates are what a node shows to others, in PEM. They are public: no key
// is among them.
type Certificates struct {
	Roots     string        `json:"roots"` // of a CA in memory; empty: its CA is elsewhere
	Instances []Certificate `json:"instances"`
}

// A Certificate is the chain of one instance, leaf first.
type Certificate struct {
	Host  string `json:"host"`
	Chain string `json:"chain"`           // PEM
	Error string `json:"error,omitempty"` // why there is none
}

// certs shows the certificates of the node.
func (a *admin) certs(w http.ResponseWriter, _ *http.Request) {
	all := Certificates{Instances: []Certificate{}}
	if ca, ok := a.node.cfg.Security.Identity.(interface{ Export() ([]byte, error) }); ok {
		if roots, err := ca.Export(); err == nil {
			all.Roots = string(roots)
		}
	}
	for _, in := range a.node.instances {
		if in.guard.workload == nil {
			continue
		}
		c := Certificate{Host: in.host}
		chain, err := in.guard.workload.Chain()
		if err != nil {
			c.Error = err.Error()
		}
		for _, der := range chain {
			c.Chain += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
		all.Instances = append(all.Instances, c)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all) // who asked has gone
}
