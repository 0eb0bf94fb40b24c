package provider

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

// Every form of URL leads to a real Redis of its kind.
func TestForms(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) string{
		"single": func(t *testing.T) string {
			return "redis://:p%40ss@" + redistest.Start(t, "--requirepass", "p@ss").Addr + "/3"
		},
		"unix": func(t *testing.T) string {
			socket := filepath.Join(t.TempDir(), "r.sock")
			redistest.Start(t, "--unixsocket", socket, "--requirepass", "p@ss")
			return "unix://:p%40ss@" + socket + "?db=3"
		},
		"TLS": func(t *testing.T) string {
			s := redistest.StartTLS(t)
			return "rediss://" + s.Addr + "/3?ca=" + s.CA + "&cert=" + s.Cert + "&key=" + s.Key
		},
		"Sentinel": func(t *testing.T) string { return redistest.StartSentinel(t).URL },
		"Cluster":  func(t *testing.T) string { return redistest.StartCluster(t, 3).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{URL: url(t)})
			if err := r.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			further := r.Asynq().MakeRedisClient().(redis.UniversalClient)
			defer closing(t, further)
			if v, err := further.Get(t.Context(), "k").Result(); v != "v" {
				t.Errorf("a further client reads %q, %v", v, err)
			}
			if strings.Contains(r.Describe(), "p%40ss") || !strings.Contains(r.Describe(), "Redis 7") && !strings.Contains(r.Describe(), "Redis 8") {
				t.Errorf("it is described as %q", r.Describe())
			}
		})
	}
}

// A URL of the wrong kind does not start, and the error says what would be right.
func TestWrongForms(t *testing.T) {
	t.Parallel()
	plain := redistest.Start(t)
	locked := redistest.Start(t, "--requirepass", "p@ss")
	secure := redistest.StartTLS(t)
	sentinel := redistest.StartSentinel(t)
	cluster := redistest.StartCluster(t, 3)
	other := redistest.StartTLS(t)
	for _, c := range []struct{ url, want string }{
		{"rediss://" + plain.Addr, "write redis://"},
		{"redis://" + secure.Addr, "write rediss://"},
		{"rediss://" + secure.Addr, "add ?ca=FILE"},
		{"rediss://" + secure.Addr + "?ca=" + other.CA, "add ?ca=FILE"},
		{"rediss://" + secure.Addr + "?ca=" + secure.CA, "add ?cert=FILE&key=FILE"},
		{"rediss://" + secure.Addr + "?ca=" + secure.CA + "&server_name=elsewhere&cert=" + secure.Cert + "&key=" + secure.Key, "add ?server_name=NAME"},
		{"redis://" + locked.Addr, "write redis://:password@host"},
		{"redis://:wrong@" + locked.Addr, "password is wrong"},
		{"redis://" + plain.Addr + "/99", "too high"},
		{"redis-cluster://" + plain.Addr, "write redis://"},
		{"redis://" + cluster.Nodes[0].Addr, "write redis-cluster://" + cluster.Nodes[0].Addr},
		{"redis://" + sentinel.Watch.Addr, "write redis-sentinel://" + sentinel.Watch.Addr},
		{"redis-sentinel://" + sentinel.Watch.Addr + "/other", `it knows mymaster`},
		{"redis-sentinel://" + plain.Addr + "/mymaster", "usually port 26379"},
	} {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			// Refused at once or not, three seconds are enough to be told.
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			r, err := Start(ctx, Options{URL: c.url})
			if err == nil {
				_ = r.Stop(t.Context())
				t.Fatalf("%s was taken", c.url)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: the error does not say %q: %v", c.url, c.want, err)
			}
		})
	}
}

// What is wrong with a URL by itself is told by what would be right.
func TestParseSaysWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"localhost:6379":                        "write redis://localhost:6379",
		"/run/redis.sock":                       "write unix:///run/redis.sock",
		"http://localhost":                      "write redis://host:6379/0",
		"redis+ssl://localhost":                 "write rediss://",
		"sentinel://a/m":                        "write redis-sentinel://",
		"redis+sentinel://a/m":                  "write redis-sentinel://",
		"redis+unix:///run/r.sock":              "write unix://",
		"cluster://a":                           "write redis-cluster://",
		"redis://a,b":                           "redis-cluster://host1",
		"rediss://a,b":                          "rediss-sentinel://host1",
		"redis://localhost:port":                `is "port"; it must be a number from 1 to 65535`,
		"redis://localhost:70000":               "from 1 to 65535",
		"redis://:p/w@localhost:1":              "%2F for /",
		"redis://:p?w@localhost:1":              "%2F for /",
		"redis://localhost/one":                 `database "one" is not a number`,
		"redis://:pa/ss@localhost":              "percent-encoded",
		"redis://":                              "a host is missing",
		"unix://run/redis.sock":                 "unix:///run/redis.sock",
		"redis-sentinel://a:1":                  "name of the master is missing",
		"redis-sentinel://a/m/x":                `database "x" is not a number`,
		"redis-cluster://a/1":                   "leave /1 out",
		"redis-cluster://a,,b":                  "a host is missing",
		"redis://a?pool_size=3":                 `option "pool_size" is unknown`,
		"redis://a?ca=/etc/ca.pem":              "write rediss://",
		"redis://a?sentinel_password=x":         "redis-sentinel:// only",
		"rediss://a?cert=/etc/c.pem":            "go together",
		"rediss://a?ca=/none/ca.pem":            "must name a file of certificates",
		"redis-sentinel://:secret/2@a/mymaster": "percent-encoded",
	} {
		_, err := Parse(raw)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", raw, err, want)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "pa/ss") {
			t.Errorf("%s: the error tells the password: %v", raw, err)
		}
	}
	got, err := Parse("redis-sentinel://:pw@a/m?sentinel_password=")
	if err != nil || got.opt.Password != "pw" || got.opt.SentinelPassword != "" {
		t.Errorf("a password for the servers alone: %+v, %v", got.opt, err)
	}
	if secret, err := Parse("redis-sentinel://a/m?sentinel_password=hidden"); err != nil || strings.Contains(secret.label, "hidden") {
		t.Errorf("the label %q tells the Sentinels' password, %v", secret.label, err)
	}
}
