package app_test

import (
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/gateway/internal/app"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestHelp(t *testing.T) {
	t.Parallel()
	var out buffer
	if _, err := app.Parse([]string{"--help"}, &out); !errors.Is(err, app.ErrHelp) {
		t.Fatalf("Parse = %v, want %v", err, app.ErrHelp)
	}
	golden := filepath.Join("testdata", "help.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("help (-want +got), go test -update writes it anew:\n%s", diff)
	}
}

func TestParse(t *testing.T) { //nolint:paralleltest // it sets environment variables.
	for name, value := range map[string]string{
		"TANDEM_CORE":             "core:9000",
		"TANDEM_CORE_TIMEOUT":     "3s",
		"TANDEM_HOOK_SECRET_FILE": "/run/secrets/new,/run/secrets/old",
		"TANDEM_CORE_TOKEN_FILE":  "/run/secrets/token",
		"TANDEM_CORE_CA":          "/run/secrets/ca.pem",
		"TANDEM_CORE_SERVER_NAME": "synccore",
		"TANDEM_API":              "false",
		"TANDEM_CALLBACK_AUTH":    "basic",
		"TANDEM_OTLP_ENDPOINT":    "http://jaeger:4317",
		"TANDEM_SAMPLE_RATIO":     "0.25",
		"TANDEM_GRACE":            "20s",
	} {
		t.Setenv(name, value)
	}
	got, err := app.Parse([]string{"--core", "other:9000", "--listen=:1"}, &buffer{})
	if err != nil {
		t.Fatal(err)
	}
	want := app.Config{
		Listen: ":1", AdminListen: ":8081", Core: "other:9000", CoreTimeout: 3 * time.Second,
		HookSecretFile: []string{"/run/secrets/new", "/run/secrets/old"}, CoreTokenFile: "/run/secrets/token",
		CoreTLS:      app.CoreTLS{CA: "/run/secrets/ca.pem", ServerName: "synccore"},
		CallbackAuth: "basic", CallbackRate: 20, CallbackBurst: 100, MaxBody: 4 << 20, MaxInFlight: 512,
		ReadTimeout: 15 * time.Second, Grace: 20 * time.Second, SecretInterval: 5 * time.Second,
		LogLevel: "info", OTLPEndpoint: "http://jaeger:4317", SampleRatio: 0.25,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	got, err = app.Parse([]string{"--hook-secret-file=a", "--hook-secret-file=b"}, &buffer{})
	if err != nil || !cmp.Equal(got.HookSecretFile, []string{"a", "b"}) {
		t.Errorf("--hook-secret-file twice gives %v, %v", got.HookSecretFile, err)
	}
	for _, args := range [][]string{{"--callback-auth=maybe"}, {"--core-timeout=soon"}, {"--nonsense"}, {"surplus"}, {"--log-level=loud"}} {
		if _, err := app.Parse(args, &buffer{}); err == nil {
			t.Errorf("Parse(%q) accepted", args)
		}
	}
}

// TestNewReportsAllMistakes: one start shows everything that is wrong.
func TestNewReportsAllMistakes(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.HookSecretFile = nil
	cfg.CoreTokenFile, cfg.CoreTLS.Cert = "x", "y"
	cfg.CallbackAuth = "maybe"
	cfg.CallbackRate, cfg.MaxBody, cfg.CoreTimeout, cfg.SampleRatio = 0, 0, 0, 2
	cfg.Listen = "8080"
	cfg.LogLevel = "loud"
	_, err := app.New(t.Context(), cfg)
	if err == nil {
		t.Fatal("New accepted it")
	}
	for _, want := range []string{
		"--hook-secret-file", "--insecure-grpc", "--core-cert and --core-key", "--callback-auth", "--callback-rate", "--max-body", "--core-timeout", "--sample-ratio", "--listen", "loud", "file of the token for sync-core",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %q, which does not name %s", err, want)
		}
	}
}

func TestNewRefusesSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	writeFile(t, short, "planted")
	cfg := settings(t)
	good := cfg.HookSecretFile[0]
	for name, tt := range map[string]struct {
		hooks []string
		token string
		want  []string
	}{
		"short":        {[]string{short}, "", []string{short, "at least 32"}},
		"missing":      {[]string{good, filepath.Join(dir, "missing")}, "", []string{"missing"}},
		"three":        {[]string{good, good, good}, "", []string{"only two"}},
		"token":        {[]string{good}, short, []string{"token for sync-core", "at least 32"}},
		"both at once": {[]string{short}, short, []string{"hook secret", "at least 32", "token for sync-core"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			cfg.HookSecretFile = tt.hooks
			if tt.token != "" {
				cfg.CoreTokenFile = tt.token
			}
			_, err := app.New(t.Context(), cfg)
			if err == nil {
				t.Fatal("New accepted it")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("New = %q, which does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "planted") {
				t.Errorf("New = %q, which shows the secret", err)
			}
		})
	}
}

// TestNewWantsToKnowTheWay: nothing goes in the clear, or without a name, by omission.
func TestNewWantsToKnowTheWay(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*app.Config)
		want   string
	}{
		"plaintext by omission":   {func(c *app.Config) { c.InsecureGRPC = false }, "--insecure-grpc"},
		"nothing to show":         {func(c *app.Config) { c.CoreTokenFile = "" }, "--core-token-file"},
		"an authority that isn't": {func(c *app.Config) { c.InsecureGRPC, c.CoreTLS.CA = false, c.HookSecretFile[0] }, "holds no certificate authority"},
		"a certificate alone":     {func(c *app.Config) { c.InsecureGRPC, c.CoreTLS.CA, c.CoreTLS.Cert = false, "ca.pem", "x.pem" }, "come together"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t)
			tt.change(&cfg)
			if _, err := app.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want something about %s", err, tt.want)
			}
		})
	}
}

// TestNewCleansUp: a failed start leaves nothing open; goleak and the first port say so.
func TestNewCleansUp(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	cfg := settings(t)
	cfg.AdminListen = taken.Addr().String()
	if _, err := app.New(t.Context(), cfg); err == nil {
		t.Fatal("New took a port that is taken")
	}
	a, err := app.New(t.Context(), settings(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
}
