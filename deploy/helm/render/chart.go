package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// A chart as it lies in its directory.
type chart struct {
	name      string
	about     table
	values    table
	templates map[string]string
	files     files
}

func readChart(directory string) (*chart, error) {
	c := &chart{about: table{}, values: table{}, templates: map[string]string{}, files: files{}}
	err := filepath.Walk(directory, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, "templates/") {
			c.templates[name] = string(text)
		} else {
			c.files[name] = string(text)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name, into := range map[string]*table{"Chart.yaml": &c.about, "values.yaml": &c.values} {
		if err := yaml.UnmarshalStrict([]byte(c.files[name]), into); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(directory, name), err)
		}
	}
	name, ok := c.about["name"].(string)
	if !ok {
		return nil, fmt.Errorf("%s names no chart", filepath.Join(directory, "Chart.yaml"))
	}
	c.name = name
	return c, nil
}

// The chart's own files, as templates see them.
type files map[string]string

// Get returns a file's text, "" where there is none, as Helm does.
func (f files) Get(name string) string { return f[name] }

// Glob returns the files whose name matches.
func (f files) Glob(pattern string) files {
	out := files{}
	for name, text := range f {
		if ok, _ := filepath.Match(pattern, name); ok {
			out[name] = text
		}
	}
	return out
}
