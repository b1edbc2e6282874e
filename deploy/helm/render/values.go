package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/xeipuuv/gojsonschema"
	"sigs.k8s.io/yaml"
)

type table = map[string]interface{}

// Values files one over the other, and single values over them.
func readValues(files, sets []string) (table, error) {
	values := table{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		over := table{}
		if err := yaml.UnmarshalStrict(text, &over); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		values = lay(over, values)
	}
	for _, set := range sets {
		key, text, ok := strings.Cut(set, "=")
		if !ok {
			return nil, fmt.Errorf("-set %s: not of the form a.b=c", set)
		}
		path := strings.Split(key, ".")
		var over interface{} = scalar(text)
		for i := len(path) - 1; i >= 0; i-- {
			over = table{path[i]: over}
		}
		values = lay(over.(table), values)
	}
	return values, nil
}

// What Helm takes a text after --set for.
func scalar(text string) interface{} {
	switch text {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	if number, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number
	}
	return text
}

// Tables are merged, all else is replaced; a null stays, since it takes a default of the chart away.
func lay(over, under table) table {
	out := table{}
	for key, value := range under {
		out[key] = value
	}
	for key, value := range over {
		above, isTable := value.(table)
		below, wasTable := out[key].(table)
		if isTable && wasTable {
			value = lay(above, below)
		}
		out[key] = value
	}
	return out
}

// The user's values over the chart's; what is null is as if it were not there.
func coalesce(user, defaults table) table {
	out := lay(user, defaults)
	for key, value := range out {
		if value == nil {
			if given, isGiven := user[key]; isGiven && given == nil {
				delete(out, key)
			}
			continue
		}
		inner, isTable := value.(table)
		if given, isGiven := user[key].(table); isTable && isGiven {
			under, _ := defaults[key].(table)
			out[key] = coalesce(given, under)
		} else if isTable {
			out[key] = inner
		}
	}
	return out
}

func (c *chart) checkSchema(values table) error {
	text, ok := c.files["values.schema.json"]
	if !ok {
		return fmt.Errorf("the chart has no values.schema.json")
	}
	schema, given := gojsonschema.NewStringLoader(text), gojsonschema.NewGoLoader(values)
	result, err := gojsonschema.Validate(schema, given)
	if err != nil {
		return fmt.Errorf("values.schema.json: %w", err)
	}
	var wrong []string
	for _, one := range result.Errors() {
		wrong = append(wrong, one.String())
	}
	if len(wrong) > 0 {
		return fmt.Errorf("values do not fit values.schema.json: %s", strings.Join(wrong, "; "))
	}
	return nil
}
