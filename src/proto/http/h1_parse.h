/* proto/http/h1_parse.h: HTTP/1.1 requests from bytes (RFC 9110, RFC 9112), strictly.
 *
 * Pure functions over bytes: no I/O, no allocation. Both parsers may be fed in any pieces and give the same
 * answer whatever the pieces are. Everything that two parties could read differently is refused, since that is
 * what request smuggling lives on: bare CR or LF, folded lines, blanks before a colon, more than one
 * Content-Length or one together with Transfer-Encoding, chunked in HTTP/1.0, a missing or second Host. */
#ifndef PROTO_HTTP_H1_PARSE_H
#define PROTO_HTTP_H1_PARSE_H

#include <cairn/types.h>

enum h1_result {
    H1_MORE, /* all bytes looked at; give more */
    H1_DONE,
    H1_BAD, /* status and why say what is wrong; the connection cannot go on */
};

struct h1_limits {
    uint32_t head_max;   /* bytes of request line and fields together; at most 65,535 */
    uint32_t target_max; /* bytes */
    uint32_t fields_max;
};

/* Bytes of the head, by offset, so that the head may be moved while it is being read. */
struct h1_span {
    uint32_t at, size;
};

struct h1_field {
    struct h1_span name, value; /* value without the blanks around it */
};

/* Where a head's reading stands, and its result. h1_head_begin() before the first byte. */
struct h1_head {
    uint32_t scanned, line; /* bytes searched for a line's end; the current line's start */
    uint32_t size;                      /* of the whole head, when done */
    struct h1_span method, target;
    struct h1_span path;   /* the target's path, in absolute form too; "*" in asterisk form */
    struct h1_span query;  /* after '?' */
    unsigned minor;        /* HTTP/1.minor */
    int64_t content_length; /* -1: none */
    bool chunked, keep_alive, expect_continue;
    bool upgrade_h2c;            /* Upgrade: h2c, named in Connection together with HTTP2-Settings */
    struct h1_span h2_settings;  /* its value, base64url */
    int status;      /* BAD: the status to answer with */
    const char *why; /* BAD: one sentence, static */
    /* while reading: */
    bool skipped_line, has_host, has_length, has_coding;
    bool saw_close, saw_keep_alive, saw_upgrade, saw_h2c, saw_settings;
    uint32_t field_count, field_room;
    struct h1_field fields[]; /* field_room of them */
};

static inline size_t
h1_head_bytes(uint32_t field_room)
{
    return sizeof(struct h1_head) + field_room * sizeof(struct h1_field);
}
/* Room for limits.fields_max fields must follow the struct. */
void h1_head_begin(struct h1_head *head, uint32_t field_room);

/* Go on reading: bytes[0, size) is the head from its first byte, `size` never less than before. An empty
 * line before the request line is skipped (RFC 9112 §2.2). After H1_DONE head->size bytes are the head and
 * the rest is body or the next request. */
enum h1_result h1_head_parse(struct h1_head *head, const char *bytes, size_t size,
                             const struct h1_limits *limits);

/* A body, as its head announces it. */
struct h1_body {
    uint8_t state;
    bool chunked;
    uint64_t left;         /* bytes of the body, or of the chunk */
    uint32_t line_bytes;   /* of the chunk's size line, or of all trailers */
    const char *why;
};
void h1_body_begin(struct h1_body *body, const struct h1_head *head);

/* The next piece: ret_data is a slice of bytes (perhaps empty), ret_used how many bytes were looked at. Call
 * again with the rest while H1_MORE is returned and bytes are left. Trailers are checked and dropped. */
enum h1_result h1_body_parse(struct h1_body *body, const char *bytes, size_t size, size_t *ret_used,
                             cairn_str *ret_data);

/* Names: tokens (RFC 9110 §5.6.2), compared without regard to case. */
bool h1_is_token(cairn_str text);
bool h1_same_name(cairn_str a, const char *lower_case, size_t size);

#endif
