/* proto/kafka/codec.h: structs of messages.h from bytes, and bytes from them, by the tables.
 *
 * Pure functions: no I/O, no locks. Bytes from outside are checked before they are used: every length and count against what is
 * left, before memory is taken for it. What a request's lists take is bounded by the arena's size_max. Nesting is the tables'. */
#ifndef PROTO_KAFKA_CODEC_H
#define PROTO_KAFKA_CODEC_H

#include <base/arena.h>
#include <base/bytes.h>
#include <proto/kafka/messages.h>

/* Why bytes could not be read: a sentence's beginning, and the field it is about. Both static. */
struct kafka_fault {
    const char *what;  /* "a length reaches past the end" */
    const char *where; /* "topics", or "" */
};

/* ---- reading --------------------------------------------------------------------------------------------------------- */

struct kafka_header {
    int16_t key, version;
    int32_t correlation;
    bool has_client_id;
    cairn_str client_id; /* points into the bytes */
    size_t size;         /* where the body begins */
};
enum kafka_header_result {
    KAFKA_HEADER_FINE,
    KAFKA_HEADER_MALFORMED,
    KAFKA_HEADER_KEY,     /* no such message here; ret has key, version, correlation */
    KAFKA_HEADER_VERSION, /* not in this version; likewise */
};
enum kafka_header_result kafka_read_header(cairn_str bytes, struct kafka_header *ret, struct kafka_fault *fault);

/* Read one struct of `table`, in the form of `version`, into `to` (table->size bytes; all of it is set). Text points into the
 * bytes, lists are in the arena. *ret_used (optional): bytes read; what is left is the caller's to judge.
 * CAIRN_E_INVALID: see the fault. CAIRN_E_NOMEM: no memory, or more than the arena may have. */
CAIRN_MUST_CHECK cairn_err kafka_read(cairn_str bytes, const struct kafka_struct *table, int16_t version, bool flexible,
                                      struct arena *arena, void *to, size_t *ret_used, struct kafka_fault *fault);

/* ---- writing --------------------------------------------------------------------------------------------------------- */

/* Bytes, and pieces that belong between them and are only pointed to. Zero it to begin. */
struct kafka_out {
    struct buf bytes;
    struct buf gaps;    /* of struct kafka_gap, in order */
    size_t piece_bytes; /* the sum of the pieces' … */
    size_t file_bytes;  /* … and of those that lie in files, not in memory */
};
struct kafka_gap {
    size_t at; /* the piece comes before bytes.data[at] */
    struct kafka_piece piece;
};
void kafka_out_clear(struct kafka_out *out); /* keeps the memory */
void kafka_out_free(struct kafka_out *out);
static inline size_t kafka_out_size(const struct kafka_out *out) { return out->bytes.size + out->piece_bytes; }
static inline size_t kafka_out_gaps(const struct kafka_out *out) { return out->gaps.size / sizeof(struct kafka_gap); }

/* Of a message, without its pieces: twice what Metadata of all topics and partitions that there may be takes. */
#define KAFKA_OUT_MAX ((size_t)128 << 20)

/* Append a struct. CAIRN_E_LIMIT: a text or list is longer than the form can say, or the whole than KAFKA_OUT_MAX. CAIRN_E_NOMEM. */
CAIRN_MUST_CHECK cairn_err kafka_write(struct kafka_out *out, const struct kafka_struct *table, int16_t version, bool flexible,
                                       const void *from);
/* A whole frame: size, header, body. */
CAIRN_MUST_CHECK cairn_err kafka_write_response(struct kafka_out *out, const struct kafka_message *message, int16_t version,
                                                int32_t correlation, const void *response);

/* ---- the other side, for clients and tests ----------------------------------------------------------------------------- */

CAIRN_MUST_CHECK cairn_err kafka_write_request(struct kafka_out *out, const struct kafka_message *message, int16_t version,
                                               int32_t correlation, cairn_str client_id, const void *request);
/* Of a frame without its size. */
CAIRN_MUST_CHECK cairn_err kafka_read_response(cairn_str bytes, const struct kafka_message *message, int16_t version,
                                               struct arena *arena, int32_t *ret_correlation, void *response,
                                               struct kafka_fault *fault);

/* Set a struct to its defaults: what fields are that nobody sets. Texts and lists are empty (NULL, 0). */
void kafka_defaults(const struct kafka_struct *table, void *to);

#endif
