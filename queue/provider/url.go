package provider

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
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

// forms is what an error about a URL shows when nothing nearer is known.
const forms = "it should look like redis://[user:password@]host:6379/0, rediss://… for TLS, unix:///path/to/redis.sock, " +
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
// rediss-cluster. Options follow after a question mark:
//
//	ca=FILE                 certificates (PEM) to trust beside the system's; TLS only
//	cert=FILE&key=FILE      our own certificate, where the server wants one; TLS only
//	server_name=NAME        the name in the server's certificate; TLS only
//	skip_verify=true        trust any certificate: for tests; TLS only
//	sentinel_user=, sentinel_password=   of the Sentinels, where they are not
//	                        those of the servers; empty for none
func Parse(raw string) (Target, error) {
	t, err := parse(raw)
	if err != nil {
		return Target{}, fmt.Errorf("the Redis URL %q: %w", redact(raw), err)
	}
	t.label = redact(raw)
	return t, nil
}

func parse(raw string) (Target, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return Target{}, errors.New(schemeless(raw))
	}
	rest, query, _ := cutOptions(rest)
	if _, after, _ := strings.Cut(rest, "/"); scheme != "unix" && strings.Contains(after, "@") || strings.Contains(rest, "?") {
		return Target{}, errors.New("a slash or a question mark in the user or the password must be percent-encoded: %2F for /, %3F for ?")
	}
	var t Target
	var err error
	switch scheme {
	case "redis", "rediss":
		t, err = parseSingle(scheme, rest)
	case "unix":
		t, err = parseUnix(rest)
	case "redis-sentinel", "rediss-sentinel":
		t, err = parseSentinel(scheme, rest)
	case "redis-cluster", "rediss-cluster":
		t, err = parseCluster(scheme, rest)
	default:
		err = fmt.Errorf("scheme %q is unknown: %s", scheme, likelyScheme(scheme))
	}
	if err != nil {
		return Target{}, err
	}
	if strings.HasPrefix(scheme, "rediss") {
		// One name for all nodes: Sentinels and clusters often tell addresses that
		// no certificate names.
		host, _, _ := net.SplitHostPort(t.opt.Addrs[0])
		t.opt.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	return t, t.options(query)
}

// schemeless says what was probably meant by something that is no URL.
func schemeless(raw string) string {
	switch {
	case strings.HasPrefix(raw, "/"):
		return "the scheme is missing; write unix://" + redact(raw) + " for a socket"
	case raw != "" && !strings.ContainsAny(raw, " \t\n"):
		return "the scheme is missing; write redis://" + redact(raw) + ", or rediss:// for TLS"
	}
	return "it is not a URL; " + forms
}

// likelyScheme says which scheme was probably meant.
func likelyScheme(scheme string) string {
	s := strings.ToLower(scheme)
	secure := ""
	if strings.Contains(s, "rediss") || strings.Contains(s, "tls") || strings.Contains(s, "ssl") || s == "https" || s == "valkeys" {
		secure = "s"
	}
	switch {
	case strings.Contains(s, "sentinel"):
		return "write redis" + secure + "-sentinel://host1:26379,host2:26379/master-name (redis:// is for a single server)"
	case strings.Contains(s, "cluster"):
		return "write redis" + secure + "-cluster://host1:6379,host2:6379 (redis:// is for a single server)"
	case strings.Contains(s, "unix"), strings.Contains(s, "socket"), s == "file":
		return "write unix:///path/to/redis.sock (redis:// is for TCP)"
	case secure != "":
		return "write rediss://host:6379/0 for TLS, or redis:// without"
	case s == "tcp", s == "http", s == "valkey", s == "keydb", s == "dragonfly":
		return "write redis://host:6379/0"
	}
	return forms
}

func parseSingle(scheme, rest string) (Target, error) {
	authority, _, _ := strings.Cut(rest, "/")
	if strings.Contains(authority[strings.LastIndex(authority, "@")+1:], ",") {
		return Target{}, fmt.Errorf("%s:// names one server and this names several; for a Redis Cluster write %[1]s-cluster://host1:6379,host2:6379, "+
			"for Sentinels %[1]s-sentinel://host1:26379,host2:26379/master-name, for one server redis://host:6379/0", scheme)
	}
	t, err := parseMany(rest, "6379")
	if err != nil {
		return Target{}, fmt.Errorf("%w, as in %s://[user:password@]host:6379/0 (redis:// without TLS)", err, scheme)
	}
	return t, t.database(path(rest), scheme+"://host:6379/0, which is redis:// or rediss://")
}

func parseUnix(rest string) (Target, error) {
	user := ""
	if at := strings.LastIndex(rest, "@"); at >= 0 && !strings.HasPrefix(rest, "/") {
		user, rest = rest[:at+1], rest[at+1:]
	}
	if !strings.HasPrefix(rest, "/") {
		return Target{}, fmt.Errorf("the path of a socket must be absolute; write unix:///%s (three slashes), or redis:// for TCP", rest)
	}
	t, err := parseMany(user+"socket", "0")
	t.unix, t.opt.Addrs = true, []string{rest}
	return t, err
}

func parseSentinel(scheme, rest string) (Target, error) {
	want := scheme + "://host1:26379,host2:26379/master-name/0 (redis:// is for a single server)"
	t, err := parseMany(rest, "26379")
	if err != nil {
		return Target{}, fmt.Errorf("%w, as in %s", err, want)
	}
	master, db, _ := strings.Cut(path(rest), "/")
	if master == "" {
		return Target{}, fmt.Errorf("the name of the master is missing, which the Sentinels know it by; write %s", want)
	}
	t.opt.MasterName = master
	// Sentinels and servers usually share the password.
	t.opt.SentinelUsername, t.opt.SentinelPassword = t.opt.Username, t.opt.Password
	return t, t.database(db, want)
}

