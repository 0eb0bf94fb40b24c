package main

import (
	"fmt"
	"os"

	"github.com/nexus-continuum/nexus/model/base"
)

// Values of NEXUS_BASE that are no path.
const (
	baseAuto = "auto"
	baseNone = "none"
)

// openBase finds the base that NEXUS_BASE names.
func openBase(s *Settings) (*base.File, error) {
	switch s.Base {
	case baseAuto:
		return base.For(s.ModelSize), nil
	case baseNone:
		return base.None(), nil
	}
	wrong := func(want string) error { return &settingError{"NEXUS_BASE", s.Base, want} }
	data, err := os.ReadFile(s.Base)
	if err != nil {
		return nil, wrong("must be auto, none or a file: " + err.Error())
	}
	f, err := base.Open(data)
	if err != nil {
		return nil, wrong(err.Error())
	}
	want := baseShape[s.ModelSize]
	if dim, buckets := f.Shape(); dim != want[0] || buckets != want[1] {
		return nil, wrong(fmt.Sprintf("is a base of %d×%d; NEXUS_MODEL_SIZE=%s needs %d×%d", buckets, dim, s.ModelSize, want[1], want[0]))
	}
	return f, nil
}
