/* One table of what each kind of schema can do; JSON Schema's part is here, the others have files of their own. */
#include <schema/kind.h>

#include <schema/avro.h>
#include <schema/compat_int.h>
#include <schema/protobuf.h>

#include <stdatomic.h>
#include <stdlib.h>

struct schema_compiled {
    enum schema_kind kind;
    atomic_uint holders;
    cairn_str text; /* as it came; behind the struct */
    union {
        struct avro_schema *avro;
        struct json_schema *json;
        struct protobuf_schema *protobuf;
    };
};

struct kind_calls {
    const char *name;
    cairn_err (*compile)(struct schema_compiled *schema, const struct schema_text *references, size_t count,
                         cairn_error *error);
    void (*free)(struct schema_compiled *schema);
    size_t (*memory)(const struct schema_compiled *schema);
    cairn_err (*put)(const struct schema_compiled *schema, enum schema_form form, struct buf *to, cairn_error *error);
    cairn_err (*reads)(const struct schema_compiled *reader, const struct schema_compiled *writer,
                       struct schema_faults *faults, cairn_error *error);
    cairn_err (*check)(const struct schema_compiled *schema, cairn_str value, cairn_error *error);
};

/* ---- Avro */

static cairn_err
avro_kind_compile(struct schema_compiled *schema, const struct schema_text *references, size_t count, cairn_error *error)
{
    cairn_str *texts = malloc((count + 1) * sizeof *texts);
    if (!texts)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the schema");
    for (size_t i = 0; i < count; i++)
        texts[i] = references[i].text;
    cairn_err err = avro_compile(schema->text, texts, count, &schema->avro, error);
    free(texts);
    return err;
}

static void
avro_kind_free(struct schema_compiled *schema)
{
    avro_free(schema->avro);
}

static size_t
avro_kind_memory(const struct schema_compiled *schema)
{
    return avro_memory(schema->avro);
}

static cairn_err
avro_kind_put(const struct schema_compiled *schema, enum schema_form form, struct buf *to, cairn_error *error)
{
    (void)error;
    if (form == SCHEMA_CANONICAL)
        avro_put_text(schema->avro, AVRO_WHOLE, to);
    else
        buf_put_str(to, schema->text);
    return CAIRN_OK;
}

static cairn_err
avro_kind_reads(const struct schema_compiled *reader, const struct schema_compiled *writer, struct schema_faults *faults,
                cairn_error *error)
{
    return avro_compatible(reader->avro, writer->avro, faults, error);
}

static cairn_err
avro_kind_check(const struct schema_compiled *schema, cairn_str value, cairn_error *error)
{
    return avro_check(schema->avro, value, error);
}

/* ---- JSON Schema */

struct lookup {
    const struct schema_text *references;
    size_t count;
};

/* By the name as it was given, or as the end of the URI that it became next to an "$id". */
static bool
find_document(void *context, cairn_str uri, cairn_str *ret_text)
{
    const struct lookup *lookup = context;
    for (size_t i = 0; i < lookup->count; i++) {
        cairn_str name = lookup->references[i].name;
        size_t before = uri.size > name.size ? uri.size - name.size : 0;
        if (name.size == 0 || name.size > uri.size || memcmp(uri.data + before, name.data, name.size) != 0)
            continue;
        if (before == 0 || uri.data[before - 1] == '/') {
            *ret_text = lookup->references[i].text;
            return true;
        }
    }
    return false;
}

/* Without "$schema" it is of 2020-12, or else of draft 7, whatever it compiles as. */
static cairn_err
json_kind_compile(struct schema_compiled *schema, const struct schema_text *references, size_t count, cairn_error *error)
{
    struct lookup lookup = {references, count};
    struct json_schema_options options = {.assert_formats = true, .resolve = find_document, .context = &lookup};
    struct json parsed;
    cairn_err err = json_schema_compile(schema->text, &options, &schema->json, error);
    if (err == CAIRN_E_INVALID && json_check(schema->text, &parsed, NULL) == CAIRN_OK &&
        json_get(parsed, "$schema").type == JSON_NONE) {
        options.draft = JSON_SCHEMA_7;
        cairn_error second;
        if (json_schema_compile(schema->text, &options, &schema->json, &second) == CAIRN_OK)
            return CAIRN_OK;
    }
    return err;
}

static void
json_kind_free(struct schema_compiled *schema)
{
    json_schema_free(schema->json);
}

static size_t
json_kind_memory(const struct schema_compiled *schema)
{
    return sizeof *schema->json + schema->json->arena.used_bytes;
}

