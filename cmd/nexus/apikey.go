package main

import (
	"crypto/rand"
	"fmt"

	"github.com/nexus-continuum/nexus/api"
)

type apikeyCmd struct{}

// Run prints a fresh key.
func (apikeyCmd) Run(rt *runtime) error {
	key, err := api.NewKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	_, err = fmt.Fprintln(rt.main.Stdout, key)
	return err
}
