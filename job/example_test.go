package job_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nexus-continuum/nexus/job"
)

// A job moves from queued to running and then to one final state.
func ExampleState_Allows() {
	fmt.Println(job.StateQueued.Allows(job.StateRunning))
	fmt.Println(job.StateRunning.Allows(job.StateQueued)) // handed back
	fmt.Println(job.StateSucceeded.Allows(job.StateRunning))
	// Output:
	// true
	// true
	// false
}

// An Error has a code for programs and a sentence for people. Its cause is for
// the log only: it is not part of the JSON.
func ExampleErrorf() {
	err := job.Errorf(job.CodePromptTooLong, "the prompt has %d characters; at most %d are allowed", 5000, 4096).
		On("prompt").Because(errors.New("an internal detail"))
	text, _ := json.Marshal(err)
	fmt.Println(string(text))
	fmt.Println(err)
	// Output:
	// {"code":"prompt_too_long","detail":"the prompt has 5000 characters; at most 4096 are allowed","field":"prompt"}
	// the prompt has 5000 characters; at most 4096 are allowed: an internal detail
}
