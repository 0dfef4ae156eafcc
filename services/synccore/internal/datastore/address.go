package datastore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// mode is what stands behind an address.
type mode int

const (
	single mode = iota
	sentinel
	cluster
)

// address is a Redis URL taken apart. The forms are
//
//	redis://user:password@host:6379/0                                 one server; rediss:// with TLS, unix:// a socket
//	redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0 the sentinels, the primary's name, the database
//	redis+cluster://user:password@host1:6379,host2:6379               some nodes of a cluster
//
// rediss+sentinel:// and rediss+cluster:// use TLS to all of them. Settings follow a
// question mark: those of go-redis for one server (pool_size, read_timeout, …) and
//
//	ca_file, cert_file, key_file          PEM files for TLS: who signed the servers, and who we are
//	server_name                           the name in the servers' certificates, where it is not that of the address
//	sentinel_username, sentinel_password  for the sentinels, where they ask for credentials
type address struct {
	mode    mode
	options *redis.UniversalOptions
}

// errAddress is an address that can't be read. Its text never repeats the address, which
// may hold a password.
var errAddress = errors.New("the Redis address can't be read")

func parseAddress(text string) (address, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return address{}, fmt.Errorf("%w: it has no scheme", errAddress)
	}
	base, kind, _ := strings.Cut(scheme, "+")
	a := address{}
	switch kind {
	case "":
	case "sentinel":
		a.mode = sentinel
	case "cluster":
		a.mode = cluster
	default:
		return address{}, fmt.Errorf("%w: its scheme is unknown", errAddress)
	}
	if a.mode != single && base != "redis" && base != "rediss" {
		return address{}, fmt.Errorf("%w: its scheme is unknown", errAddress)
	}
	hosts, rest := splitHosts(rest)
	if a.mode == single {
		if len(hosts) > 1 {
			return address{}, fmt.Errorf("%w: several hosts need redis+sentinel:// or redis+cluster://", errAddress)
		}
	}
	u, err := url.Parse(base + "://" + rest)
	if err != nil {
		return address{}, errAddress // its text repeats the address
	}
	query := u.Query()
	ours := map[string]string{}
	for _, name := range []string{"ca_file", "cert_file", "key_file", "server_name", "sentinel_username", "sentinel_password"} {
		ours[name] = query.Get(name)
		query.Del(name)
	}
	u.RawQuery = query.Encode()
	master := ""
	switch a.mode {
	case sentinel:
		master, u.Path, _ = strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if master == "" {
			return address{}, fmt.Errorf("%w: the primary's name is missing behind the sentinels, as in redis+sentinel://host:26379/mymaster", errAddress)
		}
	case cluster:
		if strings.Trim(u.Path, "/0") != "" || query.Get("db") != "" {
			return address{}, fmt.Errorf("%w: a cluster has no numbered databases", errAddress)
		}
		u.Path = ""
	case single:
	}
	parsed, err := redis.ParseURL(u.String())
	if err != nil {
		return address{}, errAddress
	}
	a.options = universal(parsed)
	if a.mode != single {
		a.options.Addrs = withPorts(hosts, map[mode]string{sentinel: "26379", cluster: "6379"}[a.mode])
		a.options.MasterName, a.options.IsClusterMode = master, a.mode == cluster
	}
	a.options.SentinelUsername, a.options.SentinelPassword = ours["sentinel_username"], ours["sentinel_password"]
	if a.mode != sentinel && ours["sentinel_username"]+ours["sentinel_password"] != "" {
		return address{}, fmt.Errorf("%w: sentinel_username and sentinel_password are for redis+sentinel://", errAddress)
	}
	return a, a.secure(ours)
}

// splitHosts takes the hosts out of what follows a URL's scheme, and leaves the first
// one in it: a URL has one host.
func splitHosts(rest string) ([]string, string) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	from := strings.LastIndexByte(rest[:end], '@') + 1
	hosts := strings.Split(rest[from:end], ",")
	return hosts, rest[:from] + hosts[0] + rest[end:]
}

func withPorts(hosts []string, port string) []string {
	list := make([]string, len(hosts))
	for i, host := range hosts {
		list[i] = host
		if _, _, err := net.SplitHostPort(host); err != nil {
			list[i] = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
	}
	return list
}

// secure sets up TLS as the address' settings have it.
func (a address) secure(settings map[string]string) error {
	config := a.options.TLSConfig
	files := settings["ca_file"] + settings["cert_file"] + settings["key_file"] + settings["server_name"]
	if config == nil {
		if files != "" {
			return fmt.Errorf("%w: ca_file, cert_file, key_file and server_name are for TLS, which rediss:// asks for", errAddress)
		}
		return nil
	}
	if a.mode != single {
		config.ServerName = "" // each node has its own
	}
	if name := settings["server_name"]; name != "" {
		config.ServerName = name
	}
	if file := settings["ca_file"]; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%w: reading ca_file: %w", errAddress, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%w: ca_file holds no certificate", errAddress)
		}
	}
	if settings["cert_file"] == "" && settings["key_file"] == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(settings["cert_file"], settings["key_file"])
	if err != nil {
		return fmt.Errorf("%w: reading cert_file and key_file: %w", errAddress, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return nil
}

// unreadable tells of an address that can't be used; why names the part.
func unreadable(text string, why error) error {
	detail := ""
	if _, part, found := strings.Cut(why.Error(), errAddress.Error()+": "); found {
		detail = " (" + part + ")"
	}
	return fault.New(fault.Misconfigured,
		"The Redis address %s can't be used%s; write redis://host:6379/0, rediss://host:6379/0 for TLS, "+
			"redis+sentinel://host:26379/mymaster, redis+cluster://host:6379, or embedded.", masked(text), detail)
}

func universal(o *redis.Options) *redis.UniversalOptions {
	const (
		patience = 3 * time.Second
		// connections is how many there may be to a server. The client's own default follows
		// the number of CPUs and is 5 of each in a cluster; on a small machine the workers
		// that wait for work would leave none to those that bring it.
		connections = 64
	)
	u := &redis.UniversalOptions{
		Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password,
		ClientName: o.ClientName, TLSConfig: o.TLSConfig, Dialer: o.Dialer,
		MaxRetries: o.MaxRetries, MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		PoolFIFO: o.PoolFIFO, PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout,
		MinIdleConns: o.MinIdleConns, MaxIdleConns: o.MaxIdleConns, MaxActiveConns: o.MaxActiveConns,
		ConnMaxIdleTime: o.ConnMaxIdleTime, ConnMaxLifetime: o.ConnMaxLifetime,
		// A caller's deadline ends a command that the server does not answer.
		ContextTimeoutEnabled: true,
		// Nothing of RESP3 is used, and Redis 7.0 does not know CLIENT SETINFO.
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if o.Network == "unix" {
		u.Dialer = unixDialer(o.Addr)
	}
	if u.PoolSize == 0 {
		u.PoolSize = connections
	}
	if u.DialTimeout == 0 {
		u.DialTimeout = patience
	}
	if u.ReadTimeout == 0 {
		u.ReadTimeout = patience
	}
	if u.WriteTimeout == 0 {
		u.WriteTimeout = patience
	}
	return u
}

func unixDialer(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}
