/* proto/http/api_parse.h: from a request's body to what the store takes. Pure: no exchange, no store,
 * so that the unit tests and the fuzzer call it directly.
 *
 * A member that is not known is refused by name; every refusal names the field's path
 * ("events[3].tags[0]: …"). Data keeps the exact bytes that were sent. */
#ifndef PROTO_HTTP_API_PARSE_H
#define PROTO_HTTP_API_PARSE_H

#include <base/json.h>
#include <cairn/group.h>

/* One parse. What it makes is borrowed from the body and from the arena. */
struct parse {
    struct arena *arena;
    cairn_error *error;
    size_t events_max; /* of the whole request */
    size_t events;     /* seen so far */
    bool malformed;    /* the text itself is broken (400), not what it says (422) */
};

struct event_list {
    cairn_event *events;
    size_t count;
};

/* A header of a request in CloudEvents binary mode. */
struct parse_header {
    cairn_str name, value; /* name in lower case */
};

/* How a body of events is written. */
enum event_format {
    EVENTS_JSON,             /* one event or an array */
    EVENTS_NDJSON,           /* one event a line */
    EVENTS_CLOUDEVENT,       /* CloudEvents structured mode */
    EVENTS_CLOUDEVENT_BATCH,
    EVENTS_CLOUDEVENT_BINARY, /* attributes in ce-* headers */
    EVENTS_UNKNOWN
};
/* By content type; `has_ce_headers` decides between binary mode and Cairn's own. Empty means JSON. */
enum event_format parse_event_format(cairn_str content_type, bool has_ce_headers);

CAIRN_MUST_CHECK cairn_err parse_events(struct parse *parse, enum event_format format, cairn_str body,
                                        struct event_list *ret);
CAIRN_MUST_CHECK cairn_err parse_binary_event(struct parse *parse, cairn_str content_type,
                                              const struct parse_header *headers, size_t header_count,
                                              cairn_str body, struct event_list *ret);

/* The body of POST /v1/append. */
CAIRN_MUST_CHECK cairn_err parse_append(struct parse *parse, cairn_str body, cairn_append_request *ret);

CAIRN_MUST_CHECK cairn_err parse_retention(struct parse *parse, cairn_str body, cairn_retention *ret);
/* What is absent stays as it is in *ret. */
CAIRN_MUST_CHECK cairn_err parse_group(struct parse *parse, cairn_str body, cairn_group_config *ret);

struct positions {
    uint64_t *positions;
    size_t count;
    bool park;       /* only where `refusal` was true */
    cairn_str reason;
};
#define PARSE_POSITIONS_MAX 10000
CAIRN_MUST_CHECK cairn_err parse_positions(struct parse *parse, cairn_str body, bool refusal,
                                           struct positions *ret);

/* application/json or …+json, whatever its parameters; empty counts as JSON. */
bool parse_is_json_type(cairn_str content_type);
/* The part before ';', without spaces, compared without case. */
bool parse_media_is(cairn_str content_type, const char *media);

/* ---- shared by the parsers' own files --------------------------------------------------------- */

/* The path of a field, linked from the inside out; costs nothing until something is wrong. */
struct field {
    const struct field *parent;
    const char *name; /* NULL: an index */
    size_t index;
};

/* "events[3].tags[0]: " and then the sentence. */
__attribute__((format(printf, 4, 5))) cairn_err parse_fail(struct parse *parse, cairn_err code,
                                                           const struct field *at,
                                                           const char *format, ...);
/* Which of the known members `name` is; one that is not known, or in *seen (bits) already, is refused. */
CAIRN_MUST_CHECK cairn_err parse_member(struct parse *parse, const struct field *at, struct json name,
                                        const char *const *members, size_t count, uint64_t *seen,
                                        unsigned *ret_index);
/* The whole body as one JSON value. */
CAIRN_MUST_CHECK cairn_err parse_text(struct parse *parse, cairn_str body, struct json *ret);
/* A string of 1 to size_max bytes; optional ones may be empty. */
CAIRN_MUST_CHECK cairn_err parse_name(struct parse *parse, const struct field *at, struct json value,
                                      bool optional, cairn_str *ret);
CAIRN_MUST_CHECK cairn_err parse_names(struct parse *parse, const struct field *at, struct json value,
                                       const cairn_str **ret, size_t *ret_count);
/* Take room for `count` more events of this request. */
CAIRN_MUST_CHECK cairn_err parse_room(struct parse *parse, const struct field *at, size_t count,
                                      cairn_event **ret);
CAIRN_MUST_CHECK cairn_err parse_base64(struct parse *parse, const struct field *at, struct json value,
                                        cairn_str *ret);
CAIRN_MUST_CHECK cairn_err parse_event(struct parse *parse, const struct field *at, struct json value,
                                       cairn_event *ret);
/* One event or an array of them. */
CAIRN_MUST_CHECK cairn_err parse_event_list(struct parse *parse, const struct field *at,
                                            struct json value, struct event_list *ret);
CAIRN_MUST_CHECK cairn_err parse_cloudevent(struct parse *parse, const struct field *at,
                                            struct json value, cairn_event *ret);
#define PARSE_NAME_MAX 512
#define PARSE_TAGS_MAX 64

#endif
