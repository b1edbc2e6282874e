package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

// One object of the manifest.
type document struct {
	source, text string
	object       table
}

// Kinds that others need come first; a part of the order in which Helm installs.
var order = []string{
	"Namespace", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount", "Secret", "ConfigMap",
	"PersistentVolumeClaim", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service", "DaemonSet",
	"Deployment", "StatefulSet",
}

func rank(kind string) int {
	for i, one := range order {
		if one == kind {
			return i
		}
	}
	return len(order)
}

var separator = regexp.MustCompile(`(?m)^---[ \t]*$`)

// Takes the rendered templates apart into objects, each of which must be YAML without a key told twice.
func split(rendered map[string]string) ([]document, error) {
	var out []document
	for source, text := range rendered {
		if strings.HasSuffix(source, ".txt") {
			continue
		}
		for _, part := range separator.Split(text, -1) {
			object := table{}
			if err := yaml.UnmarshalStrict([]byte(part), &object); err != nil {
				return nil, fmt.Errorf("%s gives no YAML: %w\n%s", source, err, part)
			}
			if len(object) == 0 {
				continue
			}
			out = append(out, document{source, strings.Trim(part, "\n"), object})
		}
	}
	sort.Slice(out, func(i, j int) bool { return key(out[i]) < key(out[j]) })
	return out, nil
}

func key(d document) string {
	kind, _ := d.object["kind"].(string)
	about, _ := d.object["metadata"].(table)
	return fmt.Sprintf("%02d %s %s %v", rank(kind), kind, d.source, about["name"])
}

func write(documents []document, format string) error {
	if format == "json" {
		objects := []table{}
		for _, one := range documents {
			objects = append(objects, one.object)
		}
		return json.NewEncoder(os.Stdout).Encode(objects)
	}
	for _, one := range documents {
		fmt.Printf("---\n# Source: %s\n%s\n", one.source, one.text)
	}
	return nil
}
