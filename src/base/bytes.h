/* base/bytes.h: little-endian loads and stores, varints, the order of texts, and a growable byte buffer. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <cairn/types.h>

/* Everything that Cairn stores is little-endian. These compile to single moves where they can. */
static inline uint16_t load16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t load32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t load64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void store16(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void store32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void store64(void *p, uint64_t v) { memcpy(p, &v, 8); }
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the stored form is little-endian");

/* Unsigned LEB128. varint_put needs VARINT_MAX bytes of room and returns the end. varint_get
 * returns the end, or NULL when the bytes run out or the number does not fit 64 bits. */
#define VARINT_MAX 10
uint8_t *varint_put(uint8_t *to, uint64_t value);
const uint8_t *varint_get(const uint8_t *from, const uint8_t *end, uint64_t *ret_value);

/* Below, at or above 0: by their bytes, what another begins with before that other. For qsort() too. */
static inline int
cairn_str_order(cairn_str a, cairn_str b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* A growable buffer. Zero it to begin; buf_free() gives the memory back and zeroes it. A failed
 * allocation sets `failed` and later puts do nothing, so that a writer checks once at the end. */
struct buf {
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
};

void buf_free(struct buf *buf);
static inline void buf_clear(struct buf *buf) { buf->size = 0; buf->failed = false; }
/* Room for `more` bytes at data + size; false (and failed) when there is no memory. */
bool buf_reserve(struct buf *buf, size_t more);
void buf_put(struct buf *buf, const void *bytes, size_t size);
void buf_put_char(struct buf *buf, char c);
void buf_put_str(struct buf *buf, cairn_str text);
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *buf, const char *format, ...);
/* Whatever hands out bytes piece by piece (cairn_sink in cairn/app.h) into the struct buf that `buf` points to; false: it
 * has failed. */
bool buf_sink(void *buf, cairn_str bytes);
static inline cairn_str buf_str(const struct buf *buf) { return (cairn_str){buf->data, buf->size}; }

#endif
