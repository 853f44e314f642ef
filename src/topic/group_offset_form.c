/* How offsets are written down: the names of their streams and the JSON of their events. See topic/groups.h. */
#include <topic/groups_int.h>

#include <base/hex.h>
#include <base/json.h>
#include <base/text.h>
#include <stdio.h>

#define STREAM_MAX 512 /* bytes of a stream's name */

static bool
is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
}

/* The end, or NULL when it does not fit before `end`. Two names never give one text. */
static char *
escape(char *at, const char *end, cairn_str name)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; at != NULL && i < name.size; i++) {
        unsigned char c = (unsigned char)name.data[i];
        bool plain = is_plain(name.data[i]);
        if (end - at < (plain ? 1 : 3))
            return NULL;
        if (plain) {
            *at++ = name.data[i];
            continue;
        }
        *at++ = '%';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    return at;
}

static char *
put(char *at, const char *end, cairn_str text)
{
    if (at == NULL || (size_t)(end - at) < text.size)
        return NULL;
    memcpy(at, text.data, text.size);
    return at + text.size;
}

cairn_str
offsets_prefix(cairn_str group, char *to)
{
    const char *end = to + STREAM_MAX;
    char *at = put(escape(put(to, end, CAIRN_STR("$offset/")), end, group), end, CAIRN_STR("-"));
    return at ? (cairn_str){to, (size_t)(at - to)} : (cairn_str){0};
}

cairn_str
offsets_group_stream(cairn_str group, char *to)
{
    char *at = escape(put(to, to + STREAM_MAX, CAIRN_STR(OFFSETS_GROUP_PREFIX)), to + STREAM_MAX, group);
    return at ? (cairn_str){to, (size_t)(at - to)} : (cairn_str){0};
}

cairn_str
groups_offset_stream(cairn_str group, cairn_str topic, uint32_t partition, char *to)
{
    char number[16];
    int size = snprintf(number, sizeof number, "/%u", partition);
    const char *end = to + STREAM_MAX;
    cairn_str prefix = offsets_prefix(group, to);
    char *at = prefix.size > 0 ? put(escape(to + prefix.size, end, topic), end, (cairn_str){number, (size_t)size}) : NULL;
    return at ? (cairn_str){to, (size_t)(at - to)} : (cairn_str){0};
}

/* Back into a name; in the arena. */
static bool
unescape(cairn_str text, struct arena *arena, cairn_str *ret)
{
    char *to = arena_alloc(arena, text.size + 1);
    size_t size = 0;
    if (to == NULL)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '%') {
            to[size++] = text.data[i];
            continue;
        }
        int high = i + 2 < text.size ? hex_value(text.data[i + 1]) : -1;
        int low = i + 2 < text.size ? hex_value(text.data[i + 2]) : -1;
        if (high < 0 || low < 0)
            return false;
        to[size++] = (char)(high << 4 | low);
        i += 2;
    }
    *ret = (cairn_str){to, size};
    return true;
}

bool
offsets_stream_parse(cairn_str stream, size_t prefix_size, struct arena *arena, cairn_str *ret_topic, uint32_t *ret_partition)
{
    cairn_str rest = {stream.data + prefix_size, stream.size - prefix_size};
    const char *slash = rest.size > 0 ? memchr(rest.data, '/', rest.size) : NULL;
    uint64_t partition;
    if (slash == NULL
        || !parse_u64((cairn_str){slash + 1, (size_t)(rest.data + rest.size - slash - 1)}, &partition) || partition > UINT32_MAX)
        return false;
    *ret_partition = (uint32_t)partition;
    return unescape((cairn_str){rest.data, (size_t)(slash - rest.data)}, arena, ret_topic);
}

bool
offsets_group_parse(cairn_str stream, struct arena *arena, cairn_str *ret_group)
{
    size_t prefix = sizeof OFFSETS_GROUP_PREFIX - 1;
    return stream.size > prefix
           && unescape((cairn_str){stream.data + prefix, stream.size - prefix}, arena, ret_group);
}

bool
groups_offset_event(const struct offset_commit *commit, struct buf *to, cairn_event *ret)
{
    buf_put_char(to, '{');
    json_put_name(to, "offset");
    json_put_i64(to, commit->offset);
    json_put_name(to, "epoch");
    json_put_i64(to, commit->leader_epoch);
    if (commit->metadata.size > 0)
        json_put_text_member(to, "metadata", commit->metadata);
    json_put_name(to, "commit_time");
    json_put_i64(to, commit->commit_time_ms);
    json_put_name(to, "expire_time");
    json_put_i64(to, commit->expire_time_ms);
    buf_put_char(to, '}');
    *ret = (cairn_event){.type = CAIRN_STR("$offset"), .data = buf_str(to)};
    return !to->failed;
}

static int64_t
number(struct json object, const char *name, int64_t otherwise)
{
    int64_t n;
    return json_i64(json_get(object, name), &n) ? n : otherwise;
}

bool
offsets_parse(cairn_str data, struct arena *arena, struct offset_commit *ret)
{
    struct json object;
    if (json_check(data, &object, NULL) != CAIRN_OK || object.type != JSON_OBJECT)
        return false;
    ret->offset = number(object, "offset", -1);
    ret->leader_epoch = (int32_t)number(object, "epoch", -1);
    ret->commit_time_ms = number(object, "commit_time", 0);
    ret->expire_time_ms = number(object, "expire_time", -1);
    struct json metadata = json_get(object, "metadata");
    ret->metadata = metadata.type == JSON_STRING ? json_string(metadata, arena) : (cairn_str){0};
    if (ret->metadata.size == 0)
        return true;
    ret->metadata = arena_copy(arena, ret->metadata);
    return ret->metadata.data != NULL;
}
