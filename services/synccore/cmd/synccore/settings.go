package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// settings are a command's flags, each of which may come from the environment as well. A
// flag wins over a variable, the variable named first over the others.
type settings struct {
	command *cobra.Command
	flags   *pflag.FlagSet
	// variables are the names of environment variables by flag.
	variables map[string][]string
}

func settingsOf(c *cobra.Command) settings {
	c.Flags().SortFlags = false
	return settings{command: c, flags: c.Flags(), variables: map[string][]string{}}
}

// help notes a flag's variables and adds them to its text.
func (s settings) help(name, text string, variables []string) string {
	s.variables[name] = variables
	return strings.TrimSuffix(text, ".") + " ($" + strings.Join(variables, ", $") + ")"
}

func (s settings) text(into *string, name, usual, text string, variables ...string) {
	s.flags.StringVar(into, name, usual, s.help(name, text, variables))
}

func (s settings) toggle(into *bool, name, text string, variables ...string) {
	s.flags.BoolVar(into, name, false, s.help(name, text, variables))
}

func (s settings) count(into *int, name string, usual int, text string, variables ...string) {
	s.flags.IntVar(into, name, usual, s.help(name, text, variables))
}

func (s settings) share(into *float64, name string, usual float64, text string, variables ...string) {
	s.flags.Float64Var(into, name, usual, s.help(name, text, variables))
}

func (s settings) span(into *time.Duration, name string, usual time.Duration, text string, variables ...string) {
	s.flags.DurationVar(into, name, usual, s.help(name, text, variables))
}

// run has the command do its work once the variables were read.
func (s settings) run(work func(*cobra.Command, []string) error) {
	s.command.RunE = func(c *cobra.Command, args []string) error {
		if err := s.readEnvironment(); err != nil {
			return err
		}
		return work(c, args)
	}
}

// readEnvironment sets the flags that were not given. A variable that is empty says
// something of a text only.
func (s settings) readEnvironment() error {
	for name, variables := range s.variables {
		flag := s.flags.Lookup(name)
		if flag.Changed {
			continue
		}
		for _, variable := range variables {
			value, ok := os.LookupEnv(variable)
			if !ok || value == "" && flag.Value.Type() != "string" {
				continue
			}
			if err := s.flags.Set(name, value); err != nil {
				return fmt.Errorf("reading %s: %w", variable, err)
			}
			break
		}
	}
	return nil
}
