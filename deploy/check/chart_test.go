package check_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const chart = "../helm/tandem"

// base is the least that an installation gives.
const base = `
config: |
  publicUrl: https://tandem.contoso.com
  accessTokens: {"0": {file: /run/secrets/tandem/devops-integration-token-0}}
  hookSecrets: [{file: /run/secrets/tandem/hook-secret}]
  connectors: [{name: development}]
secrets: {existingSecret: tandem}
grpc: {insecure: true}
redis: {url: "redis://redis.data:6379/0"}
`

// helm runs Helm with values on top of base; an empty text is left out.
func helm(t *testing.T, command string, values ...string) (string, error) {
	t.Helper()
	args := []string{command}
	if command == "template" {
		args = append(args, "shop", "--namespace", "tandem", "--kube-version", "1.34.0")
	}
	args = append(args, chart)
	for i, value := range values {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("values-%d.yaml", i))
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--values", file)
	}
	program := os.Getenv("HELM")
	if program == "" {
		program = "../../.bin/helm"
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("helm %s: %w\n%s%s", command, err, out.String(), errs.String())
	}
	return out.String(), nil
}

// kinds makes an empty object of each kind that the chart may hold. Secret is not among
// them: the chart makes none.
func kinds() map[string]func() meta.Object {
	return map[string]func() meta.Object{
		"v1/ConfigMap":                            func() meta.Object { return &core.ConfigMap{} },
		"v1/Service":                              func() meta.Object { return &core.Service{} },
		"v1/ServiceAccount":                       func() meta.Object { return &core.ServiceAccount{} },
		"apps/v1/Deployment":                      func() meta.Object { return &apps.Deployment{} },
		"apps/v1/StatefulSet":                     func() meta.Object { return &apps.StatefulSet{} },
		"batch/v1/CronJob":                        func() meta.Object { return &batch.CronJob{} },
		"policy/v1/PodDisruptionBudget":           func() meta.Object { return &policy.PodDisruptionBudget{} },
		"autoscaling/v2/HorizontalPodAutoscaler":  func() meta.Object { return &autoscaling.HorizontalPodAutoscaler{} },
		"networking.k8s.io/v1/Ingress":            func() meta.Object { return &networking.Ingress{} },
		"networking.k8s.io/v1/NetworkPolicy":      func() meta.Object { return &networking.NetworkPolicy{} },
		"monitoring.coreos.com/v1/ServiceMonitor": func() meta.Object { return &monitoring.ServiceMonitor{} },
		"monitoring.coreos.com/v1/PrometheusRule": func() meta.Object { return &monitoring.PrometheusRule{} },
	}
}

// decode reads rendered objects as the API server would with strict field validation.
func decode(t *testing.T, rendered string) map[string]meta.Object {
	t.Helper()
	objects := map[string]meta.Object{}
	for document := range strings.SplitSeq("\n"+rendered, "\n---") {
		raw, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if string(raw) == "null" {
			continue
		}
		var head meta.TypeMeta
		if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &head); err != nil {
			t.Fatal(err)
		}
		empty, known := kinds()[head.APIVersion+"/"+head.Kind]
		if !known {
			t.Fatalf("the chart makes a %s %s", head.APIVersion, head.Kind)
		}
		object := empty()
		strict, err := kjson.UnmarshalStrict(raw, object)
		if err := errors.Join(append(strict, err)...); err != nil {
			t.Fatalf("%s: %v in\n%s", head.Kind, err, document)
		}
		key := head.Kind + "/" + object.GetName()
		if _, twice := objects[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		objects[key] = object
	}
	return objects
}

// render gives the chart's objects for values on top of base.
func render(t *testing.T, values string) map[string]meta.Object {
	t.Helper()
	out, err := helm(t, "template", base, values)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, out)
}