struct member {
    cairn_str name;
    struct json value;
};

static int
by_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return cairn_str_order(x->name, y->name);
}

static void
put_number(struct buf *to, struct json number)
{
    struct json_decimal d = js_decimal(number);
    if (d.digits == 0) {
        buf_put_char(to, '0');
        return;
    }
    if (d.negative)
        buf_put_char(to, '-');
    for (const char *at = d.first; at <= d.last; at++)
        if (*at != '.')
            buf_put_char(to, *at);
    if (d.exponent)
        buf_printf(to, "e%lld", (long long)d.exponent);
}

static void put_value(struct buf *to, struct json value, struct arena *scratch);

/* Members by name; of two with one name the first counts, as everywhere. */
static void
put_object(struct buf *to, struct json value, struct arena *scratch)
{
    struct member *list = arena_alloc(scratch, (json_count(value) + 1) * sizeof *list);
    struct json name, item;
    size_t count = 0;
    for (struct json_walk walk = json_walk(value); list && json_next(&walk, &name, &item); count++) {
        list[count] = (struct member){js_text(name, scratch), item};
        to->failed |= !list[count].name.data;
    }
    if (!list || to->failed) {
        to->failed = true;
        return;
    }
    qsort(list, count, sizeof *list, by_name);
    buf_put_char(to, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && cairn_str_equal(list[i].name, list[i - 1].name))
            continue;
        json_put_comma(to);
        json_put_string(to, list[i].name);
        buf_put_char(to, ':');
        put_value(to, list[i].value, scratch);
    }
    buf_put_char(to, '}');
}

static void
put_value(struct buf *to, struct json value, struct arena *scratch)
{
    struct json item;
    cairn_str text;
    switch (value.type) {
    case JSON_NUMBER: put_number(to, value); break;
    case JSON_STRING:
        text = js_text(value, scratch);
        json_put_string(to, text);
        to->failed |= !text.data;
        break;
    case JSON_OBJECT: put_object(to, value, scratch); break;
    case JSON_ARRAY:
        buf_put_char(to, '[');
        for (struct json_walk walk = json_walk(value); json_next(&walk, NULL, &item);) {
            json_put_comma(to);
            put_value(to, item, scratch);
        }
        buf_put_char(to, ']');
        break;
    default: buf_put_str(to, value.raw); break;
    }
}

cairn_err
schema_put_json_canonical(cairn_str text, struct buf *to)
{
    struct json value;
    struct arena scratch = {0};
    cairn_err err = json_check(text, &value, NULL);
    if (err == CAIRN_OK)
        put_value(to, value, &scratch);
    arena_free(&scratch);
    return err == CAIRN_OK && to->failed ? CAIRN_E_NOMEM : err;
}

static cairn_err
json_kind_put(const struct schema_compiled *schema, enum schema_form form, struct buf *to, cairn_error *error)
{
    if (form != SCHEMA_CANONICAL) {
        buf_put_str(to, schema->text);
        return CAIRN_OK;
    }
    cairn_err err = schema_put_json_canonical(schema->text, to);
    return err == CAIRN_OK ? CAIRN_OK : error_set(error, err, "the schema cannot be written");
}

static cairn_err
json_kind_reads(const struct schema_compiled *reader, const struct schema_compiled *writer, struct schema_faults *faults,
                cairn_error *error)
{
    return compat_reads(reader->json, writer->json, faults, error);
}

static cairn_err
json_kind_check(const struct schema_compiled *schema, cairn_str value, cairn_error *error)
{
    struct json parsed;
    struct arena scratch = {.size_max = (size_t)64 << 20};
    struct json_schema_fault fault;
    size_t count;
    cairn_err err = json_check(value, &parsed, error);
    if (err == CAIRN_OK)
        err = json_schema_validate(schema->json, parsed, &scratch, &fault, 1, &count, error);
    arena_free(&scratch);
    return err == CAIRN_E_LIMIT ? CAIRN_E_INVALID : err;
}

/* ---- Protobuf */

static cairn_err
protobuf_kind_compile(struct schema_compiled *schema, const struct schema_text *references, size_t count, cairn_error *error)
{
    return protobuf_compile(schema->text, references, count, &schema->protobuf, error);
}

static void
protobuf_kind_free(struct schema_compiled *schema)
{
    protobuf_free(schema->protobuf);
}

static size_t
protobuf_kind_memory(const struct schema_compiled *schema)
{
    return protobuf_memory(schema->protobuf);
}

