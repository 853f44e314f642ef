/* A projection: its file read, tried, and kept. See projection_int.h. */
#include "projection_int.h"

#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <ctype.h>
#include <stdlib.h>

#define DIGEST_FORMAT "cairn projection 1"

struct lua_limits
projection_lua_limits(void)
{
    return (struct lua_limits){.instructions_max = 5000000, .memory_max = (size_t)32 << 20, .output_max = 1 << 20};
}

void
projection_free(struct projection *projection)
{
    if (projection == NULL)
        return;
    struct arena arena = projection->arena;
    free(projection);
    arena_free(&arena);
}

/* ---- the digest: of what the read model depends on, so not of comments and spaces ------------------ */

static void
put_sql(struct buf *to, cairn_str sql)
{
    const char *at = sql.data, *end = sql.data + sql.size;
    size_t size;
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size)
        if (token != SQL_SPACE && token != SQL_COMMENT) {
            buf_put(to, at, size);
            buf_put_char(to, ' ');
        }
    buf_put_char(to, '\n');
}

static void
put_names(struct buf *to, const char *what, const struct names *names)
{
    buf_printf(to, "%s %zu\n", what, names->count);
    for (size_t i = 0; i < names->count; i++) {
        buf_put_str(to, names->items[i]);
        buf_put_char(to, '\n');
    }
}

static void
put_plan(struct buf *to, const struct projection *projection, const struct plan *plan)
{
    buf_put_str(to, CAIRN_STR("on "));
    buf_put_str(to, plan->type);
    buf_put_char(to, '\n');
    for (size_t i = 0; i < plan->statement_count; i++) {
        const struct statement *statement = &projection->statements[plan->statements[i]];
        put_sql(to, statement->sql);
        for (size_t j = 0; j < statement->bind_count; j++) {
            const struct slot *slot = &projection->slots[statement->binds[j]];
            buf_printf(to, "%d", (int)slot->field);
            buf_put_str(to, slot->path);
            buf_put_char(to, '\n');
        }
    }
}

static int
compare_plans(const void *a, const void *b)
{
    const struct plan *x = *(const struct plan *const *)a, *y = *(const struct plan *const *)b;
    return cairn_str_order(x->type, y->type);
}

static cairn_err
make_digest(struct projection *projection, cairn_str text, cairn_error *error)
{
    struct buf to = {0};
    buf_put_str(&to, CAIRN_STR(DIGEST_FORMAT "\n"));
    put_names(&to, "from", &projection->categories);
    put_names(&to, "tagged", &projection->tags);
    for (size_t i = 0; i < projection->ddl_count; i++)
        put_sql(&to, projection->ddl_statements[i].sql);
    const struct plan **sorted = calloc(projection->plan_count + 1, sizeof *sorted);
    for (size_t i = 0; sorted != NULL && i < projection->plan_count; i++)
        sorted[i] = &projection->plans[i];
    if (sorted != NULL && projection->plan_count > 0)
        qsort(sorted, projection->plan_count, sizeof *sorted, compare_plans);
    for (size_t i = 0; sorted != NULL && i < projection->plan_count && !projection->is_lua; i++)
        put_plan(&to, projection, sorted[i]);
    if (projection->is_lua) { /* any of the app's Lua files may be required by it */
        buf_put_str(&to, text);
        for (size_t i = 0; i < projection->sources.count; i++) {
            buf_put_str(&to, projection->sources.files[i].path);
            buf_put_char(&to, '\n');
            buf_put_str(&to, projection->sources.files[i].text);
        }
    }
    uint8_t hash[32];
    bool failed = to.failed || sorted == NULL;
    if (!failed) {
        sha256(to.data, to.size, hash);
        format_hex(hash, sizeof hash, projection->digest);
    }
    free(sorted);
    buf_free(&to);
    return failed ? error_set(error, CAIRN_E_NOMEM, "no memory for a projection's digest") : CAIRN_OK;
}

/* ---- parsing ---------------------------------------------------------------------------------------- */

static cairn_err
make_ddl(struct projection *projection, cairn_error *error)
{
    struct buf to = {0};
    for (size_t i = 0; i < projection->ddl_count; i++) {
        buf_put_str(&to, projection->ddl_statements[i].sql);
        buf_put_str(&to, CAIRN_STR("\n;\n")); /* a comment may stand at the end */
    }
    projection->ddl = to.failed ? (cairn_str){0} : arena_copy(&projection->arena, buf_str(&to));
    buf_free(&to);
    return projection->ddl.data != NULL ? CAIRN_OK
                                        : error_set(error, CAIRN_E_NOMEM, "no memory for a projection's tables");
}

