// softcuda: CUDA C++ kernels compiled by the system's C++ compiler and run on the host; every thread of a block is a
// fiber.
//
// The build passes `-include softcuda.h`, as nvcc includes its own runtime header, so a .cu file needs no change:
// the qualifiers, built-in variables, intrinsics and vector types below mean what CUDA's programming guide says.
// What cannot be done faithfully is left out, so that using it is a compile error and never a wrong answer
// (`__activemask`, textures, inline PTX, floating-point atomics). cooperative_groups.h has the barrier of the grid.
#pragma once

#include "softcuda/qualifiers.h"
#include "softcuda/vector_types.h"
#include "softcuda/builtins.h"
#include "softcuda/sync.h"
#include "softcuda/math.h"
#include "softcuda/memory.h"
#include "softcuda/atomics.h"
#include "softcuda/kernels.h"
