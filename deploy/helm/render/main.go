// Renders a Helm chart without Helm, by the libraries that Helm itself is built on: text/template, sprig, sigs.k8s.io/yaml
// and gojsonschema. It knows what charts in this repository use, no subcharts or hooks, and prints what
// `helm template` would print, as YAML or as a JSON array for tests.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

type list []string

func (l *list) String() string       { return strings.Join(*l, ",") }
func (l *list) Set(one string) error { *l = append(*l, one); return nil }

// What the command line says.
type options struct {
	files, sets, apis                   list
	name, namespace, kube, service, out string
	notes                               bool
	asJSON, cluster                     string
}

func main() {
	var o options
	flag.Var(&o.files, "f", "values file, over the chart's; may be repeated")
	flag.Var(&o.sets, "set", "value over all files, as a.b=c; may be repeated")
	flag.Var(&o.apis, "api", "API the cluster has beyond Kubernetes' own; may be repeated")
	flag.StringVar(&o.name, "name", "xcloud", "name of the release")
	flag.StringVar(&o.namespace, "namespace", "xcloud", "namespace of the release")
	flag.StringVar(&o.kube, "kube-version", "1.33.0", "Kubernetes version of the cluster")
	flag.StringVar(&o.service, "service", "Helm", "what manages the objects")
	flag.StringVar(&o.out, "o", "yaml", "yaml or json")
	flag.BoolVar(&o.notes, "notes", false, "print NOTES.txt instead of the objects")
	flag.StringVar(&o.cluster, "cluster", "", "file with the objects that look-ups find, as `kubectl get -o json` prints them")
	flag.StringVar(&o.asJSON, "json", "", "print this YAML file as JSON instead")
	flag.Parse()
	if err := run(o, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "render: %v\n", err)
		os.Exit(1)
	}
}

func run(o options, arguments []string) error {
	if o.asJSON != "" {
		return convert(o.asJSON)
	}
	if len(arguments) != 1 {
		return fmt.Errorf("one chart directory is wanted, not %d", len(arguments))
	}
	chart, err := readChart(arguments[0])
	if err != nil {
		return err
	}
	values, err := readValues(o.files, o.sets)
	if err != nil {
		return err
	}
	values = coalesce(values, chart.values)
	if err := chart.checkSchema(values); err != nil {
		return err
	}
	rendered, err := chart.render(o, values)
	if err != nil {
		return err
	}
	if o.notes {
		fmt.Print(rendered[filepath.Join(chart.name, "templates", "NOTES.txt")])
		return nil
	}
	documents, err := split(rendered)
	if err != nil {
		return err
	}
	return write(documents, o.out)
}

func convert(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	out, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Println(string(out))
	return nil
}
