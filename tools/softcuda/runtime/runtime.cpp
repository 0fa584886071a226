// The whole runtime as one translation unit: the standard headers are read once, which is most of the compile time.
#include "fiber.cpp"
#include "shadow.cpp"
#include "device.cpp"
#include "library.cpp"
#include "block.cpp"
#include "grid.cpp"
#include "access.cpp"
#include "api.cpp"