static cairn_err
make_plan_table(struct projection *projection, cairn_error *error)
{
    size_t size = 8;
    while (size < projection->plan_count * 2)
        size *= 2;
    projection->plan_table = arena_zalloc(&projection->arena, size * sizeof *projection->plan_table);
    if (projection->plan_table == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a projection");
    projection->plan_table_size = size;
    for (size_t i = 0; i < projection->plan_count; i++) {
        cairn_str type = projection->plans[i].type;
        size_t at = hash64(type.data, type.size, 0) & (size - 1);
        while (projection->plan_table[at] != 0)
            at = (at + 1) & (size - 1);
        projection->plan_table[at] = (uint32_t)i + 1;
    }
    return CAIRN_OK;
}

const struct plan *
projection_plan(const struct projection *projection, cairn_str type)
{
    size_t mask = projection->plan_table_size - 1;
    for (size_t at = hash64(type.data, type.size, 0) & mask; projection->plan_table[at] != 0; at = (at + 1) & mask) {
        const struct plan *plan = &projection->plans[projection->plan_table[at] - 1];
        if (cairn_str_equal(plan->type, type))
            return plan;
    }
    return projection->other;
}

bool
projection_wants(const struct projection *projection, const cairn_recorded *event)
{
    cairn_str stream = event->stream;
    if (stream.size > 0 && stream.data[0] == '$')
        return false;
    if (projection->categories.count > 0) {
        const char *dash = memchr(stream.data, '-', stream.size);
        cairn_str category = {stream.data, dash != NULL ? (size_t)(dash - stream.data) : stream.size};
        if (!projection_name_has(&projection->categories, category))
            return false;
    }
    for (size_t i = 0; i < projection->tags.count; i++) {
        size_t j = 0;
        while (j < event->event.tag_count && !cairn_str_equal(event->event.tags[j], projection->tags.items[i]))
            j++;
        if (j == event->event.tag_count)
            return false;
    }
    return true;
}

static cairn_str
name_of(cairn_str path)
{
    size_t begin = path.size;
    while (begin > 0 && path.data[begin - 1] != '/')
        begin--;
    size_t end = path.size;
    for (size_t i = begin; i < path.size; i++)
        if (path.data[i] == '.')
            end = i;
    return (cairn_str){path.data + begin, end - begin};
}

/* It becomes part of file names and of addresses. */
static bool
good_name(cairn_str name)
{
    bool good = name.size > 0 && name.size < 64 && isalpha((unsigned char)name.data[0]);
    for (size_t i = 0; i < name.size; i++)
        good = good && (isalnum((unsigned char)name.data[i]) || name.data[i] == '_' || name.data[i] == '-');
    return good;
}

static bool
is_lua_path(cairn_str path)
{
    return path.size > 4 && memcmp(path.data + path.size - 4, ".lua", 4) == 0;
}

static cairn_err
keep_sources(struct projection *projection, const struct lua_sources *sources, cairn_error *error)
{
    cairn_app_file *files = arena_zalloc(&projection->arena, (sources->count + 1) * sizeof *files);
    bool good = files != NULL;
    for (size_t i = 0; good && i < sources->count; i++) {
        files[i].path = arena_copy(&projection->arena, sources->files[i].path);
        files[i].text = arena_copy(&projection->arena, sources->files[i].text);
        good = files[i].path.data != NULL && files[i].text.data != NULL;
    }
    projection->sources = (struct lua_sources){files, sources->count};
    return good ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for a projection's sources");
}

/* "file.lua:3: …" → 3. */
static uint32_t
lua_line(const char *detail)
{
    for (const char *colon = strchr(detail, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        char *after;
        unsigned long line = strtoul(colon + 1, &after, 10);
        if (after > colon + 1 && *after == ':' && line < UINT32_MAX)
            return (uint32_t)line;
    }
    return 0;
}

static cairn_err
read_lua(struct projection *projection, const struct lua_sources *sources, struct sql_faults *faults,
         cairn_error *error)
{
    static const struct lua_sources NONE;
    struct lua_limits limits = projection_lua_limits();
    struct lua_projection *lua;
    cairn_error why = {0};
    cairn_str name;
    projection->is_lua = true;
    cairn_err err = keep_sources(projection, sources != NULL ? sources : &NONE, error);
    if (err != CAIRN_OK)
        return err;
    err = lua_projection_make(projection->path, &projection->sources, &limits, &lua, &why);
    if (err == CAIRN_E_INVALID || err == CAIRN_E_SCRIPT || err == CAIRN_E_LIMIT || err == CAIRN_E_NOTFOUND) {
        sql_fault(faults, lua_line(why.detail), "", "%s", why.detail);
        return CAIRN_OK;
    }
    if (err != CAIRN_OK)
        return error_set(error, err, "%s", why.detail);
    bool good = true;
    for (size_t i = 0; good && lua_projection_from(lua, i, &name); i++)
        good = projection_name_add(projection, &projection->categories, name);
    for (size_t i = 0; good && lua_projection_on(lua, i, &name); i++)
        good = projection_name_add(projection, &projection->types, name);
    err = good ? projection_read_ddl(projection, lua_projection_table_sql(lua), faults, error)
               : error_set(error, CAIRN_E_NOMEM, "no memory for a projection");
    lua_projection_free(lua);
    if (err == CAIRN_OK && faults->count == 0 && projection->types.count == 0)
        sql_fault(faults, 0, "on = {TypeName = function(event, sql) … end}", "the projection does nothing for any event");
    for (size_t i = 0; i < projection->ddl_count; i++) /* lines count from the beginning of the text in `table` */
        projection->ddl_statements[i].line = 0;
    return err == CAIRN_OK ? projection_plan_all(projection, NULL, 0, error) : err;
}

cairn_err
projection_parse(cairn_str path, cairn_str text, const struct lua_sources *sources, cairn_app_fault_visit visit,
                 void *context, struct projection **ret, cairn_error *error)
{
    struct sql_faults faults = {.visit = visit, .context = context, .file = path};
    struct projection *projection = calloc(1, sizeof *projection);
    if (projection == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a projection");
    projection->path = arena_copy(&projection->arena, path);
    projection->name = arena_copy(&projection->arena, name_of(path));
    cairn_err err = projection->path.data != NULL && projection->name.data != NULL
        ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for a projection");
    if (err == CAIRN_OK && !good_name(projection->name))
        sql_fault(&faults, 0, "letters, digits, _ and -, at most 63, beginning with a letter",
                  "a projection cannot have this name");
    if (err == CAIRN_OK && faults.count == 0)
        err = is_lua_path(path) ? read_lua(projection, sources, &faults, error)
                                : projection_read(projection, text, &faults, error);
    if (err == CAIRN_OK && faults.count == 0)
        err = projection_try(projection, &faults, error);
    if (err == CAIRN_OK && faults.count == 0)
        err = make_ddl(projection, error);
    if (err == CAIRN_OK && faults.count == 0)
        err = make_plan_table(projection, error);
    if (err == CAIRN_OK && faults.count == 0)
        err = make_digest(projection, text, error);
    if (err == CAIRN_OK && faults.count > 0)
        err = error_set(error, CAIRN_E_INVALID, "%.*s: %zu fault%s", (int)(path.size < 200 ? path.size : 200),
                        path.data, faults.count, faults.count == 1 ? "" : "s");
    if (err != CAIRN_OK) {
        projection_free(projection);
        return err;
    }
    *ret = projection;
    return CAIRN_OK;
}

/* ---- what others ask ------------------------------------------------------------------------------------ */

cairn_str projection_name(const struct projection *projection) { return projection->name; }
cairn_str projection_ddl(const struct projection *projection) { return projection->ddl; }
cairn_str projection_digest(const struct projection *projection) { return (cairn_str){projection->digest, 64}; }

static bool
name_at(const struct names *names, size_t index, cairn_str *ret)
{
    if (index >= names->count)
        return false;
    *ret = names->items[index];
    return true;
}

bool
projection_type(const struct projection *projection, size_t index, cairn_str *ret)
{
    return name_at(&projection->types, index, ret);
}

bool
projection_category(const struct projection *projection, size_t index, cairn_str *ret)
{
    return name_at(&projection->categories, index, ret);
}

bool
projection_table(const struct projection *projection, size_t index, cairn_str *ret)
{
    return name_at(&projection->tables, index, ret);
}