static cairn_err
protobuf_kind_put(const struct schema_compiled *schema, enum schema_form form, struct buf *to, cairn_error *error)
{
    if (form == SCHEMA_SERIALIZED)
        return protobuf_put_descriptor(schema->protobuf, to, error);
    if (form == SCHEMA_PLAIN && !protobuf_was_descriptor(schema->protobuf))
        buf_put_str(to, schema->text);
    else
        protobuf_put_text(schema->protobuf, form == SCHEMA_CANONICAL, to);
    return CAIRN_OK;
}

static cairn_err
protobuf_kind_reads(const struct schema_compiled *reader, const struct schema_compiled *writer,
                    struct schema_faults *faults, cairn_error *error)
{
    return protobuf_compatible(reader->protobuf, writer->protobuf, faults, error);
}

static cairn_err
protobuf_kind_check(const struct schema_compiled *schema, cairn_str value, cairn_error *error)
{
    return protobuf_check(schema->protobuf, value, error);
}

/* ---- all */

static const struct kind_calls kinds[SCHEMA_KINDS] = {
    [SCHEMA_AVRO] = {"AVRO", avro_kind_compile, avro_kind_free, avro_kind_memory, avro_kind_put, avro_kind_reads,
                     avro_kind_check},
    [SCHEMA_JSON] = {"JSON", json_kind_compile, json_kind_free, json_kind_memory, json_kind_put, json_kind_reads,
                     json_kind_check},
    [SCHEMA_PROTOBUF] = {"PROTOBUF", protobuf_kind_compile, protobuf_kind_free, protobuf_kind_memory, protobuf_kind_put,
                         protobuf_kind_reads, protobuf_kind_check},
};

bool
schema_kind_parse(cairn_str text, enum schema_kind *ret)
{
    for (int i = 0; i < SCHEMA_KINDS; i++)
        if (cairn_str_equal(text, cairn_cstr(kinds[i].name))) {
            *ret = (enum schema_kind)i;
            return true;
        }
    return false;
}

const char *
schema_kind_name(enum schema_kind kind)
{
    return kinds[kind].name;
}

cairn_err
schema_compile(enum schema_kind kind, cairn_str text, const struct schema_text *references, size_t reference_count,
               struct schema_compiled **ret, cairn_error *error)
{
    struct schema_compiled *schema = calloc(1, sizeof *schema + text.size + 1);
    if (!schema)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the schema");
    char *copy = (char *)(schema + 1);
    if (text.size)
        memcpy(copy, text.data, text.size);
    schema->kind = kind;
    schema->text = (cairn_str){copy, text.size};
    atomic_init(&schema->holders, 1);
    cairn_err err = kinds[kind].compile(schema, references, reference_count, error);
    if (err == CAIRN_OK)
        *ret = schema;
    else
        free(schema);
    return err;
}

struct schema_compiled *
schema_hold(struct schema_compiled *schema)
{
    atomic_fetch_add_explicit(&schema->holders, 1, memory_order_relaxed);
    return schema;
}

void
schema_release(struct schema_compiled *schema)
{
    if (!schema || atomic_fetch_sub_explicit(&schema->holders, 1, memory_order_acq_rel) != 1)
        return;
    kinds[schema->kind].free(schema);
    free(schema);
}

size_t
schema_memory(const struct schema_compiled *schema)
{
    return sizeof *schema + schema->text.size + kinds[schema->kind].memory(schema);
}

cairn_err
schema_put(const struct schema_compiled *schema, enum schema_form form, struct buf *to, cairn_error *error)
{
    cairn_err err = kinds[schema->kind].put(schema, form, to, error);
    return err == CAIRN_OK && to->failed ? error_set(error, CAIRN_E_NOMEM, "no memory for the schema") : err;
}

cairn_err
schema_reads(const struct schema_compiled *reader, const struct schema_compiled *writer, struct schema_faults *faults,
             cairn_error *error)
{
    if (reader->kind == writer->kind)
        return kinds[reader->kind].reads(reader, writer, faults, error);
    schema_fault_add(faults, "SCHEMA_TYPE_CHANGED", CAIRN_STR("/"), "%s cannot follow %s", kinds[reader->kind].name,
                     kinds[writer->kind].name);
    return error_set(error, CAIRN_E_INVALID, "a schema of kind %s cannot read what was written by one of kind %s",
                     kinds[reader->kind].name, kinds[writer->kind].name);
}

cairn_err
schema_check_value(const struct schema_compiled *schema, cairn_str value, cairn_error *error)
{
    return kinds[schema->kind].check(schema, value, error);
}
