package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/model/base"
	"github.com/nexus-continuum/nexus/model/encoder"
)

// Architectures.
const (
	Flowing = "flowing" // one contractive cell, to its fixed point
	Layered = "layered" // distinct blocks, one after the other
)

// Sizes.
const (
	Small = "small" // state size 128
	Base  = "base"  // 256
	Large = "large" // 512
)

// Config are the settings of a model. The zero value of a field means its
// default.
type Config struct {
	Architecture string // Flowing (default) or Layered
	Size         string // Small (default), Base or Large
	Seed         uint64
	// Base is what untrained weights start from; default the one that comes
	// with the program for the size. base.None() is random numbers alone.
	Base *base.File
	// MaxFlowSteps bounds the iteration; default 50.
	MaxFlowSteps int
	// ConvergenceThreshold is the relative residual at which it ends; default 1e-4.
	ConvergenceThreshold float64
	// Damping is the share of the new state taken at each step, in (0,1]; default 1.
	Damping float64
	// TargetError bounds the share of prompts answered wrongly; default 0.05.
	TargetError float64
	// ReplayBuffer is how many older lessons are trained on beside new ones; default 2048.
	ReplayBuffer int
}

// shape is what a size means.
type shape struct {
	dim, buckets int
	blocks       int // layered only
}

var shapes = map[string]shape{
	Small: {128, 1 << 15, 2},
	Base:  {256, 1 << 16, 4},
	Large: {512, 1 << 17, 6},
}

func (c Config) withDefaults() Config {
	if c.Architecture == "" {
		c.Architecture = Flowing
	}
	if c.Size == "" {
		c.Size = Small
	}
	if c.Base == nil {
		c.Base = base.For(c.Size)
	}
	if c.MaxFlowSteps == 0 {
		c.MaxFlowSteps = encoder.DefaultMaxSteps
	}
	if c.ConvergenceThreshold == 0 {
		c.ConvergenceThreshold = encoder.DefaultThreshold
	}
	if c.Damping == 0 {
		c.Damping = 1
	}
	if c.TargetError == 0 {
		c.TargetError = 0.05
	}
	if c.ReplayBuffer == 0 {
		c.ReplayBuffer = 2048
	}
	return c
}

// WithShape is c for another architecture and size. A base that fits the other
// size only gives way to the one that comes with the program.
func (c Config) WithShape(architecture, size string) Config {
	c.Architecture, c.Size = architecture, size
	if c.Base != nil {
		dim, _ := c.Base.Shape()
		if s, known := shapes[size]; known && dim != 0 && dim != s.dim {
			c.Base = nil
		}
	}
	return c
}

// check says what is wrong with c and what would be right.
func (c Config) check() error {
	if known := []string{Flowing, Layered}; !slices.Contains(known, c.Architecture) {
		return fmt.Errorf("architecture %q: must be one of %s", c.Architecture, strings.Join(known, ", "))
	}
	if _, ok := shapes[c.Size]; !ok {
		return fmt.Errorf("model size %q: must be one of %s, %s, %s", c.Size, Small, Base, Large)
	}
	if !(c.TargetError > 0 && c.TargetError < 1) {
		return fmt.Errorf("target error %g: must be above 0 and below 1", c.TargetError)
	}
	if c.ReplayBuffer < 0 {
		return fmt.Errorf("replay buffer %d: must not be negative", c.ReplayBuffer)
	}
	return c.options().Check()
}

func (c Config) options() encoder.Options {
	return encoder.Options{Threshold: float32(c.ConvergenceThreshold), MaxSteps: c.MaxFlowSteps, Damping: float32(c.Damping)}
}
