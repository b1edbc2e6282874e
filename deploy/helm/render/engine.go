package main

import (
	"fmt"
	"path"
	"strings"
	"text/template"

	"github.com/Masterminds/semver"
	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

// Renders every template that is not a partial, and checks that the chart wants this Kubernetes.
func (c *chart) render(o options, values table) (map[string]string, error) {
	capabilities, err := c.capabilities(o)
	if err != nil {
		return nil, err
	}
	there, err := readCluster(o.cluster)
	if err != nil {
		return nil, err
	}
	all := template.New(c.name).Option("missingkey=zero")
	all.Funcs(functions(all, there))
	for name, text := range c.templates {
		if _, err := all.New(path.Join(c.name, name)).Parse(text); err != nil {
			return nil, err
		}
	}
	about := table{}
	for key, value := range c.about {
		about[strings.ToUpper(key[:1])+key[1:]] = value
	}
	rendered := map[string]string{}
	for name := range c.templates {
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		full := path.Join(c.name, name)
		var out strings.Builder
		data := table{
			"Values":       values,
			"Chart":        about,
			"Capabilities": capabilities,
			"Files":        c.files,
			"Template":     table{"Name": full, "BasePath": path.Join(c.name, "templates")},
			"Release": table{
				"Name": o.name, "Namespace": o.namespace, "Service": o.service,
				"IsInstall": true, "IsUpgrade": false, "Revision": 1,
			},
		}
		if err := all.ExecuteTemplate(&out, full, data); err != nil {
			return nil, err
		}
		rendered[full] = strings.ReplaceAll(out.String(), "<no value>", "")
	}
	return rendered, nil
}

// APIs of the cluster beyond Kubernetes' own.
type apis []string

// Has says whether the cluster has this API.
func (a apis) Has(wanted string) bool {
	for _, one := range a {
		if one == wanted {
			return true
		}
	}
	return false
}

func (c *chart) capabilities(o options) (table, error) {
	kube, err := semver.NewVersion(o.kube)
	if err != nil {
		return nil, fmt.Errorf("-kube-version %s: %w", o.kube, err)
	}
	if wanted, ok := c.about["kubeVersion"].(string); ok {
		range_, err := semver.NewConstraint(wanted)
		if err != nil {
			return nil, fmt.Errorf("kubeVersion in Chart.yaml: %w", err)
		}
		if !range_.Check(kube) {
			return nil, fmt.Errorf("the chart wants Kubernetes %s, not %s", wanted, o.kube)
		}
	}
	version := "v" + kube.String()
	return table{
		"APIVersions": append(kubernetesApis(kube), o.apis...),
		"KubeVersion": table{
			"Version": version, "GitVersion": version,
			"Major": fmt.Sprint(kube.Major()), "Minor": fmt.Sprint(kube.Minor()),
		},
	}, nil
}

// The APIs that charts here ask for, by the version that brought them.
func kubernetesApis(kube *semver.Version) apis {
	known := apis{"v1", "apps/v1", "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"}
	if kube.Minor() >= 21 {
		known = append(known, "policy/v1")
	}
	return known
}

// Helm's functions: sprig's, less those that read the environment, and its own.
func functions(all *template.Template, there cluster) template.FuncMap {
	known := sprig.TxtFuncMap()
	delete(known, "env")
	delete(known, "expandenv")
	known["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	known["fromYaml"] = func(text string) (table, error) {
		out := table{}
		return out, yaml.Unmarshal([]byte(text), &out)
	}
	known["include"] = func(name string, data interface{}) (string, error) {
		var out strings.Builder
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	known["tpl"] = func(text string, data interface{}) (string, error) {
		one, err := template.Must(all.Clone()).New("tpl").Parse(text)
		if err != nil {
			return "", err
		}
		var out strings.Builder
		err = one.Execute(&out, data)
		return strings.ReplaceAll(out.String(), "<no value>", ""), err
	}
	known["required"] = func(why string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, fmt.Errorf("%s", why)
		}
		return value, nil
	}
	known["lookup"] = there.lookup
	return known
}
