// CUDA's vector types and dim3, for the emulation on the host: names, members and alignments of the
// programming guide.
#pragma once

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

#define PLUMBLINE_EMULATION_VECTORS(type, name)                           \
  struct alignas(2 * sizeof(type)) name##2 {                              \
    type x, y;                                                            \
  };                                                                      \
  struct alignas(4 * sizeof(type) > 16 ? 16 : 4 * sizeof(type)) name##4 { \
    type x, y, z, w;                                                      \
  };                                                                      \
  constexpr name##2 make_##name##2(type x, type y) {                      \
    return {x, y};                                                        \
  }                                                                       \
  constexpr name##4 make_##name##4(type x, type y, type z, type w) {      \
    return {x, y, z, w};                                                  \
  }

PLUMBLINE_EMULATION_VECTORS(unsigned char, uchar)
PLUMBLINE_EMULATION_VECTORS(signed char, char)
PLUMBLINE_EMULATION_VECTORS(short, short)
PLUMBLINE_EMULATION_VECTORS(unsigned short, ushort)
PLUMBLINE_EMULATION_VECTORS(int, int)
PLUMBLINE_EMULATION_VECTORS(unsigned, uint)
PLUMBLINE_EMULATION_VECTORS(long long, longlong)
PLUMBLINE_EMULATION_VECTORS(unsigned long long, ulonglong)
PLUMBLINE_EMULATION_VECTORS(float, float)
PLUMBLINE_EMULATION_VECTORS(double, double)

#undef PLUMBLINE_EMULATION_VECTORS
