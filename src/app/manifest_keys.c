/* Mappings of app.yaml whose members have fixed names, and the values that they take. See manifest_int.h. */
#include <app/manifest_int.h>

#include <base/text.h>
#include <stdio.h>

struct key_list {
    const struct manifest_key *keys;
    size_t count;
};

static bool
key_name_at(const void *context, size_t index, cairn_str *ret)
{
    const struct key_list *list = context;
    if (index >= list->count)
        return false;
    *ret = cairn_cstr(list->keys[index].name);
    return true;
}

/* "takes: schema, stream, decider", when no name is near. */
static const char *
all_keys(const struct manifest_key *keys, size_t count, char *to, size_t size)
{
    size_t used = (size_t)snprintf(to, size, "It takes");
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(to + used, size - used, "%s %s", i ? "," : "", keys[i].name);
    if (used < size)
        snprintf(to + used, size - used, ".");
    return to;
}

static bool
is_whole(const struct yaml *node)
{
    uint64_t number;
    return node->kind == YAML_SCALAR && node->plain && parse_u64(node->text, &number);
}

static unsigned
kind_of(const struct yaml *node)
{
    if (node->kind == YAML_MAP)
        return WANT_MAP;
    if (node->kind == YAML_LIST)
        return WANT_LIST;
    if (yaml_is_null(node))
        return WANT_NOTHING;
    return is_whole(node) ? WANT_TEXT | WANT_WHOLE : WANT_TEXT;
}

static const char *
want_text(unsigned want, char to[80])
{
    static const struct {
        unsigned want;
        const char *text;
    } names[] = {{WANT_TEXT, "text"}, {WANT_WHOLE, "a whole number"}, {WANT_MAP, "a mapping"}, {WANT_LIST, "a list"}};
    size_t used = 0;
    to[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (want & names[i].want)
            used += (size_t)snprintf(to + used, 80 - used, "%s%s", used ? " or " : "", names[i].text);
    return to;
}

bool
manifest_check_names(struct manifest_reader *reader, const struct yaml *node, const char *what)
{
    if (node->kind != YAML_MAP) {
        yaml_fault(reader, node->line, "", "%s must be a mapping, and is %s", what, yaml_kind_name(node));
        return false;
    }
    for (const struct yaml *at = node->first; at; at = at->next)
        if (at->first_line)
            yaml_fault(reader, at->name_line, "Keep one of them.", "%s says %.*s twice, first in line %u", what,
                       (int)at->name.size, at->name.data, at->first_line);
    return true;
}

bool
manifest_check_keys(struct manifest_reader *reader, const struct yaml *node, const char *what,
                    const struct manifest_key *keys, size_t count)
{
    struct key_list list = {keys, count};
    char text[320], wanted[80];
    if (!manifest_check_names(reader, node, what))
        return false;
    for (const struct yaml *at = node->first; at; at = at->next) {
        const struct manifest_key *key = NULL;
        for (size_t i = 0; i < count && !key; i++)
            if (cairn_str_equal(at->name, cairn_cstr(keys[i].name)))
                key = &keys[i];
        if (!key)
            yaml_fault(reader, at->name_line,
                       manifest_did_you_mean(reader, at->name, key_name_at, &list, all_keys(keys, count, text, sizeof text)),
                       "%s takes no member %.*s", what, (int)(at->name.size < 80 ? at->name.size : 80), at->name.data);
        else if (!(kind_of(at) & key->want))
            yaml_fault(reader, at->line, "", "%s: %s must be %s, and is %s", what, key->name, want_text(key->want, wanted),
                       yaml_kind_name(at));
    }
    return true;
}

cairn_str
manifest_text(const struct yaml *map, const char *name)
{
    const struct yaml *node = yaml_get(map, name);
    return node && node->kind == YAML_SCALAR && !yaml_is_null(node) ? node->text : (cairn_str){0};
}

static uint64_t
in_range(struct manifest_reader *reader, const struct yaml *node, const char *name, bool parsed, uint64_t value,
         uint64_t least, uint64_t most, uint64_t otherwise)
{
    if (parsed && value >= least && value <= most)
        return value;
    if (node->kind == YAML_SCALAR && !yaml_is_null(node)) /* another kind was told already */
        yaml_fault(reader, node->line, manifest_hint(reader, "From %llu to %llu.", (unsigned long long)least, (unsigned long long)most),
                   "%s cannot be %.*s", name, (int)(node->text.size < 40 ? node->text.size : 40), node->text.data);
    return otherwise;
}

uint64_t
manifest_whole(struct manifest_reader *reader, const struct yaml *map, const char *name, uint64_t least, uint64_t most,
               uint64_t otherwise)
{
    const struct yaml *node = yaml_get(map, name);
    uint64_t value = 0;
    if (!node)
        return otherwise;
    bool parsed = is_whole(node) && parse_u64(node->text, &value);
    return in_range(reader, node, name, parsed, value, least, most, otherwise);
}

uint64_t
manifest_size(struct manifest_reader *reader, const struct yaml *map, const char *name, uint64_t least, uint64_t most,
              uint64_t otherwise)
{
    const struct yaml *node = yaml_get(map, name);
    uint64_t value = 0;
    if (!node)
        return otherwise;
    bool parsed = node->kind == YAML_SCALAR && parse_size(node->text, &value);
    return in_range(reader, node, name, parsed, value, least, most, otherwise);
}

bool
manifest_texts(struct manifest_reader *reader, const struct yaml *node, const char *what, size_t max,
               const cairn_str **ret, size_t *ret_count)
{
    bool one = node->kind == YAML_SCALAR && !yaml_is_null(node);
    size_t count = one ? 1 : node->kind == YAML_LIST ? node->count : 0, used = 0;
    if (!one && node->kind != YAML_LIST) {
        yaml_fault(reader, node->line, "", "%s must be a list of texts, and is %s", what, yaml_kind_name(node));
        return false;
    }
    if (count > max) {
        yaml_fault(reader, node->line, "", "%s has %zu items; the limit is %zu", what, count, max);
        return false;
    }
    cairn_str *texts = arena_alloc(&reader->manifest->arena, (count + 1) * sizeof *texts);
    if (!texts)
        return manifest_nomem(reader);
    for (const struct yaml *at = one ? node : node->first; at && used < count; at = at->next) {
        if (at->kind != YAML_SCALAR || yaml_is_null(at) || at->text.size == 0)
            yaml_fault(reader, at->line, "", "%s must hold texts, and here is %s", what, at->text.size ? yaml_kind_name(at) : "nothing");
        else
            texts[used++] = at->text;
    }
    *ret = texts;
    *ret_count = used;
    return used == count;
}

bool
manifest_type_name_valid(cairn_str name)
{
    if (name.size == 0 || name.size > 64 || name.data[0] < 'A' || name.data[0] > 'Z')
        return false;
    for (size_t i = 1; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
    }
    return true;
}

bool
manifest_plain_name_valid(cairn_str name, bool dash)
{
    if (name.size == 0 || name.size > 63 || name.data[0] < 'a' || name.data[0] > 'z')
        return false;
    for (size_t i = 1; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (dash && c == '-')))
            return false;
    }
    return true;
}
