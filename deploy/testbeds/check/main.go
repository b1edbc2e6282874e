// Checks Terraform files as far as that goes without providers, with the parser that Terraform itself has: syntax, form,
// and that what is referred to is there.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

func main() {
	wrong, count, err := check(os.Args[1:])
	if err == nil && count == 0 {
		err = fmt.Errorf("no .tf or .tfvars file in %v", os.Args[1:])
	}
	for _, one := range wrong {
		fmt.Fprintln(os.Stderr, one)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || len(wrong) > 0 {
		os.Exit(1)
	}
	fmt.Printf("%d files\n", count)
}

func check(directories []string) (wrong []string, count int, err error) {
	for _, directory := range directories {
		known := references{declared: map[string]bool{}}
		for _, pattern := range []string{"*.tf", "*.tfvars"} {
			paths, err := filepath.Glob(filepath.Join(directory, pattern))
			if err != nil {
				return nil, 0, err
			}
			for _, path := range paths {
				count++
				found, err := known.read(path)
				if err != nil {
					return nil, 0, err
				}
				wrong = append(wrong, found...)
			}
		}
		wrong = append(wrong, known.missing()...)
	}
	return wrong, count, nil
}

// What a directory declares and what it refers to.
type references struct {
	declared map[string]bool
	wanted   []hcl.Traversal
}

// Reads a file; returns what is wrong with its syntax or its form.
func (r *references) read(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	file, problems := hclparse.NewParser().ParseHCL(text, path)
	if problems.HasErrors() {
		return []string{problems.Error()}, nil
	}
	var wrong []string
	if string(hclwrite.Format(text)) != string(text) {
		wrong = append(wrong, path+": not in the form that `terraform fmt` gives")
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil, fmt.Errorf("%s: a body of an odd kind", path)
	}
	for _, block := range body.Blocks {
		r.declare(block)
	}
	r.collect(body, map[string]bool{"each": true, "count": true, "self": true, "path": true})
	return wrong, nil
}

func (r *references) declare(block *hclsyntax.Block) {
	switch block.Type {
	case "variable":
		r.declared["var."+block.Labels[0]] = true
	case "resource":
		r.declared[block.Labels[0]+"."+block.Labels[1]] = true
	case "data":
		r.declared["data."+block.Labels[0]+"."+block.Labels[1]] = true
	case "locals":
		for name := range block.Body.Attributes {
			r.declared["local."+name] = true
		}
	}
}

// Collects what expressions refer to, less names that only live around them.
func (r *references) collect(body *hclsyntax.Body, around map[string]bool) {
	for _, attribute := range body.Attributes {
		for _, traversal := range attribute.Expr.Variables() {
			if !around[traversal.RootName()] {
				r.wanted = append(r.wanted, traversal)
			}
		}
	}
	for _, block := range body.Blocks {
		inner := map[string]bool{}
		for name := range around {
			inner[name] = true
		}
		if block.Type == "dynamic" {
			inner[block.Labels[0]] = true
		}
		if block.Type == "variable" {
			// Kinds of values are written as if they were variables.
			r.collectRules(block.Body, inner)
			continue
		}
		r.collect(block.Body, inner)
	}
}

// The rules of a variable, the only part of it that refers to something.
func (r *references) collectRules(body *hclsyntax.Body, around map[string]bool) {
	for _, block := range body.Blocks {
		r.collect(block.Body, around)
	}
}

func (r *references) missing() []string {
	var out []string
	for _, traversal := range r.wanted {
		name := traversal.RootName()
		depth := 1
		if name == "data" {
			depth = 2
		}
		for i := 1; i <= depth && i < len(traversal); i++ {
			if step, ok := traversal[i].(hcl.TraverseAttr); ok {
				name += "." + step.Name
			}
		}
		if !r.declared[name] {
			out = append(out, fmt.Sprintf("%s: there is no %s", traversal.SourceRange(), name))
		}
	}
	return out
}
