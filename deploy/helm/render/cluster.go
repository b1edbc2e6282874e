package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// Objects of a cluster that a chart may ask for; none where no file names any, as `helm template` has it.
type cluster []table

func readCluster(file string) (cluster, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list struct{ Items cluster }
	if err := yaml.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list.Items, nil
}

// The object, or an empty table. Charts here ask for one by its name, never for a list.
func (c cluster) lookup(api, kind, namespace, name string) (table, error) {
	if name == "" {
		return nil, fmt.Errorf("lookup of all %s: lists are not known here", kind)
	}
	for _, one := range c {
		about, _ := one["metadata"].(table)
		if one["apiVersion"] == api && one["kind"] == kind && about["namespace"] == namespace && about["name"] == name {
			return one, nil
		}
	}
	return table{}, nil
}
