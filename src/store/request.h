/* store/request.h: what may enter the store, and what is filled in on the way. */
#ifndef STORE_REQUEST_H
#define STORE_REQUEST_H

#include <base/arena.h>
#include <cairn/store.h>

/* Check a request and give it the form that the backends take: meta is a JSON object, every event
 * that names a correlation only in its meta carries it in `correlation` too.
 *
 * ret    the request itself, or a copy that lives as long as `arena` where something was filled in
 * arena  zeroed by the caller, who frees it when the append has been handed over
 *
 * CAIRN_E_INVALID, CAIRN_E_DENIED: the detail names write, event and field */
CAIRN_MUST_CHECK cairn_err request_prepare(const cairn_append_request *request,
                                           struct arena *arena, cairn_append_request *ret,
                                           cairn_error *error);

/* A query's pointers; its names are the backend's to check. `what` begins the sentence. */
CAIRN_MUST_CHECK cairn_err request_check_query(const cairn_query *query, const char *what,
                                               cairn_error *error);

/* A name that must be there: 1 to 512 bytes of UTF-8, or 544 where it begins with '$'. */
CAIRN_MUST_CHECK cairn_err request_check_name(cairn_str name, const char *what,
                                              cairn_error *error);

/* A stream that an outsider may change: a good name that does not begin with '$'. */
CAIRN_MUST_CHECK cairn_err request_check_own(cairn_str stream, cairn_error *error);

#endif
