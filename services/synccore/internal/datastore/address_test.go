package datastore

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	type told struct {
		Mode       mode
		Addrs      []string
		Master     string
		DB         int
		User, Pass string
		Sentinel   string
		TLS        bool
		Pool       int
	}
	for text, want := range map[string]told{
		"redis://host":                              {Addrs: []string{"host:6379"}, Pool: 64},
		"redis://u:p%40ss@host:1/3?pool_size=7":     {Addrs: []string{"host:1"}, DB: 3, User: "u", Pass: "p@ss", Pool: 7},
		"rediss://[::1]:7":                          {Addrs: []string{"[::1]:7"}, TLS: true, Pool: 64},
		"redis+sentinel://a,b:2,[::1]:3,[::2]/mine": {Mode: sentinel, Addrs: []string{"a:26379", "b:2", "[::1]:3", "[::2]:26379"}, Master: "mine", Pool: 64},
		"rediss+sentinel://u:p@a/mine/4?sentinel_password=s&sentinel_username=w&read_timeout=1s": {
			Mode: sentinel, Addrs: []string{"a:26379"}, Master: "mine", DB: 4, User: "u", Pass: "p", Sentinel: "w:s", TLS: true, Pool: 64,
		},
		"redis+cluster://u:p@a:1,b":  {Mode: cluster, Addrs: []string{"a:1", "b:6379"}, User: "u", Pass: "p", Pool: 64},
		"rediss+cluster://a:1/0":     {Mode: cluster, Addrs: []string{"a:1"}, TLS: true, Pool: 64},
		"unix:///run/redis.sock?db=": {Addrs: []string{"/run/redis.sock"}, Pool: 64},
	} {
		a, err := parseAddress(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		o := a.options
		got := told{a.mode, o.Addrs, o.MasterName, o.DB, o.Username, o.Password, strings.Trim(o.SentinelUsername+":"+o.SentinelPassword, ":"), o.TLSConfig != nil, o.PoolSize}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		if a.mode != single && o.TLSConfig != nil && o.TLSConfig.ServerName != "" {
			t.Errorf("%s: every node would have to be called %s", text, o.TLSConfig.ServerName)
		}
	}
	for text, says := range map[string]string{
		"redis://a:1,b:2":                        "several hosts",
		"redis+sentinel://a:1":                   "name is missing",
		"redis+sentinel://a:1/":                  "name is missing",
		"redis+cluster://a:1/2":                  "numbered databases",
		"redis+cluster://a:1?db=2":               "numbered databases",
		"redis+magic://a":                        "scheme is unknown",
		"unix+cluster:///x":                      "scheme is unknown",
		"http://a":                               "",
		"redis://a?sentinel_password=canary":     "are for redis+sentinel",
		"redis://a?ca_file=x":                    "for TLS",
		"rediss://a?ca_file=/nowhere":            "reading ca_file",
		"rediss://a?cert_file=/nowhere":          "reading cert_file",
		"redis://u:canary@a?pool_size=many":      "",
		"redis://u:12/canary@a:1":                "",
		"redis+sentinel://u:canary@a:1/m?db=x":   "",
		"redis+cluster://u:canary@a:b:c,d?x=1":   "",
		"redis+sentinel://u:can/ary@a:1,b/m?x=1": "",
	} {
		_, err := parseAddress(text)
		if err == nil {
			t.Errorf("%s was read", text)
			continue
		}
		if sentence := unreadable(text, err).Error(); !strings.Contains(sentence, says) || strings.Contains(sentence, "canary") || strings.Contains(sentence, "ary") && !strings.Contains(sentence, "primary") {
			t.Errorf("%s: %s", text, sentence)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, seed := range []string{
		"redis://u:SECRET@h:1/0?a=b", "redis+sentinel://u:SECRET@a:1,b/m/0", "rediss+cluster://:SECRET@a,[::1]:2", "://", "redis://u:SEC/RET@h", "a@b,c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAddress(text)
		if err != nil {
			_ = unreadable(text, err).Error()
			return
		}
		if len(a.options.Addrs) == 0 || a.mode == sentinel && a.options.MasterName == "" {
			t.Errorf("%q became %+v", text, a.options)
		}
	})
}
