/* An app's OpenAPI 3.1 document: a POST for each command with its schema, a GET for each query with everything that it
 * takes, typed, and the rows that it gives; made of the manifest and of query_describe(). Pure. */
#include <app/manifest.h>
#include <app/openapi_int.h>

#include <base/text.h>

#include <stdio.h>

/* ---- small pieces */

/* A name as a component's: ^[a-zA-Z0-9._-]+$, with a NUL behind it. Any other name is its number. */
static cairn_str
component_name(char to[160], const char *kind, cairn_str name, size_t index)
{
    bool plain = name.size > 0 && name.size < 128;
    for (size_t i = 0; plain && i < name.size; i++) {
        char c = name.data[i];
        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    }
    int size = plain ? snprintf(to, 160, "%s%.*s", kind, (int)name.size, name.data) : snprintf(to, 160, "%s%zu", kind, index);
    return (cairn_str){to, (size_t)size};
}

static void
put_path(struct buf *to, const struct app_manifest *manifest, const char *kind, cairn_str name)
{
    struct buf path = {0};
    buf_printf(&path, "/v1/apps/");
    percent_put(&path, manifest->name);
    buf_printf(&path, "/%s/", kind);
    percent_put(&path, name);
    json_put_comma(to);
    json_put_string(to, buf_str(&path));
    buf_put_char(to, ':');
    to->failed |= path.failed;
    buf_free(&path);
}

/* The first sentence, or the name. */
static void
put_summary(struct buf *to, cairn_str name, cairn_str description)
{
    size_t size = 0;
    while (size < description.size && description.data[size] != '\n'
           && !(description.data[size] == '.' && (size + 1 == description.size || description.data[size + 1] == ' ')))
        size++;
    json_put_text_member(to, "summary", size > 0 ? (cairn_str){description.data, size} : name);
    if (size + 1 < description.size)
        json_put_text_member(to, "description", description);
}

static void
put_problems(struct buf *to, const char *statuses)
{
    for (const char *at = statuses; *at; at += at[3] == ' ' ? 4 : 3) {
        json_put_comma(to);
        buf_printf(to, "\"%.3s\":{\"$ref\":\"#/components/responses/Problem%.3s\"}", at, at);
    }
    buf_printf(to, ",\"default\":{\"$ref\":\"#/components/responses/Refused\"}");
}

/* ---- commands */

static void
put_command(struct buf *to, const struct app_manifest *manifest, size_t index)
{
    const struct app_command *command = &manifest->commands[index];
    char name[160];
    cairn_str component = component_name(name, "command_", command->name, index);
    put_path(to, manifest, "commands", command->name);
    buf_printf(to, "{\"post\":{\"operationId\":\"%.*s\",\"tags\":[\"commands\"]", (int)component.size, component.data);
    put_summary(to, command->name, command->description);
    json_put_text_member(to, "x-cairn-stream", command->stream);
    if (command->permission.size > 0)
        json_put_text_member(to, "x-cairn-permission", command->permission);
    buf_printf(to, ",\"parameters\":[");
    static const char *const HEADERS[] = {"IdempotencyKey", "Deadline", "Correlation", "Causation", "Actor"};
    for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++)
        buf_printf(to, "%s{\"$ref\":\"#/components/parameters/%s\"}", i ? "," : "", HEADERS[i]);
    buf_printf(to,
               "],\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
               "\"#/components/schemas/%.*s\"}}}},\"responses\":{\"200\":{\"description\":\"Decided; the events are "
               "durable\",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/CommandResult\"}}}}",
               (int)component.size, component.data);
    put_problems(to, "400 403 404 409 413 415 422 429 500 503 504 507");
    buf_printf(to, "}}}");
}

/* ---- queries */

/* A column's values as JSON Schema. Any column may be NULL. */
static void
put_column_schema(struct buf *to, struct json type)
{
    static const struct {
        const char *type, *schema;
    } SCHEMAS[] = {
        {"text", "{\"type\":[\"string\",\"null\"]}"},
        {"integer", "{\"type\":[\"integer\",\"null\"]}"},
        {"real", "{\"type\":[\"number\",\"null\"]}"},
        {"number", "{\"type\":[\"number\",\"string\",\"null\"]}"},
        {"boolean", "{\"type\":[\"boolean\",\"null\"]}"},
        {"blob", "{\"type\":[\"string\",\"null\"],\"contentEncoding\":\"base64\"}"},
    };
    for (size_t i = 0; i < sizeof SCHEMAS / sizeof *SCHEMAS; i++)
        if (json_string_is(type, SCHEMAS[i].type)) {
            buf_printf(to, "%s", SCHEMAS[i].schema);
            return;
        }
    buf_printf(to, "{}");
}

