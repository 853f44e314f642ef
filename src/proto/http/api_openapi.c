/* /openapi.json, made of the table of routes: OpenAPI 3.1. */
#include <proto/http/api_int.h>

#include <base/json.h>

#include <stdio.h>

static void
put_schema_ref(struct buf *to, const char *schema)
{
    if (schema)
        buf_printf(to, "{\"$ref\":\"#/components/schemas/%s\"}", schema);
    else
        buf_printf(to, "{}");
}

static void
put_contents(struct buf *to, const struct api_content *contents, size_t max)
{
    json_put_name(to, "content");
    buf_put_char(to, '{');
    for (size_t i = 0; i < max && contents[i].type; i++) {
        json_put_name(to, contents[i].type);
        buf_printf(to, "{\"schema\":");
        put_schema_ref(to, contents[i].schema);
        buf_put_char(to, '}');
    }
    buf_put_char(to, '}');
}

static void
put_arg_schema(struct buf *to, const struct api_arg_spec *spec)
{
    switch (spec->kind) {
    case KIND_TEXT:
        buf_printf(to, "{\"type\":\"string\",\"minLength\":1,\"maxLength\":512}");
        break;
    case KIND_LIST:
        buf_printf(to,
                   "{\"type\":\"array\",\"maxItems\":%d,\"items\":{\"type\":\"string\",\"minLength\":1,"
                   "\"maxLength\":512}}",
                   API_LIST_MAX);
        break;
    case KIND_WHOLE:
        buf_printf(to, "{\"type\":\"integer\",\"minimum\":%lld,\"maximum\":%lld", (long long)spec->min,
                   (long long)spec->max);
        if (!spec->required)
            buf_printf(to, ",\"default\":%lld", (long long)spec->fallback);
        buf_put_char(to, '}');
        break;
    case KIND_BOOL:
        buf_printf(to, "{\"type\":\"boolean\",\"default\":false}");
        break;
    case KIND_DIRECTION:
        buf_printf(to, "{\"type\":\"string\",\"enum\":[\"forward\",\"backward\"],\"default\":\"forward\"}");
        break;
    case KIND_EXPECTED:
        buf_printf(to, "{\"$ref\":\"#/components/schemas/Expected\"}");
        break;
    case KIND_FROM:
        buf_printf(to, "{\"oneOf\":[{\"type\":\"integer\",\"minimum\":0},{\"type\":\"string\",\"enum\":"
                       "[\"start\",\"end\"]}]}");
        break;
    case KIND_OFFSET:
        buf_printf(to, "{\"oneOf\":[{\"type\":\"integer\",\"minimum\":0},{\"type\":\"string\",\"enum\":"
                       "[\"earliest\",\"latest\"]}],\"default\":\"earliest\"}");
        break;
    case KIND_TIME:
        buf_printf(to, "{\"type\":\"string\",\"format\":\"date-time\"}");
        break;
    case KIND_MOMENT:
        buf_printf(to, "{\"oneOf\":[{\"type\":\"integer\",\"minimum\":0},{\"type\":\"string\",\"format\":"
                       "\"date-time\"}]}");
        break;
    case KIND_CURSOR:
        buf_printf(to, "{\"type\":\"string\",\"maxLength\":4096}");
        break;
    case KIND_FREE:
        buf_printf(to, "{\"type\":\"object\",\"maxProperties\":%d,\"additionalProperties\":{\"type\":\"string\"}}",
                   API_FREE_MAX);
        break;
    }
}

