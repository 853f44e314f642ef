/* Varints, and the buffer that every encoder and writer fills.
 *
 * Invariants of a buffer: size <= capacity; data is NULL only while capacity is 0; once `failed` is
 * set nothing more is written until buf_clear(), so that what is there is a clean prefix and never a
 * text with a hole in it. A buffer belongs to one thread at a time. */
#include <base/bytes.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_CAPACITY_MIN 256

uint8_t *
varint_put(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

const uint8_t *
varint_get(const uint8_t *from, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && from < end; shift += 7) {
        uint8_t byte = *from++;
        if (shift == 63 && byte > 1) /* the tenth byte has room for one bit */
            return NULL;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return from;
        }
    }
    return NULL;
}

void
buf_free(struct buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct buf){0};
}

bool
buf_reserve(struct buf *buf, size_t more)
{
    if (buf->failed)
        return false;
    if (more <= buf->capacity - buf->size)
        return true;
    size_t need, capacity = buf->capacity < BUF_CAPACITY_MIN ? BUF_CAPACITY_MIN : buf->capacity;
    if (__builtin_add_overflow(buf->size, more, &need) || need > PTRDIFF_MAX) {
        buf->failed = true;
        return false;
    }
    while (capacity < need)
        capacity = capacity > PTRDIFF_MAX / 2 ? need : capacity * 2;
    char *data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void
buf_put(struct buf *buf, const void *bytes, size_t size)
{
    if (size == 0 || !buf_reserve(buf, size))
        return;
    memcpy(buf->data + buf->size, bytes, size);
    buf->size += size;
}

void
buf_put_char(struct buf *buf, char c)
{
    if (buf_reserve(buf, 1))
        buf->data[buf->size++] = c;
}

void
buf_put_str(struct buf *buf, cairn_str text)
{
    buf_put(buf, text.data, text.size);
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
    /* Try in the room there is, with space for the NUL that vsnprintf writes and we do not count;
     * where that was too little it has told how much is needed. */
    size_t room = 96;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (!buf_reserve(buf, room))
            return;
        room = buf->capacity - buf->size;
        va_list arguments;
        va_start(arguments, format);
        int size = vsnprintf(buf->data + buf->size, room, format, arguments);
        va_end(arguments);
        if (size < 0)
            break;
        if ((size_t)size < room) {
            buf->size += (size_t)size;
            return;
        }
        room = (size_t)size + 1;
    }
    buf->failed = true;
}

bool
buf_sink(void *buf, cairn_str bytes)
{
    struct buf *to = buf;
    buf_put_str(to, bytes);
    return !to->failed;
}
