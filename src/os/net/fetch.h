/* os/net/fetch.h: one HTTP request at a time to somebody else's server, blocking; on libcurl.
 *
 * Only http and https, certificates checked, no redirects, no cookies, no proxies from the environment; the reply is bounded;
 * a timeout covers the whole of it. Connections are kept for the next request to the same host.
 *
 * Threads: any number may fetch at once; each is given a connection of its own. */
#ifndef OS_NET_FETCH_H
#define OS_NET_FETCH_H

#include <base/bytes.h>

struct fetch;

CAIRN_MUST_CHECK cairn_err fetch_new(struct fetch **ret, cairn_error *error);
/* When no request is under way. */
void fetch_free(struct fetch *fetch);

/* POST a body. A cairn_post (cairn/app.h) whose context is the fetch.
 *
 * headers     "name: value" each
 * ret_status  the reply's; its body goes to the sink in pieces, at most reply_max bytes
 *
 * CAIRN_E_TIMEOUT  not over in time   CAIRN_E_IO  no connection, or it broke   CAIRN_E_LIMIT  the reply is too large
 * CAIRN_E_INVALID  the URL or a header */
CAIRN_MUST_CHECK cairn_err fetch_post(void *context, cairn_str url, const cairn_str *headers, size_t header_count,
                                      cairn_str body, uint32_t timeout_ms, size_t reply_max, int *ret_status,
                                      bool (*sink)(void *context, cairn_str bytes), void *sink_context,
                                      cairn_error *error);

#endif