/* What a parameter or filter of a type takes; `fallback` JSON_NONE: no default. */
static void
put_value_schema(struct buf *to, struct json type, struct json fallback)
{
    const char *word = json_string_is(type, "integer") ? "\"integer\""
        : json_string_is(type, "real")                 ? "\"number\""
        : json_string_is(type, "boolean")              ? "\"boolean\""
        : json_string_is(type, "number")               ? "[\"number\",\"string\"]"
                                                       : "\"string\"";
    buf_printf(to, "{\"type\":%s", word);
    if (fallback.type != JSON_NONE) {
        json_put_name(to, "default");
        json_put_compact(to, fallback.raw);
    }
    buf_put_char(to, '}');
}

static void
put_params(struct buf *to, struct json params)
{
    struct json none, param;
    struct json_walk walk = json_walk(params);
    while (json_next(&walk, &none, &param)) {
        struct json type = json_get(param, "type");
        bool embedded = json_string_is(type, "json");
        json_put_comma(to);
        buf_printf(to, "{\"name\":");
        buf_put_str(to, json_get(param, "name").raw);
        buf_printf(to, ",\"in\":\"query\",\"required\":%s", json_get(param, "required").type == JSON_TRUE ? "true" : "false");
        if (embedded) {
            buf_printf(to, ",\"content\":{\"application/json\":{\"schema\":{");
            if (json_get(param, "default").type != JSON_NONE) {
                json_put_name(to, "default");
                json_put_compact(to, json_get(param, "default").raw);
            }
            buf_printf(to, "}}}");
        } else {
            json_put_name(to, "schema");
            put_value_schema(to, type, json_get(param, "default"));
        }
        buf_put_char(to, '}');
    }
}

static void
put_filter(struct buf *to, cairn_str quoted_name, struct json type, struct json operator)
{
    static const struct {
        const char *name, *says;
    } OPERATORS[] = {
        {"eq", "is"},       {"ne", "is not (rows without a value too)"}, {"lt", "is less than"}, {"le", "is at most"},
        {"gt", "is more than"}, {"ge", "is at least"}, {"in", "is one of these"}, {"prefix", "begins with"},
    };
    static const struct json NO_DEFAULT;
    size_t i = 0;
    while (i + 1 < sizeof OPERATORS / sizeof *OPERATORS && !json_string_is(operator, OPERATORS[i].name))
        i++;
    json_put_comma(to);
    buf_printf(to, "{\"name\":");
    buf_put(to, quoted_name.data, quoted_name.size - 1);
    buf_printf(to, "%s%s\",\"in\":\"query\",\"description\":\"Only rows where it %s\"", i ? "." : "", i ? OPERATORS[i].name : "",
               OPERATORS[i].says);
    if (strcmp(OPERATORS[i].name, "in") == 0) {
        buf_printf(to, ",\"style\":\"form\",\"explode\":false,\"schema\":{\"type\":\"array\",\"items\":");
        put_value_schema(to, type, NO_DEFAULT);
        buf_put_char(to, '}');
    } else {
        json_put_name(to, "schema");
        put_value_schema(to, type, NO_DEFAULT);
    }
    buf_put_char(to, '}');
}

static void
put_filters(struct buf *to, struct json filters)
{
    struct json none, filter, operator;
    struct json_walk walk = json_walk(filters);
    while (json_next(&walk, &none, &filter)) {
        struct json_walk operators = json_walk(json_get(filter, "operators"));
        while (json_next(&operators, &none, &operator))
            put_filter(to, json_get(filter, "name").raw, json_get(filter, "type"), operator);
    }
}

