// Program strict reads manifests from standard input and refuses every field
// and value that the types of Kubernetes do not have. It needs modules that only
// .ci/helm.mod names: go run -modfile=.ci/helm.mod ./deploy/testdata/helm/strict
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// kinds of Kubernetes itself.
var kinds = map[string]func() any{
	"apps/v1 Deployment":                     func() any { return new(appsv1.Deployment) },
	"apps/v1 StatefulSet":                    func() any { return new(appsv1.StatefulSet) },
	"autoscaling/v2 HorizontalPodAutoscaler": func() any { return new(autoscalingv2.HorizontalPodAutoscaler) },
	"networking.k8s.io/v1 Ingress":           func() any { return new(networkingv1.Ingress) },
	"networking.k8s.io/v1 NetworkPolicy":     func() any { return new(networkingv1.NetworkPolicy) },
	"policy/v1 PodDisruptionBudget":          func() any { return new(policyv1.PodDisruptionBudget) },
	"v1 Service":                             func() any { return new(corev1.Service) },
	"v1 ServiceAccount":                      func() any { return new(corev1.ServiceAccount) },
}

// foreign are kinds of operators, whose types are not at hand.
var foreign = map[string]bool{"keda.sh/v1alpha1 ScaledObject": true, "monitoring.coreos.com/v1 ServiceMonitor": true}

func main() {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := 0
	for doc := range strings.SplitSeq(string(in), "\n---\n") {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &meta); err != nil || meta.Kind == "" {
			fmt.Printf("no manifest (%v): %s\n", err, doc)
			code = 1
			continue
		}
		kind := meta.APIVersion + " " + meta.Kind
		if foreign[kind] {
			continue
		}
		made, ok := kinds[kind]
		if !ok {
			fmt.Printf("%s is no kind that is known here\n", kind)
			code = 1
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(doc), made()); err != nil {
			fmt.Printf("%s: %v\n", kind, err)
			code = 1
		}
	}
	os.Exit(code)
}
