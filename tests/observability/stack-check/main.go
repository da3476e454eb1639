// Reads files of the stack with the loaders of the tools they are for: compose.yml with that of Docker
// Compose, config.alloy with that of Alloy. Prints a project as JSON; a fault ends it with 1.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/grafana/alloy/syntax/parser"
	"github.com/grafana/alloy/syntax/printer"
)

// compose does what `docker compose config --format json` does: .env beside the file, profiles, the
// schema, interpolation, and what the schema cannot say (unknown services, volumes, secrets).
func compose(path string) error {
	options, err := cli.NewProjectOptions([]string{path},
		cli.WithOsEnv,
		cli.WithEnvFiles(),
		cli.WithDotEnv,
		cli.WithDefaultProfiles(),
	)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(project)
}

// alloy parses a file and demands that it is formatted as `alloy fmt` would.
func alloy(path string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(path, source)
	if err != nil {
		return err
	}
	formatted, err := os.CreateTemp("", "alloy")
	if err != nil {
		return err
	}
	defer os.Remove(formatted.Name())
	if err := printer.Fprint(formatted, file); err != nil {
		return err
	}
	wanted, err := os.ReadFile(formatted.Name())
	if err != nil {
		return err
	}
	if string(wanted)+"\n" != string(source) && string(wanted) != string(source) {
		return fmt.Errorf("%s is not formatted; it should be:\n%s", path, wanted)
	}
	return nil
}

func main() {
	checks := map[string]func(string) error{"compose": compose, "alloy": alloy}
	if len(os.Args) != 3 || checks[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: stack-check compose|alloy FILE")
		os.Exit(2)
	}
	if err := checks[os.Args[1]](os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