// matrix are values that together reach every branch of the templates.
func matrix() map[string]string {
	return map[string]string{
		"default": "",
		"everything on": `
redis: {url: "", bundled: {enabled: true, storageClass: fast}}
secrets: {hookSecretKeys: [hook-secret, hook-secret-previous], gatewayTokenKey: ""}
grpc: {insecure: false, tls: {synccoreSecret: core-tls, gatewaySecret: gateway-tls}}
gateway:
  autoscaling: {enabled: true}
  podAnnotations: {team: desk}
  podLabels: {team: desk}
  nodeSelector: {disk: ssd}
  tolerations: [{key: spot, operator: Exists}]
  affinity: {nodeAffinity: {}}
  priorityClassName: high
  service: {type: LoadBalancer, annotations: {a: b}}
  extraEnv: [{name: TANDEM_MAX_IN_FLIGHT, value: "100"}]
synccore:
  autoscaling: {enabled: true}
  extraVolumes: [{name: ca, configMap: {name: ca}}]
  extraVolumeMounts: [{name: ca, mountPath: /etc/tandem-ca}]
  extraEnv: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]
  priorityClassName: high
image: {registry: registry.contoso.com/, pullSecrets: [{name: pull}], gateway: {digest: "sha256:` + strings.Repeat("a", 64) + `"}}
ingress: {enabled: true, host: tandem.contoso.com, className: nginx, tlsSecret: tls, annotations: {a: b}}
networkPolicy:
  gatewayFrom: [{namespaceSelector: {matchLabels: {name: ingress}}}]
  metricsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
telemetry: {otlpEndpoint: "http://jaeger.observe:4317", sampleRatio: 0.1}
serviceAccount: {name: tandem, annotations: {a: b}}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboards: {enabled: true}
resync: {enabled: true, timeZone: Europe/Prague, connectors: [development, support], timeoutSeconds: 1800}
`,
		"everything off": `
gateway: {podDisruptionBudget: {enabled: false}, drainSeconds: 0, replicas: 0}
synccore: {podDisruptionBudget: {enabled: false}, drainSeconds: 0, replicas: 0}
networkPolicy: {enabled: false}
topologySpread: {enabled: false}
serviceAccount: {create: false}
existingConfigMap: tandem-config
config: ""
redis: {url: "", existingSecret: {name: redis, key: url}}
`,
		"long names": "fullnameOverride: " + strings.Repeat("a-long-name-", 8) + "\nredis: {url: \"\", bundled: {enabled: true}}\n",
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	for name, values := range matrix() {
		if _, err := helm(t, "lint", base, values); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRefused gives mistakes that must end before anything is installed.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ values, says string }{
		"a misspelt key":               {"gatway: {replicas: 3}", "gatway"},
		"a misspelt key deep inside":   {"gateway: {autoscaling: {enable: true}}", "enable"},
		"a misspelt key of the image":  {"image: {synccore: {tags: v1}}", "tags"},
		"a text for a switch":          {`ingress: {enabled: "false"}`, "enabled"},
		"a ratio above 1":              {"telemetry: {sampleRatio: 2}", "sampleRatio"},
		"a password in the URL":        {`redis: {url: "redis://tandem:s3cret@redis:6379/0"}`, "url"},
		"a token in the values":        {`config: 'accessTokens: {"0": s3cret}'`, "accessTokens"},
		"a hook secret in the values":  {"config: 'hookSecrets: [s3cret]'", "hookSecrets"},
		"a password in the values":     {"config: 'connectors: [{name: c, alvao: {credentials: {username: u, password: s3cret}}}]'", "password of connector c"},
		"a configuration that is none": {"config: 'connectors: [{'", "no YAML"},
		"three hook secrets":           {"secrets: {hookSecretKeys: [a, b, c]}", "hookSecretKeys"},
		"no secret":                    {`secrets: {existingSecret: ""}`, "existingSecret"},
		"no Redis":                     {`redis: {url: ""}`, "exactly one"},
		"two Redis":                    {"redis: {bundled: {enabled: true}}", "exactly one"},
		"no configuration":             {`config: ""`, "config is empty"},
		"two configurations":           {"existingConfigMap: other", "both"},
		"an Ingress without a host":    {"ingress: {enabled: true}", "host"},
		"plaintext by omission":        {"grpc: {insecure: false}", "grpc.insecure"},
		"half a certificate":           {"grpc: {insecure: false, tls: {gatewaySecret: a}}", "grpc.tls.synccoreSecret"},
		"plaintext and certificates":   {"grpc: {tls: {gatewaySecret: a}}", "both given"},
		"a gateway without a name":     {"secrets: {gatewayTokenKey: \"\"}", "secrets.gatewayTokenKey"},
		"a connector that is none":     {"resync: {connectors: [Development!]}", "connectors"},
		"no digest":                    {"image: {gateway: {digest: latest}}", "digest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := helm(t, "template", base, c.values)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Helm says %v, want something about %q", err, c.says)
			}
		})
	}
}

// TestArgoCD renders the chart with the values of the example.
func TestArgoCD(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../helm/argocd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		Spec struct {
			Source struct {
				Path string `json:"path"`
				Helm struct {
					ReleaseName  string         `json:"releaseName"`
					ValuesObject map[string]any `json:"valuesObject"`
				} `json:"helm"`
			} `json:"source"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(raw, &example); err != nil {
		t.Fatal(err)
	}
	if want := "deploy/helm/tandem"; example.Spec.Source.Path != want {
		t.Errorf("it takes the chart from %q, want %q", example.Spec.Source.Path, want)
	}
	values, err := yaml.Marshal(example.Spec.Source.Helm.ValuesObject)
	if err != nil {
		t.Fatal(err)
	}
	out, err := helm(t, "template", string(values))
	if err != nil {
		t.Fatal(err)
	}
	if objects := decode(t, out); objects["Deployment/shop-tandem-synccore"] == nil {
		t.Error("the example installs no sync-core")
	}
}
