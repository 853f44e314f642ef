/* proto/http/api_tar.h: headers of a tar archive (POSIX.1-1988 ustar; sizes of 8 GiB and more in base 256
 * as GNU tar and libarchive read them). */
#ifndef PROTO_HTTP_API_TAR_H
#define PROTO_HTTP_API_TAR_H

#include <cairn/types.h>

#define TAR_BLOCK 512

/* The header of a file, or of a folder where the name ends with '/'. False when the name does not fit (100
 * bytes). */
bool tar_header(uint8_t block[TAR_BLOCK], const char *name, uint64_t size_bytes, int64_t time_us);
/* How many zeros follow a file's bytes; the archive ends with two blocks of zeros. */
static inline size_t
tar_padding(uint64_t size_bytes)
{
    return (size_t)((TAR_BLOCK - size_bytes % TAR_BLOCK) % TAR_BLOCK);
}

#endif