static void
put_sort(struct buf *to, struct json described)
{
    struct json none, column, sorts = json_get(described, "sorts"), fallback = json_get(described, "sort");
    if (json_count(sorts) == 0)
        return;
    struct json_walk walk = json_walk(sorts);
    json_put_comma(to);
    buf_printf(to, "{\"name\":\"sort\",\"in\":\"query\",\"description\":\"Columns to sort by; - in front of what descends\","
                   "\"style\":\"form\",\"explode\":false,\"schema\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":[");
    while (json_next(&walk, &none, &column)) {
        json_put_comma(to);
        buf_put_str(to, column.raw);
        buf_printf(to, ",\"-");
        buf_put(to, column.raw.data + 1, column.raw.size - 1);
    }
    buf_printf(to, "]}");
    if (fallback.type == JSON_STRING) {
        buf_printf(to, ",\"default\":[");
        for (size_t i = 0; i < fallback.raw.size; i++) /* "due,-id" → "due","-id" */
            if (fallback.raw.data[i] == ',')
                buf_printf(to, "\",\"");
            else
                buf_put_char(to, fallback.raw.data[i]);
        buf_put_char(to, ']');
    }
    buf_printf(to, "}}");
}

static void
put_query_answer(struct buf *to, struct json described, cairn_str row)
{
    if (json_get(described, "one").type == JSON_TRUE) {
        buf_printf(to, "{\"type\":\"object\",\"required\":[\"row\",\"position\"],\"properties\":{\"row\":{\"$ref\":"
                       "\"#/components/schemas/%.*s\"},\"position\":{\"$ref\":\"#/components/schemas/Position\"}}}",
                   (int)row.size, row.data);
        return;
    }
    buf_printf(to, "{\"type\":\"object\",\"required\":[\"rows\",\"next\",\"position\"],\"properties\":{\"rows\":{\"type\":\"array\","
                   "\"items\":{\"$ref\":\"#/components/schemas/%.*s\"}},\"next\":{\"type\":[\"string\",\"null\"],\"description\":"
                   "\"The cursor of the next page\"},\"truncated\":{\"type\":\"boolean\",\"description\":\"There were more rows, "
                   "and the query has no pages\"},\"position\":{\"$ref\":\"#/components/schemas/Position\"}}}",
               (int)row.size, row.data);
}

static void
put_query(struct buf *to, const struct app_manifest *manifest, size_t index, struct json described, cairn_str description)
{
    char operation[160], row[160];
    cairn_str name = query_name(manifest->queries[index]), permission = query_permission(manifest->queries[index]);
    cairn_str id = component_name(operation, "query_", name, index);
    bool one = json_get(described, "one").type == JSON_TRUE;
    uint64_t limit = 0, limit_max = 0;
    (void)json_u64(json_get(described, "limit"), &limit);
    (void)json_u64(json_get(described, "limit_max"), &limit_max);

    put_path(to, manifest, "queries", name);
    buf_printf(to, "{\"get\":{\"operationId\":\"%.*s\",\"tags\":[\"queries\"]", (int)id.size, id.data);
    put_summary(to, name, description);
    if (permission.size > 0)
        json_put_text_member(to, "x-cairn-permission", permission);
    buf_printf(to, ",\"parameters\":[");
    put_params(to, json_get(described, "params"));
    put_filters(to, json_get(described, "filters"));
    put_sort(to, described);
    if (!one) {
        json_put_comma(to);
        buf_printf(to, "{\"name\":\"limit\",\"in\":\"query\",\"description\":\"Rows of a page\",\"schema\":{\"type\":\"integer\","
                       "\"minimum\":1,\"maximum\":%llu,\"default\":%llu}}", (unsigned long long)limit_max, (unsigned long long)limit);
        if (json_count(json_get(described, "key")) > 0)
            buf_printf(to, ",{\"$ref\":\"#/components/parameters/Cursor\"}");
    }
    json_put_comma(to);
    buf_printf(to, "{\"$ref\":\"#/components/parameters/AfterPosition\"},{\"$ref\":\"#/components/parameters/AsOf\"},"
                   "{\"$ref\":\"#/components/parameters/Timeout\"}],\"responses\":{\"200\":{\"description\":\"%s\",\"content\":"
                   "{\"application/json\":{\"schema\":", one ? "The row" : "A page of rows");
    put_query_answer(to, described, component_name(row, "row_", name, index));
    buf_printf(to, "}}}");
    put_problems(to, "400 403 404 413 422 429 500 503 504");
    buf_printf(to, "}}}");
}

/* ---- components */

static const char PARAMETERS[] =
    "{\"IdempotencyKey\":{\"name\":\"idempotency-key\",\"in\":\"header\",\"description\":\"The same key gives the same answer, "
    "and decides once\",\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":256}},"
    "\"Deadline\":{\"name\":\"cairn-deadline-ms\",\"in\":\"header\",\"description\":\"Milliseconds; not decided by then, it is not "
    "decided at all\",\"schema\":{\"type\":\"integer\",\"minimum\":1}},"
    "\"Correlation\":{\"name\":\"cairn-correlation\",\"in\":\"header\",\"description\":\"What the command belongs to; put on its "
    "events\",\"schema\":{\"type\":\"string\",\"maxLength\":512}},"
    "\"Causation\":{\"name\":\"cairn-causation\",\"in\":\"header\",\"description\":\"What caused the command; put on its "
    "events\",\"schema\":{\"type\":\"string\",\"maxLength\":512}},"
    "\"Actor\":{\"name\":\"cairn-actor\",\"in\":\"header\",\"description\":\"Who asks\",\"schema\":{\"type\":\"string\","
    "\"maxLength\":512}},"
    "\"Cursor\":{\"name\":\"cursor\",\"in\":\"query\",\"description\":\"next of the page before\",\"schema\":{\"type\":\"string\","
    "\"maxLength\":4100}},"
    "\"AfterPosition\":{\"name\":\"after_position\",\"in\":\"query\",\"description\":\"Wait until the read models show the event at "
    "this position: the position of a command's answer\",\"schema\":{\"$ref\":\"#/components/schemas/Position\"}},"
    "\"AsOf\":{\"name\":\"as_of\",\"in\":\"query\",\"description\":\"The read models as they were: a position or a time\","
    "\"schema\":{\"oneOf\":[{\"type\":\"integer\",\"minimum\":0},{\"type\":\"string\",\"format\":\"date-time\"}]}},"
    "\"Timeout\":{\"name\":\"timeout_ms\",\"in\":\"query\",\"description\":\"For waiting and running together\",\"schema\":{\"type\":"
    "\"integer\",\"minimum\":1}}}";

