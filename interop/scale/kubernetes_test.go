package scale

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestKubernetes decodes the manifest with the types of Kubernetes, allows no
// other fields, and verifies references between its parts.
func TestKubernetes(t *testing.T) {
	var account corev1.ServiceAccount
	var config corev1.ConfigMap
	var job batchv1.Job
	documents := strings.Split(read(t, "scale/kubernetes.yaml"), "\n---\n")
	if len(documents) != 3 {
		t.Fatalf("%d documents", len(documents))
	}
	for i, into := range []any{&account, &config, &job} {
		if err := yaml.UnmarshalStrict([]byte(documents[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	pod := job.Spec.Template.Spec
	c := pod.Containers[0]
	if *job.Spec.CompletionMode != batchv1.IndexedCompletion || !slices.Contains(c.Args, fmt.Sprintf("--shard=env/%d", *job.Spec.Completions)) {
		t.Errorf("%d indexes, and arguments %q", *job.Spec.Completions, c.Args)
	}
	if pod.ServiceAccountName != account.Name || pod.Volumes[0].ConfigMap.Name != config.Name || c.VolumeMounts[0].Name != pod.Volumes[0].Name {
		t.Error("the names differ")
	}
	for _, rule := range job.Spec.PodFailurePolicy.Rules {
		if rule.OnExitCodes != nil && *rule.OnExitCodes.ContainerName != c.Name {
			t.Errorf("a rule is for the container %s", *rule.OnExitCodes.ContainerName)
		}
	}
}
