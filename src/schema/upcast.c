/* Upcasting: a chain of steps on the JSON of an event.
 *
 * Data is taken apart only where a step reaches into it. An object that was looked into is a list of members; everything
 * else stays a slice of the stored text and is copied as it is:
 *
 *   {"a": 1, "b": {"c": …}, "d": […]}      rename /b/c → /b/e
 *     part ─► a (slice) ─► b ─► d (slice)
 *                          └─► c (slice)   becomes e
 *
 * Chains are constant once built; a call works in the caller's arena only. Any thread. */
#include <schema/upcast.h>

#include <base/bytes.h>
#include <base/error.h>
#include <base/text.h>

#include <stdlib.h>

struct pointer {
    cairn_str tokens[UPCAST_DEPTH_MAX];
    size_t count; /* 1 or more */
};

struct step {
    uint32_t to_version;
    enum upcast_op op;
    struct pointer from, to;
    cairn_str value;
    upcast_call call;
    void *context;
};

struct upcast_chain {
    struct arena arena;
    struct step *steps;
    size_t count;
};

/* ---- building */

static bool
add_token(struct pointer *pointer, struct arena *arena, cairn_str text, bool escaped, const char **ret_wrong)
{
    char *token = arena_alloc(arena, text.size + 1);
    size_t size = 0;
    *ret_wrong = NULL;
    if (!token)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (escaped && c == '~') {
            char next = i + 1 < text.size ? text.data[++i] : '\0';
            if (next != '0' && next != '1')
                *ret_wrong = "has a '~' that is not ~0 or ~1";
            c = next == '0' ? '~' : '/';
        }
        token[size++] = c;
    }
    if (pointer->count == UPCAST_DEPTH_MAX) {
        *ret_wrong = "goes too deep";
        return true;
    }
    pointer->tokens[pointer->count++] = (cairn_str){token, size};
    return true;
}

/* A JSON pointer (RFC 6901), or a plain name. False: out of memory. */
static bool
read_pointer(cairn_str text, struct arena *arena, struct pointer *ret, const char **ret_wrong)
{
    *ret_wrong = NULL;
    ret->count = 0;
    if (text.size == 0 || !utf8_valid(text)) {
        *ret_wrong = text.size ? "is not valid UTF-8" : "is empty";
        return true;
    }
    if (text.data[0] != '/')
        return add_token(ret, arena, text, false, ret_wrong);
    const char *at = text.data, *end = at + text.size;
    while (at < end && !*ret_wrong) {
        const char *from = ++at;
        while (at < end && *at != '/')
            at++;
        if (!add_token(ret, arena, (cairn_str){from, (size_t)(at - from)}, true, ret_wrong))
            return false;
    }
    return true;
}

/* `inner` is at or below `outer`. */
static bool
is_within(const struct pointer *inner, const struct pointer *outer)
{
    if (inner->count < outer->count)
        return false;
    for (size_t i = 0; i < outer->count; i++)
        if (!cairn_str_equal(inner->tokens[i], outer->tokens[i]))
            return false;
    return true;
}

static cairn_err
build_step(struct upcast_chain *chain, const struct upcast_step *from, struct step *to, cairn_error *error)
{
    const char *wrong = NULL, *which = "from";
    bool memory = true;
    *to = (struct step){.to_version = from->to_version, .op = from->op, .call = from->call, .context = from->context};
    if (from->to_version < 2)
        return error_set(error, CAIRN_E_INVALID, "an upcast step leads to version 2 or a later one, not %u", from->to_version);
    if (from->op == UPCAST_CALL)
        return from->call ? CAIRN_OK : error_set(error, CAIRN_E_INVALID, "an upcast step to version %u calls nothing",
                                                 from->to_version);
    if (from->op != UPCAST_DEFAULT)
        memory = read_pointer(from->from, &chain->arena, &to->from, &wrong);
    if (memory && !wrong && from->op != UPCAST_REMOVE) {
        which = "to";
        memory = read_pointer(from->to, &chain->arena, &to->to, &wrong);
    }
    if (memory && !wrong && from->op == UPCAST_DEFAULT) {
        struct json value;
        which = "value";
        if (json_check(from->value, &value, NULL) != CAIRN_OK) {
            wrong = "is no JSON";
        } else {
            to->value = arena_copy(&chain->arena, value.raw);
            memory = to->value.data != NULL;
        }
    }
    if (memory && !wrong && (from->op == UPCAST_RENAME || from->op == UPCAST_MOVE) && is_within(&to->to, &to->from)) {
        which = "to";
        wrong = "is at or below \"from\"";
    }
    if (!memory)
        return error_set(error, CAIRN_E_NOMEM, "no memory for upcasting");
    if (wrong)
        return error_set(error, CAIRN_E_INVALID, "in the upcast step to version %u, \"%s\" %s", from->to_version, which, wrong);
    return CAIRN_OK;
}

