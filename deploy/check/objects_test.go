package check_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// pods are the pod templates of the objects by the workload's name.
func pods(objects map[string]meta.Object) map[string]core.PodTemplateSpec {
	found := map[string]core.PodTemplateSpec{}
	for _, object := range objects {
		switch o := object.(type) {
		case *apps.Deployment:
			found[o.Name] = o.Spec.Template
		case *apps.StatefulSet:
			found[o.Name] = o.Spec.Template
		case *batch.CronJob:
			found[o.Name] = o.Spec.JobTemplate.Spec.Template
		}
	}
	return found
}

// TestObjects renders the whole matrix and checks what the API server, the pod security
// admission and a reader of the objects would.
func TestObjects(t *testing.T) {
	t.Parallel()
	for name, values := range matrix() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := render(t, values)
			checkNames(t, objects)
			checkSecurity(t, objects)
			checkReferences(t, objects)
		})
	}
}

func checkNames(t *testing.T, objects map[string]meta.Object) {
	t.Helper()
	for key, object := range objects {
		if problems := validation.IsDNS1035Label(object.GetName()); len(problems) > 0 {
			t.Errorf("%s: %v", key, problems)
		}
		for label, value := range object.GetLabels() {
			problems := append(validation.IsQualifiedName(label), validation.IsValidLabelValue(value)...)
			if len(problems) > 0 {
				t.Errorf("%s: label %s=%s: %v", key, label, value, problems)
			}
		}
	}
}

// checkSecurity holds every pod against the standard "restricted" of Kubernetes itself,
// and against more that it does not ask.
func checkSecurity(t *testing.T, objects map[string]meta.Object) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	templates := pods(objects)
	if len(templates) < 2 {
		t.Fatalf("there are %d workloads", len(templates))
	}
	for name, pod := range templates {
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
		if !result.Allowed {
			t.Errorf("%s is not restricted: %s", name, result.ForbiddenDetail())
		}
		if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
			t.Errorf("%s gets a token of the API server", name)
		}
		for _, c := range pod.Spec.Containers {
			if ro := c.SecurityContext.ReadOnlyRootFilesystem; ro == nil || !*ro {
				t.Errorf("%s can write its root", name)
			}
			probed := pod.Spec.RestartPolicy == core.RestartPolicyNever || c.ReadinessProbe != nil && c.LivenessProbe != nil
			if !probed || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s lacks a probe or a limit", name)
			}
		}
	}
	for key, object := range objects {
		if config, ok := object.(*core.ConfigMap); ok {
			for file, text := range config.Data {
				for _, sign := range []string{"password:", "token:"} {
					if at := strings.Index(text, sign+" "); at >= 0 && !strings.HasPrefix(text[at+len(sign)+1:], "{") {
						t.Errorf("%s holds a secret in %s: %.60s", key, file, text[at:])
					}
				}
			}
		}
	}
}

// checkReferences sees that what objects name is there.
func checkReferences(t *testing.T, objects map[string]meta.Object) {
	t.Helper()
	templates := pods(objects)
	selected := func(selector map[string]string) []core.PodTemplateSpec {
		return slices.DeleteFunc(slices.Collect(maps.Values(templates)), func(p core.PodTemplateSpec) bool {
			return !labels.SelectorFromSet(selector).Matches(labels.Set(p.Labels))
		})
	}
	named := func(of []core.PodTemplateSpec, port intstr.IntOrString) bool {
		return slices.ContainsFunc(of, func(p core.PodTemplateSpec) bool {
			return slices.ContainsFunc(p.Spec.Containers[0].Ports, func(c core.ContainerPort) bool { return c.Name == port.StrVal })
		})
	}
	for key, object := range objects {
		switch o := object.(type) {
		case *apps.Deployment:
			if of := selected(o.Spec.Selector.MatchLabels); len(of) != 1 {
				t.Errorf("%s selects %d workloads", key, len(of))
			}
			checkVolumes(t, key, o.Spec.Template.Spec)
		case *core.Service:
			of := selected(o.Spec.Selector)
			if len(of) != 1 {
				t.Errorf("%s selects %d workloads", key, len(of))
			}
			for _, port := range o.Spec.Ports {
				if !named(of, port.TargetPort) {
					t.Errorf("%s leads to no port %s", key, port.TargetPort.StrVal)
				}
			}
		case *policyv1.PodDisruptionBudget:
			if of := selected(o.Spec.Selector.MatchLabels); len(of) != 1 {
				t.Errorf("%s selects %d workloads", key, len(of))
			}
		case *autoscaling.HorizontalPodAutoscaler:
			if _, ok := templates[o.Spec.ScaleTargetRef.Name]; !ok {
				t.Errorf("%s scales %s", key, o.Spec.ScaleTargetRef.Name)
			}
		case *networking.NetworkPolicy:
			of := selected(o.Spec.PodSelector.MatchLabels)
			for _, rule := range o.Spec.Ingress {
				if len(rule.Ports) == 0 || !named(of, *rule.Ports[0].Port) {
					t.Errorf("%s lets in to a port that is not there: %v", key, rule.Ports)
				}
			}
			for _, rule := range o.Spec.Egress {
				if len(rule.Ports) == 0 {
					t.Errorf("%s lets out to every port", key)
				}
			}
		case *networking.Ingress:
			for _, path := range o.Spec.Rules[0].HTTP.Paths {
				if objects["Service/"+path.Backend.Service.Name] == nil {
					t.Errorf("%s leads to the Service %s", key, path.Backend.Service.Name)
				}
				if path.Path == "/" || strings.HasPrefix(path.Path, "/v1") {
					t.Errorf("%s publishes the API at %s", key, path.Path)
				}
			}
		}
	}
}

