/* Tar headers. See api_tar.h.
 *
 *   0 name 100 · 100 mode 8 · 108 uid 8 · 116 gid 8 · 124 size 12 · 136 mtime 12 · 148 checksum 8 ·
 *   156 type 1 · 157 link 100 · 257 "ustar\0" · 263 "00" */
#include <proto/http/api_tar.h>

/* Octal with a NUL, as wide as the field. */
static void
put_octal(uint8_t *to, size_t width, uint64_t n)
{
    for (size_t i = width - 1; i > 0; i--, n >>= 3)
        to[i - 1] = (uint8_t)('0' + (n & 7));
    to[width - 1] = '\0';
}

static void
put_size(uint8_t to[12], uint64_t size)
{
    if (size < UINT64_C(1) << 33) {
        put_octal(to, 12, size);
        return;
    }
    memset(to, 0, 12);
    to[0] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        to[11 - i] = (uint8_t)(size >> (8 * i));
}

bool
tar_header(uint8_t block[TAR_BLOCK], const char *name, uint64_t size_bytes, int64_t time_us)
{
    size_t name_size = strlen(name);
    if (name_size == 0 || name_size > 100)
        return false;
    memset(block, 0, TAR_BLOCK);
    memcpy(block, name, name_size);
    bool folder = name[name_size - 1] == '/';
    put_octal(block + 100, 8, folder ? 0755 : 0644);
    put_octal(block + 108, 8, 0);
    put_octal(block + 116, 8, 0);
    put_size(block + 124, size_bytes);
    put_octal(block + 136, 12, (uint64_t)(time_us > 0 ? time_us / 1000000 : 0));
    memset(block + 148, ' ', 8);
    block[156] = folder ? '5' : '0';
    memcpy(block + 257, "ustar\0" "00", 8);

    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += block[i];
    put_octal(block + 148, 7, sum);
    return true;
}
