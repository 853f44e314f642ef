/* cli/event_json.h: events as JSON, in and out: the wire's form and CloudEvents 1.0.
 *
 * Out, an event is one line, and byte for byte what was stored: data and meta keep their own white space,
 * and what cannot stand on a line as it is (line breaks, no JSON) goes as data_base64 and meta_base64. So
 * an export imported again gives the same bytes. */
#ifndef CLI_EVENT_JSON_H
#define CLI_EVENT_JSON_H

#include <base/json.h>
#include <cairn/cairn.h>
#include <stdio.h>

/* ---- out ------------------------------------------------------------------------------------------ */

/* {"position","stream","revision","time","id","type","data",…} */
void event_put(struct buf *to, const cairn_recorded *event);
/* The same without the closing brace, so that members can be added. */
void event_put_open(struct buf *to, const cairn_recorded *event);
/* {"type","id","data","meta","tags",…}: what an append takes. */
void event_put_input(struct buf *to, const cairn_event *event);
/* What a table shows of its data: JSON without white space, text as it is, otherwise how much of what; then its tags. */
void event_put_shown(struct buf *to, const cairn_event *event);
/* A CloudEvent in the JSON format, as the server writes it, on one line. */
void event_put_cloudevent(struct buf *to, const cairn_recorded *event);

/* ---- in ------------------------------------------------------------------------------------------- */

struct event_in {
    cairn_recorded recorded; /* what the text did not say is zero */
    bool has_revision;
    uint32_t delivery;       /* from a group */
    cairn_str reason;        /* of a parked event */
};

/* Take an event apart. What it points to is borrowed from the text and the arena. Members that are
 * not known are ignored. CAIRN_E_INVALID names the member. */
CAIRN_MUST_CHECK cairn_err event_parse(struct json value, struct arena *arena, struct event_in *ret,
                                       cairn_error *error);
/* The same for a CloudEvent, read as the server reads it. The stream is its cairnstream (of an event that
 * Cairn gave out) or else its subject; empty without either. */
CAIRN_MUST_CHECK cairn_err event_parse_cloudevent(struct json value, struct arena *arena,
                                                  struct event_in *ret, cairn_error *error);

/* ---- a stream of JSON objects ---------------------------------------------------------------------- */

/* Objects one after the other, on lines or in one array, read with bounded memory. */
struct json_source {
    FILE *file;        /* borrowed */
    size_t value_max;  /* bytes of one object; 0: 32 MiB */
    struct buf buf;
    size_t at;
    bool in_array, finished, begun, want_comma;
    uint64_t line;     /* of the value last returned */
    uint64_t next_line;
    uint64_t bytes;    /* read so far */
};

/* The next object's text, checked; borrowed until the next call. CAIRN_E_END after the last. */
CAIRN_MUST_CHECK cairn_err json_source_next(struct json_source *source, struct json *ret,
                                            cairn_error *error);
void json_source_free(struct json_source *source);

#endif
