/* XES by expat. See xes.h.
 *
 * The open elements are a stack of frames. An attribute is written into its owner's buffer (event, trace,
 * log) when its start tag is met; should children follow, {"value": is put before what was written. */
#include "xes.h"

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <expat.h>
#include <stdlib.h>
#include <strings.h>

#define DEPTH_MAX 64
#define TYPE_MAX 512

enum kind {
    KIND_LOG,
    KIND_TRACE,
    KIND_EVENT,
    KIND_SIMPLE,
    KIND_LIST,
    KIND_CONTAINER,
    KIND_VALUES,
    KIND_GLOBAL,
    KIND_SKIP
};

struct frame {
    enum kind kind;
    struct buf *to;      /* where the element's children go */
    size_t member_begin; /* offsets in `to`: before the comma of this attribute, and of its value */
    size_t value_begin;
    size_t path_size;    /* of xes->path before this attribute's key */
    bool opened;         /* a simple one that has children */
    bool is_name;        /* the event's concept:name */
};

struct xes {
    struct xes_options options;
    XML_Parser parser;
    struct frame frames[DEPTH_MAX];
    size_t depth;

    struct buf event, types, trace, log, extensions, globals, classifiers;
    struct buf type, time, trace_name, path, log_text;
    bool trace_has_name, trace_begun;
    struct buf tag_values[XES_TAGS_MAX];
    bool tag_given[XES_TAGS_MAX];
    uint64_t trace_events;
    struct xes_counts counts;

    cairn_err err;
    cairn_error error;
};

static void
stop(struct xes *xes, cairn_err err, const char *what)
{
    if (xes->err == CAIRN_OK)
        xes->err = error_set(&xes->error, err, "line %llu: %s",
                             (unsigned long long)XML_GetCurrentLineNumber(xes->parser), what);
    XML_StopParser(xes->parser, XML_FALSE);
}

static struct frame *
top(struct xes *xes)
{
    return xes->depth ? &xes->frames[xes->depth - 1] : NULL;
}

static struct frame *
push(struct xes *xes, enum kind kind, struct buf *to)
{
    if (xes->depth == DEPTH_MAX) {
        stop(xes, CAIRN_E_LIMIT, "elements nest deeper than 64");
        return NULL;
    }
    struct frame *frame = &xes->frames[xes->depth++];
    *frame = (struct frame){.kind = kind, .to = to, .path_size = xes->path.size};
    return frame;
}

static const char *
attribute(const char **pairs, const char *name)
{
    for (; pairs[0]; pairs += 2)
        if (strcmp(pairs[0], name) == 0)
            return pairs[1];
    return NULL;
}

/* ---- values ----------------------------------------------------------------------------------------- */

static void
put_text(struct buf *to, const char *text)
{
    json_put_string(to, cairn_cstr(text));
}

/* A number as JSON has it, or false. */
static bool
put_number(struct buf *to, const char *text, bool is_float)
{
    struct json number;
    cairn_str value;
    while (*text == ' ')
        text++;
    text += *text == '+';
    bool minus = *text == '-';
    text += minus;
    while (text[0] == '0' && text[1] >= '0' && text[1] <= '9')
        text++;
    value = cairn_cstr(text);
    while (value.size && value.data[value.size - 1] == ' ')
        value.size--;
    if (value.size == 0 || value.size > 400 || *text < '0' || *text > '9' ||
        json_check(value, &number, NULL) != CAIRN_OK || number.type != JSON_NUMBER)
        return false;
    bool has_point = memchr(value.data, '.', value.size) || memchr(value.data, 'e', value.size) ||
                     memchr(value.data, 'E', value.size);
    if (has_point && !is_float)
        return false;
    if (minus)
        buf_put_char(to, '-');
    buf_put_str(to, value);
    if (is_float && !has_point)
        buf_put_str(to, CAIRN_STR(".0"));
    return true;
}

static bool
put_boolean(struct buf *to, const char *text)
{
    bool yes = strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0;
    bool no = strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0;
    if (yes || no)
        buf_put_str(to, cairn_cstr(yes ? "true" : "false"));
    return yes || no;
}

/* Remember a type that the JSON does not show. */
static void
note_type(struct xes *xes, const struct frame *owner, const char *type)
{
    if (owner->to != &xes->event || cairn_str_equal(buf_str(&xes->path), CAIRN_STR("time:timestamp")))
        return;
    json_put_comma(&xes->types);
    json_put_string(&xes->types, buf_str(&xes->path));
    buf_put_char(&xes->types, ':');
    put_text(&xes->types, type);
}