static void
put_path_parameter(struct buf *to, const char *name, size_t size)
{
    static const struct {
        const char *name, *text;
    } known[] = {
        {"stream", "\"description\":\"The stream's name, percent-encoded: 1 to 512 bytes of UTF-8.\","
                   "\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":512}"},
        {"name", "\"description\":\"The consumer group's name, percent-encoded.\","
                 "\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":256}"},
        {"position", "\"description\":\"The event's position in the log.\","
                     "\"schema\":{\"type\":\"integer\",\"minimum\":0}"},
        {"app", "\"description\":\"The app's name.\","
                "\"schema\":{\"type\":\"string\",\"pattern\":\"^[a-z][a-z0-9_-]{0,62}$\"}"},
        {"command", "\"description\":\"A command of the app.\",\"schema\":{\"type\":\"string\"}"},
        {"query", "\"description\":\"A query of the app.\",\"schema\":{\"type\":\"string\"}"},
        {"projection", "\"description\":\"A projection of the app.\",\"schema\":{\"type\":\"string\"}"},
        {"action", "\"description\":\"What it should do.\",\"schema\":{\"type\":\"string\",\"enum\":[\"pause\","
                   "\"resume\",\"retry\",\"skip\",\"park\",\"replay-parked\",\"rebuild\"]}"},
        {"topic", "\"description\":\"The topic's name.\","
                  "\"schema\":{\"type\":\"string\",\"pattern\":\"^[a-zA-Z0-9._-]{1,249}$\"}"},
        {"partition", "\"description\":\"A partition of the topic.\",\"schema\":{\"type\":\"integer\",\"minimum\":0}"},
        {"group", "\"description\":\"The group's id, percent-encoded.\","
                  "\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":255}"},
        {"relay", "\"description\":\"The relay's name.\","
                  "\"schema\":{\"type\":\"string\",\"pattern\":\"^[a-z0-9][a-z0-9._-]{0,62}$\"}"},
        {"version", "\"description\":\"A deployment's version.\",\"schema\":{\"type\":\"integer\",\"minimum\":1}"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == size && !memcmp(known[i].name, name, size)) {
            json_put_comma(to);
            buf_printf(to, "{\"name\":\"%s\",\"in\":\"path\",\"required\":true,%s}", known[i].name,
                       known[i].text);
        }
}

static void
put_parameters(struct buf *to, const struct api_route *route)
{
    json_put_name(to, "parameters");
    buf_put_char(to, '[');
    for (const char *open = strchr(route->pattern, '{'); open; open = strchr(open + 1, '{'))
        put_path_parameter(to, open + 1, (size_t)(strchr(open, '}') - open - 1));
    for (unsigned i = 0; i < ARG_COUNT; i++) {
        const struct api_arg_spec *spec = &api_arg_specs[i];
        if (!(route->args >> i & 1))
            continue;
        json_put_comma(to);
        buf_printf(to, "{\"name\":\"%s\",\"in\":\"query\"%s%s,\"description\":", spec->name,
                   spec->required ? ",\"required\":true" : "",
                   spec->kind == KIND_FREE ? ",\"style\":\"form\",\"explode\":true" : "");
        json_put_string(to, cairn_cstr(spec->summary));
        json_put_name(to, "schema");
        put_arg_schema(to, spec);
        buf_put_char(to, '}');
    }
    if (route->responses[0].contents[3].type)
        buf_printf(to, ",{\"name\":\"last-event-id\",\"in\":\"header\",\"description\":\"With Accept: "
                       "text/event-stream: resume after this event.\",\"schema\":{\"type\":\"integer\","
                       "\"minimum\":0}}");
    buf_put_char(to, ']');
}

static void
put_responses(struct buf *to, const struct api_route *route)
{
    json_put_name(to, "responses");
    buf_put_char(to, '{');
    for (size_t i = 0; i < 3 && route->responses[i].status; i++) {
        const struct api_response *response = &route->responses[i];
        json_put_comma(to);
        buf_printf(to, "\"%d\":{\"description\":\"%s\"", response->status, response->description);
        if (response->contents[0].type)
            put_contents(to, response->contents, 4);
        buf_put_char(to, '}');
    }
    for (const char *at = route->problems; *at; at += at[3] == ' ' ? 4 : 3) {
        json_put_comma(to);
        buf_printf(to, "\"%.3s\":{\"$ref\":\"#/components/responses/Problem%.3s\"}", at, at);
    }
    buf_printf(to, ",\"default\":{\"$ref\":\"#/components/responses/Refused\"}}");
}

static void
put_operation(struct buf *to, const struct api_route *route)
{
    static const struct {
        const char *method, *lower;
    } methods[] = {{"GET", "get"}, {"PUT", "put"}, {"POST", "post"}, {"DELETE", "delete"}, {"PATCH", "patch"}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (!strcmp(methods[i].method, route->method))
            json_put_name(to, methods[i].lower);
    buf_printf(to, "{\"operationId\":\"%s\",\"tags\":[\"%s\"],\"summary\":\"%s\"", route->id, route->tag,
               route->summary);
    if (route->description)
        buf_printf(to, ",\"description\":\"%s\"", route->description);
    put_parameters(to, route);
    if (route->body[0].type) {
        json_put_name(to, "requestBody");
        buf_printf(to, "{\"required\":true");
        put_contents(to, route->body, sizeof route->body / sizeof *route->body);
        buf_put_char(to, '}');
    }
    put_responses(to, route);
    buf_put_char(to, '}');
}

/* Paths may come in any order, but each only once: take the routes of a pattern together. */
static void
put_paths(struct buf *to)
{
    json_put_name(to, "paths");
    buf_put_char(to, '{');
    for (size_t i = 0; i < api_route_count(); i++) {
        const struct api_route *route = api_route_at(i);
        bool seen = false;
        for (size_t before = 0; before < i && !seen; before++)
            seen = !strcmp(api_route_at(before)->pattern, route->pattern);
        if (seen)
            continue;
        json_put_name(to, route->pattern);
        buf_put_char(to, '{');
        for (size_t n = i; n < api_route_count(); n++)
            if (!strcmp(api_route_at(n)->pattern, route->pattern))
                put_operation(to, api_route_at(n));
        buf_put_char(to, '}');
    }
    buf_put_char(to, '}');
}

/* Does a kind before this one say the same? */
static bool
is_told(size_t index, const struct problem_kind *kind)
{
    struct problem_kind before;
    for (size_t i = 0; i < index && problem_at(i, &before); i++)
        if (before.status == kind->status && !strcmp(before.name, kind->name))
            return true;
    return false;
}

#define PROBLEM_CONTENT                                                                                   \
    "\"content\":{\"application/problem+json\":{\"schema\":{\"$ref\":\"#/components/schemas/Problem\"}}}"

/* One response per status; its description lists the problem types that come with it. Refused is what any
 * request may meet below the API: a broken head, a limit of the protocol, a connection too many. */
static void
put_problem_responses(struct buf *to)
{
    struct problem_kind kind;
    json_put_name(to, "responses");
    buf_put_char(to, '{');
    for (int status = 400; status < 600; status++) {
        bool first = true;
        for (size_t i = 0; problem_at(i, &kind); i++) {
            if (kind.status != status)
                continue;
            if (first) {
                json_put_comma(to);
                buf_printf(to, "\"Problem%d\":{\"description\":\"", status);
            }
            if (!is_told(i, &kind))
                buf_printf(to, "%surn:cairn:problem:%s: %s", first ? "" : "; ", kind.name, kind.title);
            first = false;
        }
        if (!first)
            buf_printf(to, "\"," PROBLEM_CONTENT "}");
    }
    json_put_comma(to);
    buf_printf(to, "\"Refused\":{\"description\":\"Refused before the path was looked at; the type is malformed, "
                   "timeout, limit, unsupported, busy, closed or internal\"," PROBLEM_CONTENT "}}");
}

void
api_openapi_put(struct buf *to)
{
    buf_printf(to,
               "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Cairn\",\"version\":\"%s\",\"summary\":"
               "\"An event store: append, read, follow.\",\"license\":{\"name\":\"Apache-2.0\","
               "\"identifier\":\"Apache-2.0\"}},\"servers\":[{\"url\":\"/\"}]",
               cairn_version());
    put_paths(to);
    json_put_name(to, "components");
    buf_put_char(to, '{');
    json_put_name(to, "schemas");
    buf_put_str(to, cairn_cstr(api_schemas));
    put_problem_responses(to);
    buf_put_str(to, CAIRN_STR("}}"));
}