/* By insertion: chains are short, and equal versions keep their order. */
static void
sort_steps(struct step *steps, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && steps[j - 1].to_version > steps[j].to_version; j--) {
            struct step other = steps[j];
            steps[j] = steps[j - 1];
            steps[j - 1] = other;
        }
}

cairn_err
upcast_build(const struct upcast_step *steps, size_t count, struct upcast_chain **ret, cairn_error *error)
{
    if (count > UPCAST_STEPS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "%zu upcast steps; the limit is %d", count, UPCAST_STEPS_MAX);
    struct upcast_chain *chain = calloc(1, sizeof *chain);
    if (!chain)
        return error_set(error, CAIRN_E_NOMEM, "no memory for upcasting");
    cairn_err err = CAIRN_OK;
    chain->steps = calloc(count ? count : 1, sizeof *chain->steps);
    if (!chain->steps)
        err = error_set(error, CAIRN_E_NOMEM, "no memory for upcasting");
    for (; err == CAIRN_OK && chain->count < count; chain->count++)
        err = build_step(chain, &steps[chain->count], &chain->steps[chain->count], error);
    if (err != CAIRN_OK) {
        upcast_free(chain);
        return err;
    }
    sort_steps(chain->steps, count);
    *ret = chain;
    return CAIRN_OK;
}

void
upcast_free(struct upcast_chain *chain)
{
    if (!chain)
        return;
    arena_free(&chain->arena);
    free(chain->steps);
    free(chain);
}

/* ---- data taken apart */

struct member;

struct part {
    struct json slice;     /* what it was */
    bool open;             /* `first` holds it now: an object, or an array */
    struct member *first;
};

struct member {
    cairn_str name; /* decoded; of objects */
    cairn_str raw;  /* as it was written, or empty */
    struct part value;
    struct member *next;
};

struct edit {
    struct arena *arena;
    struct part root;
    bool changed, failed; /* failed: out of memory */
};

static struct member *
make_member(struct edit *edit, cairn_str name, struct json slice)
{
    struct member *member = arena_zalloc(edit->arena, sizeof *member);
    if (!member) {
        edit->failed = true;
        return NULL;
    }
    member->name = name;
    member->value.slice = slice;
    return member;
}

/* A name that no text can hold (a lone surrogate) stays as its raw text, which no pointer can mean. */
static bool
open_part(struct edit *edit, struct part *part)
{
    struct json name, item;
    struct member **end = &part->first;
    if (part->open)
        return true;
    if (part->slice.type != JSON_OBJECT && part->slice.type != JSON_ARRAY)
        return false;
    for (struct json_walk walk = json_walk(part->slice); json_next(&walk, &name, &item);) {
        cairn_str text = name.type == JSON_STRING ? json_string(name, edit->arena) : (cairn_str){"", 0};
        struct member *member = make_member(edit, text.data ? text : name.raw, item);
        if (!member)
            return false;
        member->raw = name.raw;
        *end = member;
        end = &member->next;
    }
    part->open = true;
    return true;
}

