/* base/crc32c_int.h: the two ways to compute CRC32C, for crc32c.c and for the tests that hold one
 * against the other. Everybody else calls crc32c() of hash.h. */
#ifndef BASE_CRC32C_INT_H
#define BASE_CRC32C_INT_H

#include <cairn/types.h>

uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t size);
/* Whether this processor has the instructions; when it has not, do not call the other. */
bool crc32c_has_hardware(void);
uint32_t crc32c_by_hardware(uint32_t crc, const void *bytes, size_t size);

#endif