static const char SCHEMAS[] =
    "\"Position\":{\"type\":\"integer\",\"minimum\":0,\"description\":\"In the log\"},"
    "\"CommandResult\":{\"type\":\"object\",\"required\":[\"command_id\",\"app\",\"command\",\"stream\",\"events\",\"repeated\"],"
    "\"properties\":{\"command_id\":{\"type\":\"string\",\"format\":\"uuid\"},\"app\":{\"type\":\"string\"},\"command\":{\"type\":"
    "\"string\"},\"stream\":{\"type\":\"string\"},\"revision\":{\"type\":\"integer\",\"minimum\":0,\"description\":\"The stream's "
    "last\"},\"position\":{\"type\":\"integer\",\"minimum\":0,\"description\":\"What after_position of a query takes\"},"
    "\"events\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{\"type\":{\"type\":"
    "\"string\"},\"position\":{\"type\":\"integer\",\"minimum\":0}}}},\"repeated\":{\"type\":\"boolean\",\"description\":\"The answer "
    "given before to the same idempotency-key\"}}},"
    "\"Problem\":{\"type\":\"object\",\"required\":[\"type\",\"title\",\"status\"],\"properties\":{\"type\":{\"type\":\"string\","
    "\"format\":\"uri\",\"description\":\"urn:cairn:problem:NAME, stable\"},\"title\":{\"type\":\"string\"},\"status\":{\"type\":"
    "\"integer\"},\"detail\":{\"type\":\"string\"},\"hint\":{\"type\":\"string\"},\"code\":{\"type\":\"string\",\"description\":"
    "\"rejected: the decider's name for it\"},\"message\":{\"type\":\"string\"},\"details\":{},\"faults\":{\"type\":\"array\","
    "\"items\":{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\",\"description\":\"JSON pointer into the "
    "body\"},\"keyword\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"}}},\"description\":\"invalid: what is wrong with "
    "the command's data\"}}}";

static const struct {
    int status;
    const char *says;
} PROBLEMS[] = {
    {400, "The request is malformed"},
    {403, "Not permitted"},
    {404, "No such thing, or no row"},
    {409, "The idempotency-key was used for something else, or the stream is elsewhere"},
    {413, "Too large"},
    {415, "Not application/json"},
    {422, "A command: rejected by the decider (code, message, details), or its data is not valid (faults). A query: a parameter, filter, sort or cursor is not valid"},
    {429, "Busy: try again after retry-after"},
    {500, "The app's own code failed"},
    {503, "Not available now"},
    {504, "Not done in time"},
    {507, "No space left; nothing was written"},
};

