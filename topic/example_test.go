package topic_test

import (
	"fmt"

	"github.com/nexus-continuum/nexus/topic"
)

// Open reads the built-in packs and those of a folder, if one is named.
func ExampleOpen() {
	library, err := topic.Open("")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range library.Names() {
		fmt.Println(name)
	}
	// Output:
	// general_knowledge
	// nexus
}
