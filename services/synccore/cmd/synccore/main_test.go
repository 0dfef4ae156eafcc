package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func configuration(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{"pat": "p", "password": "p", "hook": strings.Repeat("h", 40)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "tandem.yaml")
	text := `
publicUrl: https://tandem.contoso.com
hookSecrets: [{file: hook}]
accessTokens: {"0": {file: pat}}
connectors:
  - name: ` + name + `
    alvao: {url: "https://contoso.onalvao.com/AlvaoRestApi", service: Development, credentials: {username: tandem, password: {file: password}}}
    settings:
      {"ConnectorType": "AzureDevOps", "URL": "https://dev.azure.com/contoso/Alvaoproject", "AccessToken": "0",
       "AttributeMap": {"System.Title": "[$TicketTitle$]", "System.WorkItemType": "Task"},
       "StatusMap": {"To Do": "Development"}, "TicketReporter": "Default"}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommands(t *testing.T) {
	t.Parallel()
	fine, broken := configuration(t, "development"), configuration(t, "Development!")
	for name, tc := range map[string]struct {
		args   []string
		err    string
		prints []string
	}{
		"version":                 {[]string{"version"}, "", nil},
		"check":                   {[]string{"check-config", fine}, "", []string{"is fine", "1 connector"}},
		"check and print":         {[]string{"check-config", "--print", fine}, "", []string{"# " + fine, "is fine", "pollInterval: 30s"}},
		"check a broken one":      {[]string{"check-config", broken}, errNotFine.Error(), []string{"Development!", "1 problem"}},
		"check none":              {[]string{"check-config", filepath.Join(t.TempDir(), "none.yaml")}, errNotFine.Error(), []string{"none.yaml"}},
		"check without file":      {[]string{"check-config"}, "<file>", nil},
		"hooks":                   {[]string{"hooks", "--config", fine}, "", []string{"https://tandem.contoso.com/hooks/azure-devops/development"}},
		"hooks without file":      {[]string{"hooks"}, "--config", nil},
		"serve without file":      {[]string{}, "--config", nil},
		"unknown flag":            {[]string{"serve", "--colour", "red"}, "--colour", nil},
		"unknown level":           {[]string{"--config", fine, "--log-level", "loud"}, "log-level", nil},
		"serve a broken one":      {[]string{"--config", broken, "--redis", "embedded", "--insecure-grpc"}, "Development!", nil},
		"serve in plaintext":      {[]string{"serve", "--config", fine, "--redis", "embedded", "--listen", "127.0.0.1:0"}, "--insecure-grpc", nil},
		"half a certificate":      {[]string{"serve", "--config", fine, "--redis", "embedded", "--tls-cert", "c.pem"}, "--tls-key", nil},
		"both":                    {[]string{"serve", "--config", fine, "--redis", "embedded", "--insecure-grpc", "--tls-client-ca", "c.pem"}, "contradict", nil},
		"no certificate":          {[]string{"serve", "--config", fine, "--redis", "embedded", "--tls-cert", broken, "--tls-key", broken}, "can't be used", nil},
		"token":                   {[]string{"token", "portal"}, "", []string{"tandem_", `name: "portal", role: viewer, sha256: "`}},
		"token of no role":        {[]string{"token", "portal", "--role", "king"}, "king", nil},
		"token of nobody":         {[]string{"token"}, "arg", nil},
		"serve with odd replicas": {[]string{"serve", "--config", fine, "--redis", "embedded", "--insecure-grpc", "--redis-replicas", "all"}, "give auto", nil},
		"serve at no address":     {[]string{"serve", "--config", fine, "--redis", "embedded", "--insecure-grpc", "--listen", "nowhere"}, "gRPC address", nil},
		"drift of nothing":        {[]string{"drift"}, "--connector", nil},
		"drift by nobody":         {[]string{"drift", "--connector", "x", "--repair", "bob"}, "azure-devops", nil},
		"rebuild nothing":         {[]string{"rebuild-links"}, "--connector", nil},
		"rebuild no file":         {[]string{"rebuild-links", "--connector", "x"}, "--config", nil},
		"rebuild nobody":          {[]string{"rebuild-links", "--connector", "x", "--config", fine}, "no connector", nil},
		"rebuild since then":      {[]string{"rebuild-links", "--connector", "x", "--config", fine, "--new-since", "then"}, "--new-since", nil},
	} {
		var out bytes.Buffer
		err := run(t.Context(), tc.args, &out)
		if (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "version" && strings.TrimSpace(out.String()) == "" {
			t.Error("no version")
		}
		for _, text := range tc.prints {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s: printed %q, lacks %q", name, out.String(), text)
			}
		}
	}
}

// A stop that was asked for is no error.
func TestServeStops(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	out := &stopper{at: "synccore.ready", stop: stop}
	args := []string{"--config", configuration(t, "development"), "--redis", "embedded", "--insecure-grpc", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--grace", "5s"}
	if err := run(ctx, args, out); err != nil {
		t.Error(err)
	}
	if ctx.Err() == nil || !errors.Is(ctx.Err(), context.Canceled) {
		t.Error("it ended by itself")
	}
}

// stopper asks for a stop when a word is written.
type stopper struct {
	at   string
	stop context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.at)) {
		s.stop()
	}
	return len(p), nil
}