static void
put_value(struct xes *xes, const struct frame *owner, const char *type, const char *value)
{
    struct buf *to = owner->to;
    bool shown = strcmp(type, "string") == 0;
    if (strcmp(type, "int") == 0 && put_number(to, value, false))
        return;
    if (strcmp(type, "float") == 0 && put_number(to, value, true))
        return;
    if (strcmp(type, "boolean") == 0 && put_boolean(to, value))
        return;
    put_text(to, value);
    if (!shown)
        note_type(xes, owner, type);
}

/* ---- what an attribute means besides --------------------------------------------------------------------- */

static void
keep(struct buf *to, const char *text)
{
    buf_clear(to);
    buf_put_str(to, cairn_cstr(text));
}

static void
notice(struct xes *xes, const struct frame *owner, struct frame *frame, const char *key, const char *value)
{
    if (owner->kind == KIND_EVENT) {
        if (strcmp(key, "concept:name") == 0 && *value && strlen(value) <= TYPE_MAX) {
            keep(&xes->type, value);
            frame->is_name = true;
        } else if (strcmp(key, "time:timestamp") == 0) {
            keep(&xes->time, value);
        }
        for (size_t i = 0; i < xes->options.tag_key_count; i++)
            if (cairn_str_equal(xes->options.tag_keys[i], cairn_cstr(key))) {
                keep(&xes->tag_values[i], value);
                xes->tag_given[i] = true;
            }
    } else if (owner->kind == KIND_TRACE && strcmp(key, "concept:name") == 0) {
        if (xes->trace_events && !xes->trace_has_name)
            stop(xes, CAIRN_E_INVALID, "a trace's concept:name comes after its first event");
        keep(&xes->trace_name, value);
        xes->trace_has_name = true;
    }
}

/* ---- elements ------------------------------------------------------------------------------------------------ */

/* The first child of a simple attribute: what was written becomes {"value":…,"attributes":{. */
static void
open_simple(struct frame *owner)
{
    static const char before[] = "{\"value\":";
    struct buf *to = owner->to;
    size_t tail = to->size - owner->value_begin;
    if (owner->opened || !buf_reserve(to, sizeof before - 1))
        return;
    memmove(to->data + owner->value_begin + sizeof before - 1, to->data + owner->value_begin, tail);
    memcpy(to->data + owner->value_begin, before, sizeof before - 1);
    to->size += sizeof before - 1;
    buf_put_str(to, CAIRN_STR(",\"attributes\":{"));
    owner->opened = true;
}

static void
begin_attribute(struct xes *xes, const char *type, const char **pairs)
{
    struct frame *owner = top(xes);
    const char *key = attribute(pairs, "key"), *value = attribute(pairs, "value");
    bool list = strcmp(type, "list") == 0, container = strcmp(type, "container") == 0;
    if (!key)
        return stop(xes, CAIRN_E_INVALID, "an attribute has no key");
    if (!value && !list && !container)
        return stop(xes, CAIRN_E_INVALID, "an attribute has no value");
    if (owner->kind == KIND_SIMPLE)
        open_simple(owner);
    struct buf *to = owner->to;
    bool in_list = owner->kind == KIND_LIST || owner->kind == KIND_VALUES;
    struct frame *frame = push(xes, list ? KIND_LIST : container ? KIND_CONTAINER : KIND_SIMPLE, to);
    if (!frame)
        return;
    frame->member_begin = to->size;
    if (xes->path.size)
        buf_put_char(&xes->path, '/');
    buf_put_str(&xes->path, cairn_cstr(key));
    json_put_comma(to);
    if (in_list)
        buf_put_char(to, '{');
    put_text(to, key);
    buf_put_char(to, ':');
    frame->value_begin = to->size;
    if (list || container) {
        buf_put_char(to, list ? '[' : '{');
    } else {
        notice(xes, owner, frame, key, value);
        put_value(xes, owner, type, value);
    }
    if (to->size > XES_EVENT_MAX)
        stop(xes, CAIRN_E_LIMIT, "the attributes of one event, trace or log are more than 1 MiB");
}

static void
end_attribute(struct xes *xes, const struct frame *frame)
{
    struct buf *to = frame->to;
    const struct frame *owner = top(xes);
    xes->path.size = frame->path_size;
    if (frame->kind == KIND_LIST)
        buf_put_char(to, ']');
    else if (frame->kind == KIND_CONTAINER)
        buf_put_char(to, '}');
    else if (frame->opened)
        buf_put_str(to, CAIRN_STR("}}"));
    else if (frame->is_name)
        to->size = frame->member_begin; /* it is the event's type */
    if (owner->kind == KIND_LIST || owner->kind == KIND_VALUES)
        buf_put_char(to, '}');
}

