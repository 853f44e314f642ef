/* cairn/types.h: the words that every Cairn header uses: errors, strings, ids, events.
 *
 * All strings are UTF-8 with an explicit size, never NUL-terminated. Times are microseconds since
 * 1970-01-01T00:00:00Z. Positions and revisions count from 0. */
#ifndef CAIRN_TYPES_H
#define CAIRN_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CAIRN_API __attribute__((visibility("default")))
#define CAIRN_MUST_CHECK __attribute__((warn_unused_result))

/* Every call that can fail returns one of these. The values are stable. */
typedef enum cairn_err {
    CAIRN_OK = 0,
    CAIRN_E_NOMEM = -1,      /* out of memory; nothing changed */
    CAIRN_E_INVALID = -2,    /* an argument or input is malformed; the detail names it */
    CAIRN_E_LIMIT = -3,      /* a configured limit was reached; the detail names it and its value */
    CAIRN_E_CONFLICT = -4,   /* expected revision does not hold; error.revision is the actual one */
    CAIRN_E_CONDITION = -5,  /* append condition does not hold; error.position is the first match */
    CAIRN_E_GONE = -6,       /* the stream bears a tombstone */
    CAIRN_E_NOTFOUND = -7,   /* no such thing */
    CAIRN_E_EXISTS = -8,     /* it is there already */
    CAIRN_E_DENIED = -9,     /* streams whose names begin with '$' are Cairn's own */
    CAIRN_E_IO = -10,        /* a system call failed; the log takes no more writes until reopened */
    CAIRN_E_NOSPACE = -11,   /* disk full; nothing written; writes resume when there is room */
    CAIRN_E_CORRUPT = -12,   /* stored bytes are not what was written; detail names file and offset */
    CAIRN_E_VERSION = -13,   /* the data was written by a format this program does not know */
    CAIRN_E_LOCKED = -14,    /* another process owns the folder; the detail says which */
    CAIRN_E_READONLY = -15,  /* the folder or the handle is read-only */
    CAIRN_E_BUSY = -16,      /* a bounded queue is full; try again later */
    CAIRN_E_TIMEOUT = -17,   /* the deadline passed */
    CAIRN_E_CLOSED = -18,    /* the store is closing */
    CAIRN_E_END = -19,       /* nothing (more) to read now; not a failure */
    CAIRN_E_UNSUPPORTED = -20, /* this backend or build cannot do that */
    CAIRN_E_REJECTED = -21,  /* a decider refused a command by name; nothing written */
    CAIRN_E_SCRIPT = -22     /* an app's own code failed or went beyond its budget; nothing written */
} cairn_err;

/* What went wrong, in full. Every public call takes an optional pointer to one as its last
 * argument; it is written only when the call fails. */
typedef struct cairn_error {
    cairn_err code;
    int64_t revision;  /* CONFLICT: the stream's actual last revision, -1 when it has no events */
    uint64_t position; /* CONDITION: the position of the first event that matched */
    char detail[320];  /* one sentence for the person who reads it, NUL-terminated */
} cairn_error;

/* Stable lower-case name ("conflict") and a one-line hint on what to do, both static. */
CAIRN_API const char *cairn_err_name(cairn_err err);
CAIRN_API const char *cairn_err_hint(cairn_err err);

/* Borrowed bytes. {NULL, 0} is the empty string. */
typedef struct cairn_str {
    const char *data;
    size_t size;
} cairn_str;

/* A cairn_str of a C string; of a literal. */
static inline cairn_str
cairn_cstr(const char *text)
{
    cairn_str string = {text, text ? strlen(text) : 0};
    return string;
}
#ifdef __cplusplus
#define CAIRN_STR(literal) (cairn_str{"" literal, sizeof(literal) - 1})
#else
#define CAIRN_STR(literal) ((cairn_str){"" literal, sizeof(literal) - 1})
#endif

static inline bool
cairn_str_equal(cairn_str a, cairn_str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

typedef struct cairn_uuid {
    uint8_t bytes[16];
} cairn_uuid;

/* Tenants reach the store as an opaque number that is part of every series key. */
typedef uint32_t cairn_scope;

/* What an append may expect of a stream: exactly a revision (>= 0), or one of these. */
#define CAIRN_ANY INT64_C(-1)    /* whatever is there */
#define CAIRN_NONE INT64_C(-2)   /* the stream has no events (or was deleted) */
#define CAIRN_EXISTS INT64_C(-3) /* the stream has events */

/* An event as a user hands it in. All pointers are borrowed until the call returns. */
typedef struct cairn_event {
    cairn_uuid id;          /* all zeros: the store makes a UUIDv7 */
    cairn_str type;         /* 1 to 512 bytes */
    cairn_str content_type; /* empty means application/json */
    uint32_t schema_id;     /* 0: none */
    cairn_str data;         /* opaque */
    cairn_str meta;         /* a JSON object, or empty */
    cairn_str correlation;  /* empty: the string at meta."correlation", where there is one */
    const cairn_str *tags;  /* up to 64, each 1 to 512 bytes */
    size_t tag_count;
} cairn_event;

/* An event as the log keeps it. */
typedef struct cairn_recorded {
    uint64_t position; /* in the log */
    uint64_t revision; /* in the stream */
    int64_t time_us;   /* of commit; never decreases along the log */
    cairn_scope scope;
    cairn_str stream;
    cairn_event event;
} cairn_recorded;

/* Where an append landed. */
typedef struct cairn_at {
    uint64_t first_position;
    uint64_t last_position;
    uint64_t revision; /* last revision of the (last) stream written */
    bool repeated;     /* true: these very events were there already and nothing was written */
} cairn_at;

#ifdef __cplusplus
}
#endif
#endif
