/* Templates: "order-{order_id}", "customer:{/customer/id}". See manifest.h. Pure. */
#include <app/manifest.h>

#include <base/error.h>

bool
app_template_member(cairn_str text, size_t *at, cairn_str *ret_member)
{
    for (size_t i = *at; i < text.size; i++) {
        if (text.data[i] == '}')
            break; /* closes nothing */
        if (text.data[i] != '{')
            continue;
        const char *end = memchr(text.data + i, '}', text.size - i);
        const char *again = memchr(text.data + i + 1, '{', text.size - i - 1);
        if (!end || end == text.data + i + 1 || (again && again < end))
            break;
        *ret_member = (cairn_str){text.data + i + 1, (size_t)(end - text.data) - i - 1};
        *at = (size_t)(end - text.data) + 1;
        return true;
    }
    bool whole = *at >= text.size
                 || (!memchr(text.data + *at, '{', text.size - *at) && !memchr(text.data + *at, '}', text.size - *at));
    *at = whole ? text.size : SIZE_MAX;
    return false;
}

/* The next token of a JSON pointer (RFC 6901), unescaped into `name`. False: it does not fit, or is malformed. */
static bool
next_token(cairn_str *pointer, char name[256])
{
    size_t size = 0, i = 1;
    for (; i < pointer->size && pointer->data[i] != '/'; i++) {
        char c = pointer->data[i];
        if (c == '~') {
            if (i + 1 >= pointer->size || (pointer->data[i + 1] != '0' && pointer->data[i + 1] != '1'))
                return false;
            c = pointer->data[++i] == '1' ? '/' : '~';
        }
        if (size + 1 >= 256)
            return false;
        name[size++] = c;
    }
    name[size] = '\0';
    pointer->data += i;
    pointer->size -= i;
    return true;
}

/* The member whose decoded name is this. json_get() leaves names with escapes to its callers. */
static struct json
get_member(struct json value, const char *name)
{
    struct json found = json_get(value, name), at_name, at_value;
    if (found.type != JSON_NONE || value.type != JSON_OBJECT)
        return found;
    struct json_walk walk = json_walk(value);
    while (json_next(&walk, &at_name, &at_value))
        if (json_string_is(at_name, name))
            return at_value;
    return found;
}

static struct json
find_value(cairn_str member, struct json data)
{
    char name[256];
    if (member.data[0] != '/') {
        if (member.size >= sizeof name)
            return (struct json){0};
        memcpy(name, member.data, member.size);
        name[member.size] = '\0';
        return get_member(data, name);
    }
    while (member.size > 0) {
        if (!next_token(&member, name))
            return (struct json){0};
        data = get_member(data, name);
    }
    return data;
}

static cairn_err
put_value(cairn_str member, struct json value, struct buf *to, cairn_error *error)
{
    int shown = member.size < 100 ? (int)member.size : 100;
    if (value.type == JSON_NONE || value.type == JSON_NULL)
        return error_set(error, CAIRN_E_INVALID, "%.*s is needed here, and absent", shown, member.data);
    if (value.type == JSON_NUMBER) {
        int64_t number;
        if (!json_i64(value, &number))
            return error_set(error, CAIRN_E_INVALID, "%.*s must be text or a whole number", shown, member.data);
        json_put_i64(to, number);
        return CAIRN_OK;
    }
    if (value.type != JSON_STRING)
        return error_set(error, CAIRN_E_INVALID, "%.*s must be text or a whole number", shown, member.data);
    struct arena arena = {.size_max = 64 * 1024};
    cairn_str text = json_string(value, &arena);
    cairn_err err = CAIRN_OK;
    if (!text.data)
        err = error_set(error, CAIRN_E_INVALID, "%.*s is not text that can be used here", shown, member.data);
    else if (text.size == 0)
        err = error_set(error, CAIRN_E_INVALID, "%.*s must not be empty", shown, member.data);
    for (size_t i = 0; err == CAIRN_OK && i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7F)
            err = error_set(error, CAIRN_E_INVALID, "%.*s holds a control character", shown, member.data);
    if (err == CAIRN_OK)
        buf_put_str(to, text);
    arena_free(&arena);
    return err;
}

cairn_err
app_template_fill(cairn_str text, struct json data, struct buf *to, cairn_error *error)
{
    size_t at = 0, done = 0;
    cairn_str member;
    while (app_template_member(text, &at, &member)) {
        buf_put(to, text.data + done, (size_t)(member.data - 1 - text.data) - done);
        cairn_err err = put_value(member, find_value(member, data), to, error);
        if (err != CAIRN_OK)
            return err;
        done = at;
    }
    if (at == SIZE_MAX)
        return error_set(error, CAIRN_E_INVALID, "the template %.*s has braces that do not match",
                         (int)(text.size < 200 ? text.size : 200), text.data);
    buf_put(to, text.data + done, text.size - done);
    return to->failed ? error_set(error, CAIRN_E_NOMEM, "out of memory filling in a template") : CAIRN_OK;
}

/* Text between braces stands for one character or more. As with shell patterns, only the latest such place ever needs to be
 * tried again, so the work is bounded by the two sizes. */
static bool
template_fits(cairn_str pattern, cairn_str name)
{
    size_t p = 0, n = 0, again_p = SIZE_MAX, again_n = 0;
    while (n < name.size || p < pattern.size) {
        const char *close = p < pattern.size && pattern.data[p] == '{'
                                ? memchr(pattern.data + p, '}', pattern.size - p) : NULL;
        if (close != NULL && n < name.size) {
            p = again_p = (size_t)(close + 1 - pattern.data);
            again_n = ++n;
        } else if (close == NULL && p < pattern.size && n < name.size && pattern.data[p] == name.data[n]) {
            p++;
            n++;
        } else if (again_p != SIZE_MAX && again_n < name.size) {
            p = again_p;
            n = ++again_n;
        } else {
            return false;
        }
    }
    return true;
}

bool
app_stream_decider(const struct app_manifest *manifest, cairn_str stream, size_t *ret)
{
    size_t best = 0;
    bool found = false;
    if (stream.size > 0 && stream.data[0] == '$') /* no command writes there */
        return false;
    for (size_t i = 0; i < manifest->command_count; i++) {
        const struct app_command *command = &manifest->commands[i];
        const char *brace = memchr(command->stream.data, '{', command->stream.size);
        size_t size = brace ? (size_t)(brace - command->stream.data) : command->stream.size;
        if (manifest->deciders[command->decider].item_count > 0 || (found && size <= best)
            || !template_fits(command->stream, stream))
            continue;
        best = size;
        found = true;
        *ret = command->decider;
    }
    return found;
}