static bool
is_attribute(const char *name)
{
    static const char *const types[] = {"string", "date", "int", "float", "boolean", "id", "list", "container"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i], name) == 0)
            return true;
    return false;
}

/* An empty element of the log's own, as an object of its XML attributes. */
static void
put_declaration(struct xes *xes, struct buf *to, const char **pairs)
{
    json_put_comma(to);
    buf_put_char(to, '{');
    for (; pairs[0]; pairs += 2) {
        json_put_name(to, pairs[0]);
        put_text(to, pairs[1]);
    }
    buf_put_char(to, '}');
    if (to->size > XES_EVENT_MAX)
        stop(xes, CAIRN_E_LIMIT, "the log declares more than 1 MiB");
}

static void
begin_trace(struct xes *xes)
{
    buf_clear(&xes->trace);
    buf_put_char(&xes->trace, '{');
    buf_clear(&xes->trace_name);
    xes->trace_has_name = false;
    xes->trace_events = 0;
    push(xes, KIND_TRACE, &xes->trace);
}

static void
begin_event(struct xes *xes)
{
    buf_clear(&xes->event);
    buf_put_char(&xes->event, '{');
    buf_clear(&xes->types);
    buf_clear(&xes->type);
    buf_clear(&xes->time);
    memset(xes->tag_given, 0, sizeof xes->tag_given);
    push(xes, KIND_EVENT, &xes->event);
}

static void
begin_in_log(struct xes *xes, const char *name, const char **pairs)
{
    bool keep_log = xes->options.keep_log;
    if (strcmp(name, "trace") == 0)
        return begin_trace(xes);
    if (strcmp(name, "event") == 0) { /* XES allows events outside traces; they have no stream to go to */
        return stop(xes, CAIRN_E_INVALID, "an event outside a trace");
    }
    if (keep_log && strcmp(name, "global") == 0) {
        const char *scope = attribute(pairs, "scope");
        json_put_comma(&xes->globals);
        buf_put_str(&xes->globals, CAIRN_STR("{\"scope\":"));
        put_text(&xes->globals, scope ? scope : "event");
        buf_put_str(&xes->globals, CAIRN_STR(",\"attributes\":{"));
        push(xes, KIND_GLOBAL, &xes->globals);
        return;
    }
    if (keep_log && is_attribute(name))
        return begin_attribute(xes, name, pairs);
    if (keep_log && strcmp(name, "extension") == 0)
        put_declaration(xes, &xes->extensions, pairs);
    if (keep_log && strcmp(name, "classifier") == 0)
        put_declaration(xes, &xes->classifiers, pairs);
    push(xes, KIND_SKIP, NULL);
}

static void
on_start(void *context, const char *full_name, const char **pairs)
{
    struct xes *xes = context;
    const char *colon = strchr(full_name, ':'), *name = colon ? colon + 1 : full_name;
    struct frame *owner = top(xes);
    if (xes->err != CAIRN_OK)
        return;
    if (!owner) {
        if (strcmp(name, "log") != 0)
            return stop(xes, CAIRN_E_INVALID, "the outermost element is not <log>: no XES");
        push(xes, KIND_LOG, &xes->log);
    } else if (owner->kind == KIND_SKIP) {
        push(xes, KIND_SKIP, NULL);
    } else if (owner->kind == KIND_LOG) {
        begin_in_log(xes, name, pairs);
    } else if (owner->kind == KIND_TRACE && strcmp(name, "event") == 0) {
        begin_event(xes);
    } else if (owner->kind == KIND_LIST && strcmp(name, "values") == 0) {
        push(xes, KIND_VALUES, owner->to);
    } else if (is_attribute(name)) {
        begin_attribute(xes, name, pairs);
    } else {
        push(xes, KIND_SKIP, NULL);
    }
}

static void
end_event(struct xes *xes)
{
    bool has_trace = xes->trace.size > 1;
    buf_put_char(&xes->event, '}');
    if (has_trace)
        buf_put_char(&xes->trace, '}');
    struct buf types = {0};
    if (xes->types.size) {
        buf_put_char(&types, '{');
        buf_put_str(&types, buf_str(&xes->types));
        buf_put_char(&types, '}');
    }
    struct xes_event event = {.trace = xes->counts.traces,
                              .index = xes->trace_events,
                              .trace_name = buf_str(&xes->trace_name),
                              .type = buf_str(&xes->type),
                              .time = buf_str(&xes->time),
                              .data = buf_str(&xes->event),
                              .types = buf_str(&types),
                              .trace_data = has_trace ? buf_str(&xes->trace) : (cairn_str){0}};
    for (size_t i = 0; i < xes->options.tag_key_count; i++)
        if (xes->tag_given[i])
            event.tags[event.tag_count++] =
                (struct xes_tag){xes->options.tag_keys[i], buf_str(&xes->tag_values[i])};
    bool failed = xes->event.failed || xes->trace.failed || types.failed || xes->types.failed || xes->type.failed ||
                  xes->trace_name.failed || xes->path.failed;
    if (failed)
        stop(xes, CAIRN_E_NOMEM, "out of memory");
    else if (!xes->options.visit(xes->options.context, &event))
        stop(xes, CAIRN_E_CLOSED, "stopped");
    buf_free(&types);
    buf_clear(&xes->trace);
    buf_put_char(&xes->trace, '{');
    xes->trace_events++;
    xes->counts.events++;
}