func checkVolumes(t *testing.T, key string, pod core.PodSpec) {
	t.Helper()
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("%s mounts the volume %s, which it lacks", key, m.Name)
		}
	}
}

// TestSwitches sets each switch to both values: what it makes is there or is not, and a
// false is never taken for unset.
func TestSwitches(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ on, off, object string }{
		"gateway's budget":   {"gateway: {podDisruptionBudget: {enabled: true}}", "gateway: {podDisruptionBudget: {enabled: false}}", "PodDisruptionBudget/shop-tandem-gateway"},
		"sync-core's budget": {"synccore: {podDisruptionBudget: {enabled: true}}", "synccore: {podDisruptionBudget: {enabled: false}}", "PodDisruptionBudget/shop-tandem-synccore"},
		"gateway's scaling":  {"gateway: {autoscaling: {enabled: true}}", "gateway: {autoscaling: {enabled: false}}", "HorizontalPodAutoscaler/shop-tandem-gateway"},
		"sync-core's scaling": {
			"synccore: {autoscaling: {enabled: true}}", "synccore: {autoscaling: {enabled: false}}", "HorizontalPodAutoscaler/shop-tandem-synccore",
		},
		"policies":        {"networkPolicy: {enabled: true}", "networkPolicy: {enabled: false}", "NetworkPolicy/shop-tandem-gateway"},
		"service account": {"serviceAccount: {create: true}", "serviceAccount: {create: false}", "ServiceAccount/shop-tandem"},
		"Ingress":         {"ingress: {enabled: true, host: h}", "ingress: {enabled: false, host: h}", "Ingress/shop-tandem"},
		"monitor":         {"serviceMonitor: {enabled: true}", "serviceMonitor: {enabled: false}", "ServiceMonitor/shop-tandem"},
		"rules":           {"prometheusRule: {enabled: true}", "prometheusRule: {enabled: false}", "PrometheusRule/shop-tandem"},
		"dashboards":      {"dashboards: {enabled: true}", "dashboards: {enabled: false}", "ConfigMap/shop-tandem-dashboards"},
		"bundled Redis":   {`redis: {url: "", bundled: {enabled: true}}`, "redis: {bundled: {enabled: false}}", "StatefulSet/shop-tandem-redis"},
		"resync":          {"resync: {enabled: true}", "resync: {enabled: false}", "CronJob/shop-tandem-resync"},
		"resync's policy": {"resync: {enabled: true}", "resync: {enabled: false}", "NetworkPolicy/shop-tandem-resync"},
		"configuration":   {"", "{config: \"\", existingConfigMap: other}", "ConfigMap/shop-tandem-config"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if on := render(t, c.on); on[c.object] == nil {
				t.Errorf("%s is missing with %s", c.object, c.on)
			}
			if off := render(t, c.off); off[c.object] != nil {
				t.Errorf("%s is there with %s", c.object, c.off)
			}
		})
	}
}

