/* proto/http/problem.h: every refusal as an RFC 9457 problem.
 *
 * {"type":"urn:cairn:problem:conflict","title":"…","status":409,"detail":"…","hint":"…",…members}
 *
 * `type` is stable and is what programs compare; `detail` is for the one who reads it and names the
 * field and the limit. */
#ifndef PROTO_HTTP_PROBLEM_H
#define PROTO_HTTP_PROBLEM_H

#include <base/bytes.h>

struct http_exchange;

struct problem_kind {
    const char *name;  /* "conflict": the end of the type */
    int status;
    const char *title; /* the same for every occurrence */
    const char *hint;  /* what to do, or NULL */
};

/* Those that are HTTP's own. */
extern const struct problem_kind problem_malformed;      /* 400: parameters or JSON text */
extern const struct problem_kind problem_origin;         /* 403: a page of another site */
extern const struct problem_kind problem_path;           /* 404: no such path */
extern const struct problem_kind problem_method;         /* 405 */
extern const struct problem_kind problem_not_acceptable; /* 406 */
extern const struct problem_kind problem_media_type;     /* 415 */
/* And one of Kafka's groups: while it has members nobody else may move its offsets. */
extern const struct problem_kind problem_in_use;         /* 409 */

/* The kind of a store's error; CAIRN_E_INVALID is 422 "invalid". Never NULL. */
struct problem_kind problem_of(cairn_err err);

/* Every kind there is, for the documents: false past the last. A type may come with several statuses. */
bool problem_at(size_t index, struct problem_kind *ret_kind);
/* Those among them with which the machinery below the API refuses (refuse.c). */
bool refuse_kind_at(size_t index, struct problem_kind *ret_kind);

/* The body. `error` (optional) gives the detail, and the members "revision" of a conflict and
 * "position" of a condition that failed. */
void problem_put(struct buf *to, const struct problem_kind *kind, const cairn_error *error);

/* Answer with it. Statuses 429 and 503 carry Retry-After. `allow` (optional) is the Allow header. */
void problem_send(struct http_exchange *x, const struct problem_kind *kind,
                  const cairn_error *error, const char *allow);

#endif
