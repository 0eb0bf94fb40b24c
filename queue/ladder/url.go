package ladder

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Target is where a URL points, as options for every kind of client.
type Target struct {
	opt   redis.UniversalOptions
	unix  bool
	label string
}

// forms is what an error about a URL shows.
const forms = "redis://[user:password@]host:6379/0, rediss://… for TLS, unix:///path/to/redis.sock, " +
	"redis-sentinel://host1:26379,host2:26379/master-name/0 or redis-cluster://host1:6379,host2:6379 " +
	"(rediss-sentinel and rediss-cluster for TLS)"

// Parse reads a Redis URL:
//
//	redis://[user:password@]host[:6379][/db]      rediss:// with TLS
//	unix:///path/to/redis.sock[?db=0]
//	redis-sentinel://[user:password@]host[:26379][,host…]/master-name[/db]
//	redis-cluster://[user:password@]host[:6379][,host…]
//
// The Sentinel and Cluster forms have TLS variants too: rediss-sentinel and
// rediss-cluster.
func Parse(raw string) (Target, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return Target{}, fmt.Errorf("%q is not a Redis URL; it should look like %s", redact(raw), forms)
	}
	var t Target
	var err error
	switch scheme {
	case "redis", "rediss", "unix":
		t, err = parseSingle(raw)
	case "redis-sentinel", "rediss-sentinel":
		t, err = parseMany(rest, "26379")
		if err == nil {
			err = t.sentinel(rest)
		}
	case "redis-cluster", "rediss-cluster":
		t, err = parseMany(rest, "6379")
		t.opt.IsClusterMode = true
		if err == nil && path(rest) != "" {
			err = errors.New("a cluster has no databases: leave the path out")
		}
	default:
		err = fmt.Errorf("scheme %q is unknown", scheme)
	}
	if err != nil {
		return Target{}, fmt.Errorf("the Redis URL %q: %w; it should look like %s", redact(raw), err, forms)
	}
	if strings.HasPrefix(scheme, "rediss-") {
		host, _, _ := net.SplitHostPort(t.opt.Addrs[0])
		t.opt.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	t.label = redact(raw)
	return t, nil
}

func parseSingle(raw string) (Target, error) {
	o, err := redis.ParseURL(raw)
	if err != nil {
		return Target{}, errors.New(strings.TrimPrefix(err.Error(), "redis: "))
	}
	return Target{unix: o.Network == "unix", opt: redis.UniversalOptions{
		Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
	}}, nil
}

// parseMany reads [user:password@]host[:port],… which net/url does not.
func parseMany(rest, port string) (Target, error) {
	authority, _, _ := strings.Cut(rest, "/")
	var t Target
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		u, err := url.Parse("redis://" + authority[:at] + "@host")
		if err != nil {
			return t, errors.New("user or password must be percent-encoded")
		}
		t.opt.Username = u.User.Username()
		t.opt.Password, _ = u.User.Password()
		authority = authority[at+1:]
	}
	for _, host := range strings.Split(authority, ",") {
		if host == "" {
			return t, errors.New("a host is missing")
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		t.opt.Addrs = append(t.opt.Addrs, host)
	}
	return t, nil
}

func path(rest string) string {
	_, p, _ := strings.Cut(rest, "/")
	return strings.Trim(p, "/")
}

func (t *Target) sentinel(rest string) error {
	master, db, _ := strings.Cut(path(rest), "/")
	if master == "" {
		return errors.New("the name of the master is missing")
	}
	t.opt.MasterName = master
	// Sentinels and servers usually share the password.
	t.opt.SentinelUsername, t.opt.SentinelPassword = t.opt.Username, t.opt.Password
	if db == "" {
		return nil
	}
	n, err := strconv.Atoi(db)
	if err != nil || n < 0 {
		return fmt.Errorf("database %q is not a number", db)
	}
	t.opt.DB = n
	return nil
}

// redact hides the password of a URL, also of one that does not parse.
func redact(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		scheme, rest = "", raw
	} else {
		scheme += "://"
	}
	authority, tail, slash := strings.Cut(rest, "/")
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, _, _ := strings.Cut(authority[:at], ":")
		authority = user + ":xxxxx@" + authority[at+1:]
	}
	if slash {
		authority += "/" + tail
	}
	return scheme + authority
}

// connect makes a client that gives up soon enough for a caller to be told
// within a second, and that leaves nothing to a later reconnection.
func (t Target) connect(opt Options) redis.UniversalClient {
	o := t.opt
	// RESP2 and no greetings: fewer bytes and checks for each command.
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.ContextTimeoutEnabled = true
	o.DialTimeout = 500 * time.Millisecond
	o.DialerRetries = 1
	o.ReadTimeout = opt.Timeout
	o.WriteTimeout = time.Second
	o.MaxRetries = 3 // a pool may hold several connections of a Redis that restarted
	o.MinRetryBackoff = 5 * time.Millisecond
	o.MaxRetryBackoff = 100 * time.Millisecond
	o.PoolSize = opt.PoolSize
	o.PoolTimeout = opt.Timeout // a caller's own deadline comes first
	o.ConnMaxIdleTime = 5 * time.Minute
	if t.unix {
		s := o.Simple()
		s.Network = "unix"
		return redis.NewClient(s)
	}
	return redis.NewUniversalClient(&o)
}
