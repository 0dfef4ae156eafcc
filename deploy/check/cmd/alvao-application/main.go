// Command alvao-application writes the package that Alvao imports beside its sources,
// which it is told the folder of.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tandem-sync/tandem/deploy/check/application"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "alvao-application:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("give the folder of the application, such as ../alvao")

func run(args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	made, err := application.Build(args[0])
	if err != nil {
		return err
	}
	const readable = 0o644
	return os.WriteFile(filepath.Join(args[0], application.File), made, readable) //nolint:gosec // a package that everybody may read
}