func parseCluster(scheme, rest string) (Target, error) {
	want := scheme + "://host1:6379,host2:6379 (redis:// is for a single server)"
	t, err := parseMany(rest, "6379")
	if err != nil {
		return Target{}, fmt.Errorf("%w, as in %s", err, want)
	}
	if p := path(rest); p != "" {
		return Target{}, fmt.Errorf("a cluster has no databases: leave /%s out and write %s", p, want)
	}
	t.opt.IsClusterMode = true
	return t, nil
}

func (t *Target) database(text, want string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return fmt.Errorf("database %q is not a number; write %s", text, want)
	}
	t.opt.DB = n
	return nil
}

// parseMany reads [user:password@]host[:port],… which net/url does not.
func parseMany(rest, port string) (Target, error) {
	authority, _, _ := strings.Cut(rest, "/")
	var t Target
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		u, err := url.Parse("redis://" + authority[:at] + "@host")
		if err != nil {
			return t, errors.New("the user or the password must be percent-encoded (@ is %40, / is %2F, # is %23)")
		}
		t.opt.Username = u.User.Username()
		t.opt.Password, _ = u.User.Password()
		authority = authority[at+1:]
	} else if strings.Contains(rest, "@") {
		return t, errors.New("the user or the password must be percent-encoded (@ is %40, / is %2F, # is %23)")
	}
	for _, host := range strings.Split(authority, ",") {
		addr, err := address(host, port)
		if err != nil {
			return t, err
		}
		t.opt.Addrs = append(t.opt.Addrs, addr)
	}
	return t, nil
}

// address completes host[:port].
func address(host, port string) (string, error) {
	name, number, err := net.SplitHostPort(host)
	if err != nil {
		name, number = strings.Trim(host, "[]"), port
	}
	if number == "" {
		number = port
	}
	switch n, err := strconv.ParseUint(number, 10, 16); {
	case name == "" || strings.ContainsAny(name, " \t\n#"):
		return "", errors.New("a host is missing")
	case err != nil || n == 0 && port != "0":
		return "", fmt.Errorf("the port of host %q is %q; it must be a number from 1 to 65535", name, number)
	}
	return net.JoinHostPort(name, number), nil
}

func path(rest string) string {
	_, p, _ := strings.Cut(rest, "/")
	return strings.Trim(p, "/")
}

// options reads what follows the question mark.
func (t *Target) options(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("the options after ? must be name=value, joined by &; %s", forms)
	}
	tlsOnly := func(name string) error {
		if t.opt.TLSConfig == nil {
			return fmt.Errorf("the option %s is for TLS; write rediss:// instead of redis:// to speak it", name)
		}
		return nil
	}
	for name := range values {
		v := values.Get(name)
		switch name {
		case "ca", "cert", "key":
			err = tlsOnly(name)
		case "server_name":
			if err = tlsOnly(name); err == nil {
				t.opt.TLSConfig.ServerName = v
			}
		case "skip_verify":
			if err = tlsOnly(name); err == nil {
				t.opt.TLSConfig.InsecureSkipVerify, err = strconv.ParseBool(v)
			}
		case "sentinel_user", "sentinel_password":
			switch {
			case t.opt.MasterName == "":
				err = fmt.Errorf("the option %s is for redis-sentinel:// only, not for redis://", name)
			case name == "sentinel_user":
				t.opt.SentinelUsername = v
			default:
				t.opt.SentinelPassword = v
			}
		case "db":
			err = t.database(v, "db=0, as in unix:///path/to/redis.sock?db=0; redis:// takes it as its path")
		default:
			err = fmt.Errorf("the option %q is unknown; there are ca, cert, key, server_name and skip_verify for TLS (rediss://), "+
				"sentinel_user and sentinel_password (redis-sentinel://), and db", name)
		}
		if err != nil {
			return err
		}
	}
	return t.certificates(values.Get("ca"), values.Get("cert"), values.Get("key"))
}

// certificates loads what the server's and our own identity are shown by.
func (t *Target) certificates(ca, cert, key string) error {
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("the option ca must name a file of certificates for rediss://: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return fmt.Errorf("the option ca must name a file of PEM certificates for rediss://; %s holds none", ca)
		}
		t.opt.TLSConfig.RootCAs = pool
	}
	if (cert == "") != (key == "") {
		return errors.New("the options cert and key go together: rediss://host:6379/0?cert=FILE&key=FILE")
	}
	if cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("the options cert and key must name a PEM certificate and its key, as in rediss://host:6379/0?cert=FILE&key=FILE: %w", err)
	}
	t.opt.TLSConfig.Certificates = []tls.Certificate{pair}
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
	rest, query, options := cutOptions(rest)
	if options {
		query = "?" + sentinelSecret.ReplaceAllString(query, "${1}xxxxx")
	}
	// A password that is not encoded may hold any character, a slash too.
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, _, _ := strings.Cut(rest[:at], ":")
		rest = user + ":xxxxx" + rest[at:]
	}
	return scheme + rest + query
}

// cutOptions cuts the options off. A question mark in a password that is not encoded
// does not begin them.
func cutOptions(rest string) (before, options string, found bool) {
	before, options, found = strings.Cut(rest, "?")
	if name, _, _ := strings.Cut(options, "="); strings.Contains(name, "@") {
		at := strings.LastIndex(rest, "@")
		before, options, found = strings.Cut(rest[at:], "?")
		before = rest[:at] + before
	}
	return before, options, found
}

var sentinelSecret = regexp.MustCompile(`(sentinel_password=)[^&]*`)

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
