/* What consumers of the classic protocol tell each other through the broker, which is not its to understand: the client's library
 * writes it, and this only looks. Integers are big-endian; a string is a 16-bit size and its bytes.
 *
 *   subscription   i16 version ‖ i32 count ‖ count × string topic ‖ i32 size, user data ‖ what later versions add
 *   assignment     i16 version ‖ i32 count ‖ count × (string topic ‖ i32 count ‖ count × i32 partition) ‖ i32 size, user data */
#include <proto/http/api_kafka.h>

struct bytes {
    const uint8_t *at, *end;
};

static bool
get_u(struct bytes *from, unsigned size, uint32_t *ret)
{
    uint32_t value = 0;
    if (from->end - from->at < (ptrdiff_t)size)
        return false;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | *from->at++;
    *ret = value;
    return true;
}

static bool
get_string(struct bytes *from, cairn_str *ret)
{
    uint32_t size;
    if (!get_u(from, 2, &size) || size > INT16_MAX || from->end - from->at < (ptrdiff_t)size)
        return false;
    *ret = (cairn_str){(const char *)from->at, size};
    from->at += size;
    return true;
}

/* A count of what takes at least `least` bytes each: never more than the bytes that are there could hold. */
static bool
get_count(struct bytes *from, size_t least, size_t *ret)
{
    uint32_t count;
    if (!get_u(from, 4, &count) || count > (size_t)(from->end - from->at) / least)
        return false;
    *ret = count;
    return true;
}

static bool
get_partitions(struct bytes *from, struct arena *arena, struct assigned *ret)
{
    if (!get_string(from, &ret->topic) || !get_count(from, 4, &ret->count))
        return false;
    int32_t *partitions = arena_alloc(arena, (ret->count + 1) * sizeof *partitions);
    if (!partitions)
        return false;
    for (size_t i = 0; i < ret->count; i++) {
        uint32_t partition;
        if (!get_u(from, 4, &partition) || partition > INT32_MAX)
            return false;
        partitions[i] = (int32_t)partition;
    }
    ret->partitions = partitions;
    return true;
}

static bool
begin(cairn_str bytes, struct bytes *ret, size_t least, size_t *ret_count)
{
    uint32_t version;
    *ret = (struct bytes){(const uint8_t *)bytes.data, (const uint8_t *)bytes.data + bytes.size};
    return bytes.size > 0 && get_u(ret, 2, &version) && version <= INT16_MAX && get_count(ret, least, ret_count);
}

bool
assignment_read(cairn_str bytes, struct arena *arena, struct assigned **ret, size_t *ret_count)
{
    struct bytes from;
    size_t count;
    if (!begin(bytes, &from, 6, &count))
        return false;
    struct assigned *items = arena_alloc(arena, (count + 1) * sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!get_partitions(&from, arena, &items[i]))
            return false;
    *ret = items;
    *ret_count = count;
    return true;
}

bool
subscription_read(cairn_str bytes, struct arena *arena, cairn_str **ret_topics, size_t *ret_count)
{
    struct bytes from;
    size_t count;
    if (!begin(bytes, &from, 2, &count))
        return false;
    cairn_str *topics = arena_alloc(arena, (count + 1) * sizeof *topics);
    if (!topics)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!get_string(&from, &topics[i]))
            return false;
    *ret_topics = topics;
    *ret_count = count;
    return true;
}
