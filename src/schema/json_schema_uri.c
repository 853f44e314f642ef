/* References of schemas: RFC 3986 §5.2 resolution. A base without a scheme is a path, and stays one. */
#include <base/hex.h>
#include <schema/json_schema_int.h>

struct uri {
    cairn_str scheme, authority, path, query; /* data NULL: not there (the path always is) */
};

static cairn_str
slice(const char *from, const char *to)
{
    return (cairn_str){from, (size_t)(to - from)};
}

static const char *
until(const char *at, const char *end, const char *stops)
{
    while (at < end && !(*at && strchr(stops, *at)))
        at++;
    return at;
}

/* RFC 3986 appendix B, without the fragment. */
static struct uri
split(cairn_str text)
{
    struct uri uri = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    if (text.size == 0)
        return (struct uri){.path = {"", 0}};
    const char *at = text.data, *end = until(at, at + text.size, "#");
    const char *stop = until(at, end, ":/?");
    if (stop < end && *stop == ':' && stop > at) {
        uri.scheme = slice(at, stop);
        at = stop + 1;
    }
    if (end - at >= 2 && at[0] == '/' && at[1] == '/') {
        stop = until(at + 2, end, "/?");
        uri.authority = slice(at + 2, stop);
        at = stop;
    }
    stop = until(at, end, "?");
    uri.path = slice(at, stop);
    if (stop < end)
        uri.query = slice(stop + 1, end);
    return uri;
}

/* §5.2.4 in place: `path` is what is there, the result is never longer. A relative path stays relative. */
static size_t
remove_dots(char *path, size_t size)
{
    bool relative = size > 0 && path[0] != '/';
    size_t from = 0, to = 0;
    while (from < size) {
        size_t end = from + (path[from] == '/');
        while (end < size && path[end] != '/')
            end++;
        const char *name = path + from + (path[from] == '/');
        size_t name_size = (size_t)(path + end - name);
        bool last = end == size;
        if (name_size == 1 && name[0] == '.') {
            if (last && to < size)
                path[to++] = '/';
        } else if (name_size == 2 && name[0] == '.' && name[1] == '.') {
            while (to > 0 && path[--to] != '/')
                ;
            if (last && to < size)
                path[to++] = '/';
        } else {
            memmove(path + to, path + from, end - from);
            to += end - from;
        }
        from = end;
    }
    if (relative && to > 0 && path[0] == '/') {
        memmove(path, path + 1, to - 1);
        to--;
    }
    return to;
}

static char *
put(char *to, cairn_str text)
{
    if (text.size)
        memcpy(to, text.data, text.size);
    return to + text.size;
}

cairn_str
js_uri_resolve(struct arena *arena, cairn_str base_text, cairn_str reference)
{
    struct uri base = split(base_text), ref = split(reference), target = ref;
    cairn_str folder = {"", 0};
    if (!ref.scheme.data) {
        target.scheme = base.scheme;
        if (!ref.authority.data) {
            target.authority = base.authority;
            if (ref.path.size == 0) {
                target.path = base.path;
                if (!ref.query.data)
                    target.query = base.query;
            } else if (ref.path.data[0] != '/') {
                size_t size = base.path.size;
                while (size > 0 && base.path.data[size - 1] != '/')
                    size--;
                folder = (cairn_str){base.path.data, size};
                if (base.authority.data && base.path.size == 0)
                    folder = CAIRN_STR("/");
            }
        }
    }
    char *text = arena_alloc(arena, base_text.size + reference.size + 8), *to = text;
    if (!text)
        return (cairn_str){NULL, 0};
    if (target.scheme.data)
        to = put(put(to, target.scheme), CAIRN_STR(":"));
    if (target.authority.data)
        to = put(put(to, CAIRN_STR("//")), target.authority);
    char *path = to;
    to = put(put(to, folder), target.path);
    if (ref.path.size > 0 && (ref.path.data[0] == '/' || folder.size > 0 || ref.path.data[0] == '.'))
        to = path + remove_dots(path, (size_t)(to - path));
    if (target.query.data)
        to = put(put(to, CAIRN_STR("?")), target.query);
    return slice(text, to);
}

bool
js_uri_fragment(struct arena *arena, cairn_str reference, cairn_str *ret)
{
    const char *hash = reference.size ? memchr(reference.data, '#', reference.size) : NULL;
    *ret = (cairn_str){"", 0};
    if (!hash)
        return false;
    const char *at = hash + 1, *end = reference.data + reference.size;
    char *text = arena_alloc(arena, (size_t)(end - at)), *to = text;
    if (text)
        while (at < end) {
            int high = *at == '%' && end - at >= 3 ? hex_value(at[1]) : -1;
            int low = high >= 0 ? hex_value(at[2]) : -1;
            if (low >= 0) {
                *to++ = (char)(high << 4 | low);
                at += 3;
            } else {
                *to++ = *at++;
            }
        }
    *ret = text ? slice(text, to) : (cairn_str){NULL, 0};
    return true;
}
