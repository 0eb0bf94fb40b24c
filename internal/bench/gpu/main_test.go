//go:build linux && cgo

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/cuda/cudatest"
)

// TestTheCheckRuns on a driver that stands in for NVIDIA's. NVML is missing there, which is
// the only thing that must not hold.
func TestTheCheckRuns(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := check{library: cudatest.New(t).Path, rows: 5000, batch: 32, sizes: []string{model.Small}, tries: 1, out: &out}
	err := c.run(t.Context())
	if err == nil || err.Error() != "1 things do not hold" || strings.Count(out.String(), "FAIL") != 1 || !strings.Contains(out.String(), "FAIL  NVML shows the card") {
		t.Errorf("%v\n%s", err, out.String())
	}
	t.Log(out.String())
}
