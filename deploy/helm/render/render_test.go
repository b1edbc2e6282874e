package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestTablesAreMergedAndListsReplaced(t *testing.T) {
	defaults := table{"a": table{"b": 1, "c": 2}, "l": []interface{}{1, 2}, "s": "x"}
	user := table{"a": table{"c": 3, "d": 4}, "l": []interface{}{9}}
	wanted := table{"a": table{"b": 1, "c": 3, "d": 4}, "l": []interface{}{9}, "s": "x"}
	if got := coalesce(user, defaults); !reflect.DeepEqual(got, wanted) {
		t.Errorf("got %v, not %v", got, wanted)
	}
	if defaults["a"].(table)["c"] != 2 {
		t.Error("the defaults were changed")
	}
}

func TestNullTakesADefaultAway(t *testing.T) {
	defaults := table{"a": table{"b": 1, "c": 2}, "s": "x"}
	got := coalesce(table{"a": table{"b": nil}, "s": nil}, defaults)
	if wanted := (table{"a": table{"c": 2}}); !reflect.DeepEqual(got, wanted) {
		t.Errorf("got %v, not %v", got, wanted)
	}
}

func TestSetIsTypedAsHelmDoes(t *testing.T) {
	values, err := readValues(nil, []string{"a.b=true", "a.c=7", "a.d=7x", "e="})
	wanted := table{"a": table{"b": true, "c": int64(7), "d": "7x"}, "e": ""}
	if err != nil || !reflect.DeepEqual(values, wanted) {
		t.Errorf("got %v, %v", values, err)
	}
	if _, err := readValues(nil, []string{"a"}); err == nil {
		t.Error("a value without = was taken")
	}
}

func rendered(t *testing.T, text string, o options) (string, error) {
	t.Helper()
	c := &chart{
		name: "c", about: table{"name": "c", "kubeVersion": ">=1.20.0-0"}, files: files{"f.txt": "file"},
		templates: map[string]string{"templates/t.yaml": text, "templates/_p.tpl": `{{define "p"}}<{{.x}}>{{end}}`},
	}
	out, err := c.render(o, table{"x": table{"key": "z"}, "w": "why"})
	return out["c/templates/t.yaml"], err
}

func TestHelmsOwnFunctions(t *testing.T) {
	o := options{name: "r", namespace: "n", kube: "1.24.3", service: "Helm", apis: list{"own/v1"}}
	for text, wanted := range map[string]string{
		`{{include "p" (dict "x" 1)}}`:                           "<1>",
		`{{toYaml .Values.x}}`:                                   "key: z",
		`{{(fromYaml "a: b").a}}`:                                "b",
		`{{tpl "{{.Values.w}}" .}}`:                              "why",
		`{{.Files.Get "f.txt"}}{{.Files.Get "g"}}`:               "file",
		`{{.Values.none}}`:                                       "",
		`{{.Release.Name}} {{.Release.Namespace}}`:               "r n",
		`{{.Capabilities.KubeVersion.Version}}`:                  "v1.24.3",
		`{{.Capabilities.APIVersions.Has "policy/v1"}}`:          "true",
		`{{.Capabilities.APIVersions.Has "own/v1"}}`:             "true",
		`{{.Template.BasePath}}`:                                 "c/templates",
		`{{len (lookup "v1" "Secret" "n" "s")}}`:                 "0",
		`{{required "is wanted" .Values.w | upper | nindent 1}}`: "\n WHY",
	} {
		if got, err := rendered(t, text, o); err != nil || got != wanted {
			t.Errorf("%s gave %q, %v, not %q", text, got, err, wanted)
		}
	}
}

func TestLookUpsFindWhatTheClusterHas(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets.json")
	secret := `{"items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}, "data": {"k": "v"}}]}`
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options{kube: "1.33.0", cluster: file}
	for text, wanted := range map[string]string{
		`{{(lookup "v1" "Secret" "n" "s").data.k}}`:       "v",
		`{{len (lookup "v1" "Secret" "n" "other")}}`:      "0",
		`{{len (lookup "v1" "Secret" "elsewhere" "s")}}`:  "0",
		`{{len (lookup "apps/v1" "Deployment" "n" "s")}}`: "0",
	} {
		if got, err := rendered(t, text, o); err != nil || got != wanted {
			t.Errorf("%s gave %q, %v, not %q", text, got, err, wanted)
		}
	}
	if _, err := rendered(t, `{{lookup "v1" "Secret" "n" ""}}`, o); err == nil {
		t.Error("a list was looked up")
	}
}

func TestWhatFailsSaysWhy(t *testing.T) {
	for text, why := range map[string]string{
		`{{required "is wanted" .Values.none}}`: "is wanted",
		`{{fail "no"}}`:                         "no",
		`{{env "HOME"}}`:                        "not defined",
		`{{include "q" .}}`:                     "q",
	} {
		if _, err := rendered(t, text, options{kube: "1.33.0"}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s failed with %v, not for %q", text, err, why)
		}
	}
	if _, err := rendered(t, "", options{kube: "1.19.0"}); err == nil {
		t.Error("a Kubernetes that is too old was taken")
	}
}

func TestObjectsAreInOrderAndKeysAreNotToldTwice(t *testing.T) {
	documents, err := split(map[string]string{
		"a": "kind: Deployment\nmetadata: {name: d}\n---\n# nothing\n---\nkind: Secret\nmetadata: {name: s}\n",
		"n": "kind: Namespace\nmetadata: {name: n}\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, one := range documents {
		kinds = append(kinds, one.object["kind"].(string))
	}
	if wanted := []string{"Namespace", "Secret", "Deployment"}; !reflect.DeepEqual(kinds, wanted) {
		t.Errorf("got %v, not %v", kinds, wanted)
	}
	if _, err := split(map[string]string{"a": "kind: A\nkind: B\n"}); err == nil {
		t.Error("a key told twice was taken")
	}
}
