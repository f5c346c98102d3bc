// Marks functions that run in kernels and on the host, where they are tested.
#pragma once

#if defined(__CUDACC__)
#define PLUMBLINE_HOST_DEVICE __host__ __device__
#else
#define PLUMBLINE_HOST_DEVICE
#endif
