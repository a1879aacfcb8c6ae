package network

import (
	"errors"
	"net"
)

// Reachable turns the address of a listener into one that peers can dial. An
// address that names a host stays as it is; one that stands for all of this
// machine's ("0.0.0.0" or "[::]") becomes its first private address, else its
// first public one, else loopback.
func Reachable(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return addr, nil
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "", errors.Join(errors.New("list this machine's addresses"), err)
	}
	return net.JoinHostPort(best(all), port), nil
}

func best(all []net.Addr) string {
	public := ""
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() {
			continue
		}
		if n.IP.IsPrivate() {
			return n.IP.String()
		}
		if public == "" {
			public = n.IP.String()
		}
	}
	if public == "" {
		return "127.0.0.1"
	}
	return public
}