static struct member *
find_member(struct edit *edit, struct part *part, cairn_str token)
{
    if (!open_part(edit, part))
        return NULL;
    if (part->slice.type == JSON_OBJECT) {
        for (struct member *member = part->first; member; member = member->next)
            if (cairn_str_equal(member->name, token))
                return member;
        return NULL;
    }
    size_t index = 0;
    if (token.size == 0 || token.size > 9 || (token.size > 1 && token.data[0] == '0'))
        return NULL;
    for (size_t i = 0; i < token.size; i++) {
        if (token.data[i] < '0' || token.data[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(token.data[i] - '0');
    }
    struct member *item = part->first;
    for (; item && index > 0; index--)
        item = item->next;
    return item;
}

/* The object that the last name of `pointer` is in. *ret_missing: how many names before the last lead to nothing yet
 * (then the object returned is where they would begin). NULL: something else is in the way, or nothing. */
static struct part *
find_object(struct edit *edit, const struct pointer *pointer, size_t *ret_missing)
{
    struct part *part = &edit->root;
    size_t i = 0;
    for (; i + 1 < pointer->count; i++) {
        struct member *member = find_member(edit, part, pointer->tokens[i]);
        if (!member)
            break;
        part = &member->value;
    }
    *ret_missing = pointer->count - 1 - i;
    return part->slice.type == JSON_OBJECT && open_part(edit, part) ? part : NULL;
}

/* Take a member away, and any other of its name: only the first counted. */
static struct member *
detach(struct part *object, cairn_str name)
{
    struct member *found = NULL;
    for (struct member **at = &object->first; *at;) {
        struct member *member = *at;
        if (!cairn_str_equal(member->name, name)) {
            at = &member->next;
            continue;
        }
        *at = member->next;
        if (!found)
            found = member;
    }
    return found;
}

static void
attach(struct part *object, struct member *member)
{
    struct member **end = &object->first;
    while (*end)
        end = &(*end)->next;
    member->next = NULL;
    *end = member;
}

/* The `missing` objects on the way to the last name of `pointer`, beginning in `object`. */
static struct part *
make_objects(struct edit *edit, struct part *object, const struct pointer *pointer, size_t missing)
{
    for (size_t i = pointer->count - 1 - missing; i + 1 < pointer->count; i++) {
        struct member *member = make_member(edit, pointer->tokens[i], (struct json){JSON_OBJECT, {"{}", 2}});
        if (!member)
            return NULL;
        member->value.open = true;
        attach(object, member);
        object = &member->value;
    }
    return object;
}

/* Give `object` a member of that name: in the place of one that was there, else last. */
static void
put_member(struct part *object, struct member *member)
{
    for (struct member **at = &object->first; *at; at = &(*at)->next)
        if (cairn_str_equal((*at)->name, member->name)) {
            member->next = (*at)->next;
            *at = member;
            struct part rest = {.first = member->next};
            detach(&rest, member->name);
            member->next = rest.first;
            return;
        }
    attach(object, member);
}

/* ---- steps */

static void
move(struct edit *edit, const struct step *step)
{
    size_t missing_from, missing_to;
    struct part *from = find_object(edit, &step->from, &missing_from);
    struct part *to = find_object(edit, &step->to, &missing_to);
    cairn_str name = step->from.tokens[step->from.count - 1], new_name = step->to.tokens[step->to.count - 1];
    if (!from || missing_from || !to || (missing_to && step->op == UPCAST_RENAME) || !find_member(edit, from, name))
        return;
    to = make_objects(edit, to, &step->to, missing_to);
    if (!to)
        return;
    edit->changed = true;
    if (from == to && !find_member(edit, to, new_name)) { /* keeps its place among the members */
        struct member *member = find_member(edit, from, name);
        struct part rest = {.first = member->next};
        detach(&rest, name);
        member->next = rest.first;
        member->name = new_name;
        member->raw = (cairn_str){NULL, 0};
        return;
    }
    struct member *member = detach(from, name);
    member->name = new_name;
    member->raw = (cairn_str){NULL, 0};
    put_member(to, member);
}

static void
put_default(struct edit *edit, const struct step *step)
{
    size_t missing;
    cairn_str name = step->to.tokens[step->to.count - 1];
    struct part *object = find_object(edit, &step->to, &missing);
    if (!object || (missing == 0 && find_member(edit, object, name)))
        return;
    object = make_objects(edit, object, &step->to, missing);
    struct member *member = object ? make_member(edit, name, json_trusted(step->value)) : NULL;
    if (!member)
        return;
    attach(object, member);
    edit->changed = true;
}

static void
remove_member(struct edit *edit, const struct step *step)
{
    size_t missing;
    struct part *object = find_object(edit, &step->from, &missing);
    if (object && missing == 0 && detach(object, step->from.tokens[step->from.count - 1]))
        edit->changed = true;
}

/* ---- together again */

/* False: nested too deep. */
static bool
put_part(struct buf *to, const struct part *part, int depth)
{
    if (!part->open) {
        buf_put_str(to, part->slice.raw);
        return true;
    }
    if (depth == JSON_DEPTH_MAX)
        return false;
    bool object = part->slice.type == JSON_OBJECT;
    buf_put_char(to, object ? '{' : '[');
    for (const struct member *member = part->first; member; member = member->next) {
        if (member != part->first)
            buf_put_char(to, ',');
        if (object && member->raw.size)
            buf_put_str(to, member->raw);
        else if (object)
            json_put_string(to, member->name);
        if (object)
            buf_put_char(to, ':');
        if (!put_part(to, &member->value, depth + 1))
            return false;
    }
    buf_put_char(to, object ? '}' : ']');
    return true;
}

static cairn_err
begin_edit(struct edit *edit, cairn_str data, uint32_t version, cairn_error *error)
{
    cairn_err err = json_check(data, &edit->root.slice, error);
    edit->root.open = false;
    edit->root.first = NULL;
    edit->changed = false;
    if (err == CAIRN_E_LIMIT)
        return err;
    if (err != CAIRN_OK || edit->root.slice.type != JSON_OBJECT)
        return error_set(error, CAIRN_E_INVALID, "data of version %u is no JSON object and cannot be upcast", version);
    return CAIRN_OK;
}

/* Text again; the same as before where nothing changed. */
static cairn_err
end_edit(struct edit *edit, cairn_str *data, cairn_error *error)
{
    struct buf text = {0};
    struct json value;
    if (edit->failed)
        return error_set(error, CAIRN_E_NOMEM, "no memory for upcasting");
    if (!edit->changed)
        return CAIRN_OK;
    if (!put_part(&text, &edit->root, 0)) {
        buf_free(&text);
        return error_set(error, CAIRN_E_LIMIT, "upcast data is nested deeper than %d levels", JSON_DEPTH_MAX);
    }
    cairn_str copy = text.failed ? (cairn_str){NULL, 0} : arena_copy(edit->arena, buf_str(&text));
    buf_free(&text);
    if (!copy.data)
        return error_set(error, CAIRN_E_NOMEM, "no memory for upcasting");
    *data = copy;
    return json_check(copy, &value, error); /* what was moved may lie too deep now */
}

static cairn_err
call_step(const struct step *step, cairn_str type, struct edit *edit, cairn_str *data, cairn_error *error)
{
    cairn_str out = {NULL, 0};
    cairn_err err = end_edit(edit, data, error);
    if (err == CAIRN_OK)
        err = step->call(step->context, step->to_version, type, *data, edit->arena, &out, error);
    if (err == CAIRN_OK)
        err = begin_edit(edit, out, step->to_version, error);
    if (err == CAIRN_OK)
        *data = out;
    return err;
}

static cairn_err
apply_step(const struct step *step, cairn_str type, struct edit *edit, cairn_str *data, cairn_error *error)
{
    switch (step->op) {
    case UPCAST_RENAME:
    case UPCAST_MOVE: move(edit, step); break;
    case UPCAST_DEFAULT: put_default(edit, step); break;
    case UPCAST_REMOVE: remove_member(edit, step); break;
    case UPCAST_CALL: return call_step(step, type, edit, data, error);
    }
    return edit->failed ? error_set(error, CAIRN_E_NOMEM, "no memory for upcasting") : CAIRN_OK;
}

cairn_err
upcast_apply(const struct upcast_chain *chain, cairn_str type, uint32_t version, uint32_t newest, cairn_str data,
             struct arena *arena, cairn_str *ret_data, cairn_error *error)
{
    struct edit edit = {.arena = arena};
    bool begun = false;
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; version > 0 && err == CAIRN_OK && chain && i < chain->count; i++) {
        const struct step *step = &chain->steps[i];
        if (step->to_version <= version || step->to_version > newest)
            continue;
        if (!begun)
            err = begin_edit(&edit, data, version, error);
        begun = true;
        if (err == CAIRN_OK)
            err = apply_step(step, type, &edit, &data, error);
    }
    if (err == CAIRN_OK && begun)
        err = end_edit(&edit, &data, error);
    if (err == CAIRN_OK)
        *ret_data = data;
    return err;
}