static void
on_end(void *context, const char *name __attribute__((unused)))
{
    struct xes *xes = context;
    struct frame *frame = top(xes);
    if (xes->err != CAIRN_OK) /* expat still ends the element in which it was stopped */
        return;
    xes->depth--;
    switch (frame->kind) {
    case KIND_EVENT:
        end_event(xes);
        break;
    case KIND_TRACE:
        xes->counts.traces++;
        xes->counts.traces_empty += xes->trace_events == 0;
        xes->counts.attributes_dropped += xes->trace_events && xes->trace.size > 1;
        break;
    case KIND_GLOBAL:
        buf_put_str(frame->to, CAIRN_STR("}}"));
        break;
    case KIND_SIMPLE:
    case KIND_LIST:
    case KIND_CONTAINER:
        end_attribute(xes, frame);
        break;
    default:
        break;
    }
}

static void
on_entity(void *context, const char *name __attribute__((unused)), int is_parameter __attribute__((unused)),
          const char *value __attribute__((unused)), int size __attribute__((unused)),
          const char *base __attribute__((unused)), const char *system_id __attribute__((unused)),
          const char *public_id __attribute__((unused)), const char *notation __attribute__((unused)))
{
    stop(context, CAIRN_E_INVALID, "the file declares an entity; XES needs none, so none is expanded");
}

/* ---- the parser -------------------------------------------------------------------------------------------------- */

struct xes *
xes_new(const struct xes_options *options)
{
    struct xes *xes = calloc(1, sizeof *xes);
    if (!xes)
        return NULL;
    xes->options = *options;
    xes->parser = XML_ParserCreate(NULL);
    if (!xes->parser) {
        free(xes);
        return NULL;
    }
    XML_SetUserData(xes->parser, xes);
    XML_SetElementHandler(xes->parser, on_start, on_end);
    XML_SetEntityDeclHandler(xes->parser, on_entity);
    return xes;
}

void
xes_free(struct xes *xes)
{
    if (!xes)
        return;
    struct buf *bufs[] = {&xes->event, &xes->types, &xes->trace, &xes->log, &xes->extensions, &xes->globals,
                          &xes->classifiers, &xes->type, &xes->time, &xes->trace_name, &xes->path, &xes->log_text};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_free(bufs[i]);
    for (size_t i = 0; i < XES_TAGS_MAX; i++)
        buf_free(&xes->tag_values[i]);
    XML_ParserFree(xes->parser);
    free(xes);
}

cairn_err
xes_feed(struct xes *xes, cairn_str bytes, bool final, cairn_error *error)
{
    if (xes->err == CAIRN_OK &&
        XML_Parse(xes->parser, bytes.data, (int)bytes.size, final) == XML_STATUS_ERROR && xes->err == CAIRN_OK) {
        enum XML_Error code = XML_GetErrorCode(xes->parser);
        stop(xes, code == XML_ERROR_NO_MEMORY ? CAIRN_E_NOMEM : CAIRN_E_INVALID, XML_ErrorString(code));
    }
    if (xes->err != CAIRN_OK && error)
        *error = xes->error;
    return xes->err;
}

cairn_str
xes_log(struct xes *xes)
{
    struct buf *to = &xes->log_text;
    buf_clear(to);
    buf_put_str(to, CAIRN_STR("{\"attributes\":{"));
    buf_put_str(to, buf_str(&xes->log));
    buf_put_str(to, CAIRN_STR("},\"extensions\":["));
    buf_put_str(to, buf_str(&xes->extensions));
    buf_put_str(to, CAIRN_STR("],\"globals\":["));
    buf_put_str(to, buf_str(&xes->globals));
    buf_put_str(to, CAIRN_STR("],\"classifiers\":["));
    buf_put_str(to, buf_str(&xes->classifiers));
    buf_put_str(to, CAIRN_STR("]}"));
    return buf_str(to);
}

struct xes_counts
xes_count(const struct xes *xes)
{
    return xes->counts;
}