static void
put_components(struct buf *to, const struct app_manifest *manifest, const struct json *described)
{
    char name[160];
    json_put_name(to, "components");
    buf_printf(to, "{\"parameters\":%s,\"schemas\":{%s", PARAMETERS, SCHEMAS);
    for (size_t i = 0; i < manifest->command_count; i++) {
        cairn_str component = component_name(name, "command_", manifest->commands[i].name, i);
        json_put_name(to, name);
        if (manifest->commands[i].schema_text.size > 0)
            openapi_put_schema(to, manifest->commands[i].schema_text, component);
        else
            buf_printf(to, "{\"type\":\"object\"}");
    }
    for (size_t i = 0; i < manifest->event_count; i++) {
        if (manifest->events[i].schema_text.size == 0)
            continue;
        cairn_str component = component_name(name, "event_", manifest->events[i].type, i);
        json_put_name(to, name);
        openapi_put_schema(to, manifest->events[i].schema_text, component);
    }
    for (size_t i = 0; i < manifest->query_count; i++) {
        struct json none, column;
        struct json_walk walk = json_walk(json_get(described[i], "columns"));
        (void)component_name(name, "row_", query_name(manifest->queries[i]), i);
        json_put_name(to, name);
        buf_printf(to, "{\"type\":\"object\",\"properties\":{");
        while (json_next(&walk, &none, &column)) {
            json_put_comma(to);
            buf_put_str(to, json_get(column, "name").raw);
            buf_put_char(to, ':');
            put_column_schema(to, json_get(column, "type"));
        }
        buf_printf(to, "}}");
    }
    buf_printf(to, "},\"responses\":{");
    for (size_t i = 0; i < sizeof PROBLEMS / sizeof *PROBLEMS; i++)
        buf_printf(to, "%s\"Problem%d\":{\"description\":\"%s\",\"content\":{\"application/problem+json\":{\"schema\":{\"$ref\":"
                       "\"#/components/schemas/Problem\"}}}}", i ? "," : "", PROBLEMS[i].status, PROBLEMS[i].says);
    buf_printf(to, ",\"Refused\":{\"description\":\"Refused before the path was looked at\",\"content\":{\"application/problem+json\":"
                   "{\"schema\":{\"$ref\":\"#/components/schemas/Problem\"}}}}}}");
}

/* ---- the document */

void
app_openapi(const struct app_manifest *manifest, uint32_t version, struct buf *to)
{
    struct arena arena = {0};
    struct json *described = arena_zalloc(&arena, (manifest->query_count + 1) * sizeof *described);
    if (described == NULL) {
        to->failed = true;
        return;
    }
    buf_printf(to, "{\"openapi\":\"3.1.0\",\"info\":{");
    json_put_text_member(to, "title", manifest->title.size > 0 ? manifest->title : manifest->name);
    buf_printf(to, ",\"version\":\"%u\"", version);
    if (manifest->description.size > 0)
        json_put_text_member(to, "description", manifest->description);
    buf_printf(to, "},\"servers\":[{\"url\":\"/\"}],\"tags\":[{\"name\":\"commands\",\"description\":\"What may be asked of the "
                   "app\"},{\"name\":\"queries\",\"description\":\"What its read models answer\"}],\"paths\":{");
    for (size_t i = 0; i < manifest->command_count; i++)
        put_command(to, manifest, i);
    for (size_t i = 0; i < manifest->query_count; i++) {
        struct buf text = {0};
        query_describe(manifest->queries[i], &text);
        cairn_str kept = text.failed ? (cairn_str){0} : arena_copy(&arena, buf_str(&text));
        buf_free(&text);
        if (kept.data == NULL) {
            to->failed = true;
            goto done;
        }
        described[i] = json_trusted(kept);
        put_query(to, manifest, i, described[i], json_string(json_get(described[i], "description"), &arena));
    }
    buf_put_char(to, '}');
    put_components(to, manifest, described);
    buf_put_char(to, '}');
done:
    arena_free(&arena);
}
