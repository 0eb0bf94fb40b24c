package kernel

import "golang.org/x/sys/cpu"

// detect asks the CPU and the operating system, which must save the registers.
func detect() Level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return Generic
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL || !x.HasBMI2:
		return AVX2
	case !x.HasAVX512VNNI:
		return AVX512
	default:
		return AVX512VNNI
	}
}