// A variable counts where its flag is not given, and one that can't be read is named.
func TestVariables(t *testing.T) {
	t.Setenv("TANDEM_CONFIG", configuration(t, "development"))
	hooks := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"hooks"}, args...), &out)
		return out.String(), err
	}
	if out, err := hooks(); err != nil || !strings.Contains(out, "/hooks/azure-devops/development") {
		t.Errorf("by the variable: %v, %s", err, out)
	}
	if out, err := hooks("--config", configuration(t, "support")); err != nil || !strings.Contains(out, "/hooks/azure-devops/support") {
		t.Errorf("the flag does not win: %v, %s", err, out)
	}
	serve := func(what, says string) {
		t.Helper()
		if err := run(t.Context(), []string{"--redis", "embedded", "--insecure-grpc", "--listen", "nowhere"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want something about %s", what, err, says)
		}
	}
	t.Setenv("TANDEM_WORKERS", "")
	serve("an empty number", "gRPC address")
	t.Setenv("TANDEM_WORKERS", "many")
	serve("no number", "TANDEM_WORKERS")
	t.Setenv("TANDEM_WORKERS", "4")
	t.Setenv("TANDEM_GRACE", "soon")
	serve("no duration", "TANDEM_GRACE")
	t.Setenv("TANDEM_GRACE", "5s")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:99999")
	t.Setenv("TANDEM_SAMPLE_RATIO", "half")
	serve("no share", "TANDEM_SAMPLE_RATIO")
	t.Setenv("TANDEM_SAMPLE_RATIO", "1")
	t.Setenv("TANDEM_CONFIG", "")
	serve("no file", "--config")
}

// The help names every flag and its variable.
func TestHelp(t *testing.T) {
	t.Parallel()
	for command, names := range map[string]string{
		"serve": `--config $TANDEM_CONFIG --listen $TANDEM_LISTEN --tls-cert $TANDEM_TLS_CERT --tls-key $TANDEM_TLS_KEY
--tls-client-ca $TANDEM_TLS_CLIENT_CA --insecure-grpc $TANDEM_INSECURE_GRPC --admin-listen $TANDEM_ADMIN_LISTEN --redis $TANDEM_REDIS --redis-prefix $TANDEM_REDIS_PREFIX
--redis-replicas $TANDEM_REDIS_REPLICAS --allow-volatile-redis $TANDEM_ALLOW_VOLATILE_REDIS --workers $TANDEM_WORKERS --grace $TANDEM_GRACE --otlp-endpoint $TANDEM_OTLP_ENDPOINT
$OTEL_EXPORTER_OTLP_ENDPOINT --sample-ratio $TANDEM_SAMPLE_RATIO --log-level $TANDEM_LOG_LEVEL`,
		"check-config": "<file> --print",
		"hooks":        "--config $TANDEM_CONFIG",
		"resync": `--connector --core $TANDEM_CORE --core-token-file $TANDEM_CORE_TOKEN_FILE --core-ca $TANDEM_CORE_CA --core-cert $TANDEM_CORE_CERT
--core-key $TANDEM_CORE_KEY --core-server-name $TANDEM_CORE_SERVER_NAME --insecure-grpc $TANDEM_INSECURE_GRPC --timeout $TANDEM_RESYNC_TIMEOUT`,
		"drift": `--connector --ticket --repair --core $TANDEM_CORE --core-token-file $TANDEM_CORE_TOKEN_FILE --core-ca $TANDEM_CORE_CA --core-cert $TANDEM_CORE_CERT
--core-key $TANDEM_CORE_KEY --core-server-name $TANDEM_CORE_SERVER_NAME --insecure-grpc $TANDEM_INSECURE_GRPC --timeout $TANDEM_DRIFT_TIMEOUT`,
		"rebuild-links": `--connector --dry-run --new-since --config $TANDEM_CONFIG --redis $TANDEM_REDIS --redis-prefix $TANDEM_REDIS_PREFIX
--allow-volatile-redis $TANDEM_ALLOW_VOLATILE_REDIS`,
		"token":  "NAME --role",
		"health": "--admin-listen $TANDEM_ADMIN_LISTEN",
		"":       "serve check-config hooks resync drift rebuild-links check-connector token health version --redis",
	} {
		var out bytes.Buffer
		if err := run(t.Context(), strings.Fields(command+" --help"), &out); err != nil {
			t.Errorf("%s --help: %v", command, err)
		}
		for name := range strings.FieldsSeq(names) {
			if !strings.Contains(out.String(), name) {
				t.Errorf("the help of %q lacks %s:\n%s", command, name, out.String())
			}
		}
	}
	if err := run(t.Context(), []string{"sevre"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "sevre") {
		t.Errorf("a misspelt command: %v", err)
	}
}