// TestPrograms holds what the programs are told in the cluster.
func TestPrograms(t *testing.T) {
	t.Parallel()
	objects := render(t, "secrets: {hookSecretKeys: [new, old], gatewayTokenKey: gate}\nredis: {url: \"\", existingSecret: {name: redis, key: url}}\n")
	gateway := pods(objects)["shop-tandem-gateway"].Spec.Containers[0]
	synccore := pods(objects)["shop-tandem-synccore"].Spec
	for name, want := range map[string]string{
		"TANDEM_CORE":             "dns:///shop-tandem-synccore:9000",
		"TANDEM_HOOK_SECRET_FILE": "/run/secrets/tandem/new,/run/secrets/tandem/old",
		"TANDEM_CORE_TOKEN_FILE":  "/run/secrets/tandem/gate",
		"TANDEM_INSECURE_GRPC":    "true",
		"TANDEM_CALLBACK_AUTH":    "open",
	} {
		if got := variable(gateway, name).Value; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if from := variable(synccore.Containers[0], "TANDEM_REDIS").ValueFrom; from == nil || from.SecretKeyRef.Name != "redis" {
		t.Errorf("the address of Redis comes from %v, want the Secret", from)
	}
	for _, v := range synccore.Volumes {
		if v.Secret == nil {
			continue
		}
		var keys []string
		for _, i := range v.Secret.Items {
			keys = append(keys, i.Key)
		}
		if got := strings.Join(keys, " "); got != "new old gate alvao-password devops-integration-token-0" {
			t.Errorf("sync-core gets the files %s", got)
		}
	}
}

// TestResync holds what the scheduled resync is told, and that sync-core lets it in.
func TestResync(t *testing.T) {
	t.Parallel()
	objects := render(t, "resync: {enabled: true, schedule: '0 4 * * 1', connectors: [development, support], timeoutSeconds: 90}\n")
	job, ok := objects["CronJob/shop-tandem-resync"].(*batch.CronJob)
	if !ok {
		t.Fatal("there is no job")
	}
	if job.Spec.Schedule != "0 4 * * 1" || *job.Spec.Suspend || job.Spec.ConcurrencyPolicy != batch.ForbidConcurrent || *job.Spec.JobTemplate.Spec.BackoffLimit != 0 {
		t.Errorf("the job is %+v", job.Spec)
	}
	pod := job.Spec.JobTemplate.Spec.Template
	container := pod.Spec.Containers[0]
	if got := strings.Join(container.Args, " "); got != "resync --connector=development --connector=support" {
		t.Errorf("it is called with %q", got)
	}
	for name, want := range map[string]string{"TANDEM_CORE": "dns:///shop-tandem-synccore:9000", "TANDEM_RESYNC_TIMEOUT": "90s", "TANDEM_CORE_TOKEN_FILE": "/run/secrets/tandem/resync-token"} {
		if got := variable(container, name).Value; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(pod.Spec.Volumes) != 1 || len(pod.Spec.Volumes[0].Secret.Items) != 1 || pod.Spec.Volumes[0].Secret.Items[0].Key != "resync-token" {
		t.Errorf("it gets %v, though it needs no secret but its token", pod.Spec.Volumes)
	}
	lets, ok := objects["NetworkPolicy/shop-tandem-synccore"].(*networking.NetworkPolicy)
	if !ok || !slices.ContainsFunc(lets.Spec.Ingress[0].From, func(peer networking.NetworkPolicyPeer) bool {
		return labels.SelectorFromSet(peer.PodSelector.MatchLabels).Matches(labels.Set(pod.Labels))
	}) {
		t.Error("sync-core's policy does not let it in")
	}
	for key, object := range objects {
		if service, ok := object.(*core.Service); ok && labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s leads to the job", key)
		}
	}
}

// TestCertificates holds where the programs find the certificates by which they know each
// other, and that none gets another's.
func TestCertificates(t *testing.T) {
	t.Parallel()
	objects := render(t, "grpc: {insecure: false, tls: {synccoreSecret: core-tls, gatewaySecret: gateway-tls}}\nsecrets: {gatewayTokenKey: \"\"}\nresync: {enabled: true}\n")
	job, ok := objects["CronJob/shop-tandem-resync"].(*batch.CronJob)
	if !ok {
		t.Fatal("there is no job")
	}
	for name, tt := range map[string]struct {
		spec   core.PodSpec
		env    map[string]string
		secret string
		items  int
	}{
		"gateway": {pods(objects)["shop-tandem-gateway"].Spec, map[string]string{
			"TANDEM_CORE_CA": "/run/secrets/grpc/ca.crt", "TANDEM_CORE_CERT": "/run/secrets/grpc/tls.crt", "TANDEM_CORE_KEY": "/run/secrets/grpc/tls.key",
			"TANDEM_INSECURE_GRPC": "", "TANDEM_CORE_TOKEN_FILE": "",
		}, "gateway-tls", 0},
		"synccore": {pods(objects)["shop-tandem-synccore"].Spec, map[string]string{
			"TANDEM_TLS_CERT": "/run/secrets/grpc/tls.crt", "TANDEM_TLS_KEY": "/run/secrets/grpc/tls.key", "TANDEM_TLS_CLIENT_CA": "/run/secrets/grpc/ca.crt", "TANDEM_INSECURE_GRPC": "",
		}, "core-tls", 0},
		"resync": {job.Spec.JobTemplate.Spec.Template.Spec, map[string]string{"TANDEM_CORE_CA": "/run/secrets/grpc/ca.crt", "TANDEM_CORE_CERT": "", "TANDEM_INSECURE_GRPC": ""}, "gateway-tls", 1},
	} {
		for variableName, want := range tt.env {
			if got := variable(tt.spec.Containers[0], variableName).Value; got != want {
				t.Errorf("%s: %s is %q, want %q", name, variableName, got, want)
			}
		}
		at := slices.IndexFunc(tt.spec.Volumes, func(v core.Volume) bool { return v.Name == "grpc" })
		if at < 0 || tt.spec.Volumes[at].Secret.SecretName != tt.secret || len(tt.spec.Volumes[at].Secret.Items) != tt.items {
			t.Errorf("%s: its certificates are of %v", name, tt.spec.Volumes)
		}
	}
}

func variable(c core.Container, name string) core.EnvVar {
	at := slices.IndexFunc(c.Env, func(e core.EnvVar) bool { return e.Name == name })
	if at < 0 {
		return core.EnvVar{}
	}
	return c.Env[at]
}
