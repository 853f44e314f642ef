/* HTTP/2 on a connection: nghttp2 keeps the protocol, this file turns streams into exchanges.
 *
 *   bytes ─► nghttp2 ─► HEADERS, DATA ─► exchange ─► handler ─► submit ─► DATA from x->out ─► connection
 *
 * What goes out waits in its stream (x->out) and is pulled into the connection only as far ahead as
 * AHEAD_MAX, so that many streams share a connection fairly and a slow peer holds its bytes in one place.
 * Peers that make work without purpose (opening and resetting streams, pings, settings, empty frames) use up
 * the connection's patience: points that come back with time. When none is left it ends with
 * ENHANCE_YOUR_CALM. Resets that the peer provokes from us count like its own.
 *
 * nghttp2 is never entered from its own callbacks except by nghttp2_submit_…, which only queue. */
#include <proto/http/http_int.h>

#include <base/text.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#define AHEAD_MAX ((size_t)131072) /* bytes in the connection's output before streams wait */
#define STREAM_WINDOW (256 << 10)
#define CONN_WINDOW (1 << 20)
#define PATIENCE_MAX 5000      /* points */
#define PATIENCE_PER_MS 1
#define RESET_COST 10
#define CONTROL_COST 2
#define SWEEP_MAX_MS 1000
#define FIELDS_MAX 32          /* of an answer */

struct h2 {
    nghttp2_session *session;
    int patience;
    uint64_t patience_ms; /* when points last came back */
    uint64_t sweep_ms;    /* when streams are next looked at for having stalled; 0: none need it */
    unsigned reading;     /* streams whose request has not ended */
    bool drain_due, ending;
};

static struct http_exchange *
exchange_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* ---- patience -------------------------------------------------------------------------------- */

static void
lose_patience(struct http_conn *c, int cost)
{
    struct h2 *h2 = c->h2;
    uint64_t now = net_now_ms(c->loop->net), passed = now - h2->patience_ms;
    h2->patience_ms = now;
    uint64_t more = passed < PATIENCE_MAX ? passed * PATIENCE_PER_MS : PATIENCE_MAX;
    h2->patience += (int)more;
    if (h2->patience > PATIENCE_MAX)
        h2->patience = PATIENCE_MAX;
    h2->patience -= cost;
    if (h2->patience < 0 && !h2->ending) {
        h2->ending = true;
        http_count(&c->loop->rejected);
        nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

/* ---- what comes in --------------------------------------------------------------------------- */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct http_exchange *x = exchange_new(c);
    if (!x)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    x->stream_id = frame->hd.stream_id;
    x->content_length = -1;
    x->body_since_ms = x->body_progress_ms = net_now_ms(c->loop->net);
    c->asked = true;
    c->h2->reading++;
    int failed = nghttp2_session_set_stream_user_data(session, x->stream_id, x);
    assert(!failed); /* the stream is open: nghttp2 has just said so */
    (void)failed;
    return 0;
}

static void
split_path(struct http_exchange *x, cairn_str path)
{
    const char *query = path.size ? memchr(path.data, '?', path.size) : NULL;
    x->path = path;
    if (query) {
        x->path.size = (size_t)(query - path.data);
        x->query = (cairn_str){query + 1, path.size - x->path.size - 1};
    }
}

static bool
take_field(struct http_exchange *x, cairn_str name, cairn_str value)
{
    name = arena_copy(&x->arena, name);
    value = arena_copy(&x->arena, value);
    if (!name.data || !value.data)
        return false;
    if (cairn_str_equal(name, CAIRN_STR(":method"))) {
        x->method = value;
        x->head_only = cairn_str_equal(value, CAIRN_STR("HEAD"));
        return true;
    }
    if (cairn_str_equal(name, CAIRN_STR(":path"))) {
        split_path(x, value);
        return true;
    }
    if (cairn_str_equal(name, CAIRN_STR(":authority")))
        return exchange_add_header(x, CAIRN_STR("host"), value);
    if (name.data[0] == ':')
        return true;
    if (cairn_str_equal(name, CAIRN_STR("content-length")))
        x->content_length = strtoll(value.data, NULL, 10); /* checked by nghttp2 */
    if (cairn_str_equal(name, CAIRN_STR("expect")))
        x->expects = true;
    if (cairn_str_equal(name, CAIRN_STR("host")))
        for (size_t i = 0; i < x->header_count; i++)
            if (cairn_str_equal(x->headers[i].name, name))
                return true; /* :authority says it already */
    return exchange_add_header(x, name, value);
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
          const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
    struct http_conn *c = user;
    struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
    (void)flags;
    if (!x || x->head_done || x->no_more_headers)
        return 0;
    x->header_bytes += name_size + value_size + 32; /* as RFC 9113 §6.5.2 counts */
    if (x->header_bytes > c->loop->server->config.header_max ||
        x->header_count >= c->loop->server->config.headers_max) {
        x->no_more_headers = true;
        return 0;
    }
    return take_field(x, (cairn_str){(const char *)name, name_size}, (cairn_str){(const char *)value, value_size})
               ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* The header block is complete. */
static void
end_head(struct http_conn *c, struct http_exchange *x, bool request_ends)
{
    x->head_done = true;
    if (x->no_more_headers)
        refuse_exchange(x, refuse_kind(431), "the header fields are too many or too long");
    else if (x->path.size + x->query.size + (x->query.data != NULL) > c->loop->server->limits.target_max)
        refuse_exchange(x, refuse_kind(414), "the request target is too long");
    else if (cairn_str_equal(x->method, CAIRN_STR("CONNECT")))
        refuse_exchange(x, refuse_kind(501), "CONNECT is for proxies, and this is none");
    else if (x->content_length > 0 && (uint64_t)x->content_length > c->loop->server->config.body_max)
        refuse_body(x, CAIRN_E_LIMIT);
    else if (x->expects && !request_ends) {
        nghttp2_nv status = {(uint8_t *)(uintptr_t)":status", (uint8_t *)(uintptr_t)"100", 7, 3,
                             NGHTTP2_NV_FLAG_NONE};
        nghttp2_submit_headers(c->h2->session, NGHTTP2_FLAG_NONE, x->stream_id, NULL, &status, 1, NULL);
    }
}

static void
end_request(struct http_conn *c, struct http_exchange *x)
{
    x->request_ended = true;
    c->h2->reading--;
    if (x->state == X_READING)
        exchange_dispatch(x);
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    uint8_t type = frame->hd.type;
    if (type == NGHTTP2_PING || type == NGHTTP2_SETTINGS || type == NGHTTP2_PRIORITY ||
        (type == NGHTTP2_DATA && frame->hd.length == 0 && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)))
        lose_patience(c, CONTROL_COST);
    if (type != NGHTTP2_HEADERS && type != NGHTTP2_DATA)
        return 0;
    struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
    if (!x)
        return 0;
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (type == NGHTTP2_HEADERS && !x->head_done)
        end_head(c, x, ends);
    if (ends)
        end_request(c, x);
    return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *bytes, size_t size, void *user)
{
    struct http_conn *c = user;
    struct http_exchange *x = exchange_of(session, stream_id);
    (void)flags;
    if (!x || x->state != X_READING)
        return 0; /* Answered early: the rest is dropped, for as long as a body may take. Resetting the stream
                   * at once would be allowed, but some clients then lose the answer (curl 7.88). */
    x->body_progress_ms = net_now_ms(c->loop->net);
    cairn_err err = exchange_add_body(x, (cairn_str){(const char *)bytes, size});
    if (err != CAIRN_OK)
        refuse_body(x, err);
    return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user)
{
    struct http_conn *c = user;
    struct http_exchange *x = exchange_of(session, stream_id);
    if (error_code != NGHTTP2_NO_ERROR)
        lose_patience(c, RESET_COST);
    c->quiet_ms = net_now_ms(c->loop->net);
    if (!x)
        return 0;
    nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    if (!x->request_ended)
        c->h2->reading--;
    c->stream_bytes -= x->out.size - x->out_start;
    buf_free(&x->out);
    x->out_start = 0;
    exchange_over(x, !(x->state == X_ANSWERED && x->out_ended && error_code == NGHTTP2_NO_ERROR));
    return 0;
}

/* ---- what goes out --------------------------------------------------------------------------- */

static size_t
out_left(const struct http_exchange *x)
{
    return x->out.size - x->out_start;
}

static ssize_t
read_out(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t size, uint32_t *ret_flags,
         nghttp2_data_source *source, void *user)
{
    struct http_conn *c = user;
    struct http_exchange *x = source->ptr;
    (void)session;
    (void)stream_id;
    size_t take = out_left(x) < size ? out_left(x) : size;
    if (take == 0 && !x->out_ended) {
        x->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (take) {
        memcpy(to, x->out.data + x->out_start, take);
        x->out_start += take;
        c->stream_bytes -= take;
        x->progress_ms = net_now_ms(c->loop->net);
    }
    if (out_left(x) == 0) {
        buf_free(&x->out);
        x->out_start = 0;
        if (x->out_ended)
            *ret_flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    if (x->want_drain && out_left(x) < c->loop->server->config.write_buffer_max / 2)
        c->h2->drain_due = true;
    return (ssize_t)take;
}

/* The session is over: what is still open is cut, and nghttp2 is not entered again. */
static void
end_session(struct http_conn *c)
{
    while (c->exchanges)
        exchange_over(c->exchanges, true);
    c->stream_bytes = 0;
    conn_linger(c);
}

/* Move frames into the connection, as far ahead as is useful. */
static void
pump(struct http_conn *c)
{
    struct h2 *h2 = c->h2;
    while (!c->closing && net_conn_is_open(c->net) && net_conn_unsent(c->net) < AHEAD_MAX) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(h2->session, &bytes);
        if (size < 0)
            conn_close(c);
        if (size <= 0)
            break;
        net_conn_put(c->net, (cairn_str){(const char *)bytes, (size_t)size});
    }
    if (c->closing)
        return;
    if (!nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session))
        end_session(c);
}

/* on_drain for those that wait for it: not from inside nghttp2. */
static void
tell_drained(struct http_conn *c)
{
    size_t half = c->loop->server->config.write_buffer_max / 2;
    if (!c->h2->drain_due)
        return;
    c->h2->drain_due = false;
    for (struct http_exchange *x = c->exchanges, *next; x; x = next) {
        next = x->next;
        if (x->want_drain && out_left(x) < half)
            exchange_drained(x);
    }
}

static void
h2_work(struct http_conn *c)
{
    if (c->lingering)
        return;
    pump(c);
    tell_drained(c);
    conn_account(c);
}

static bool
add_out(struct http_exchange *x, cairn_str bytes)
{
    if (bytes.size == 0)
        return true;
    if (out_left(x) == 0)
        x->progress_ms = net_now_ms(x->loop->net);
    if (x->out_start > x->out.size / 2) {
        memmove(x->out.data, x->out.data + x->out_start, out_left(x));
        x->out.size -= x->out_start;
        x->out_start = 0;
    }
    buf_put_str(&x->out, bytes);
    if (x->out.failed)
        return false;
    x->conn->stream_bytes += bytes.size;
    return true;
}

static nghttp2_nv
make_field(const char *name, size_t name_size, cairn_str value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value.data, name_size, value.size,
                        NGHTTP2_NV_FLAG_NONE};
}

/* CR, LF and NUL cannot stand in a value (RFC 9113 §8.2.1): they become blanks, as in HTTP/1.1. */
static cairn_str
clean_value(struct http_exchange *x, cairn_str value)
{
    size_t i = 0;
    while (i < value.size && value.data[i] != '\r' && value.data[i] != '\n' && value.data[i] != '\0')
        i++;
    if (i == value.size)
        return value;
    cairn_str copy = arena_copy(&x->arena, value);
    if (!copy.data)
        return CAIRN_STR("");
    for (char *at = (char *)(uintptr_t)copy.data + i, *end = at + (value.size - i); at < end; at++)
        if (*at == '\r' || *at == '\n' || *at == '\0')
            *at = ' ';
    return copy;
}

/* content_length: -1 when it is not known or must not be said. */
static void
submit(struct http_exchange *x, int status, const struct http_field *fields, size_t field_count,
       int64_t content_length, bool with_body)
{
    struct http_conn *c = x->conn;
    nghttp2_nv nv[FIELDS_MAX + 3];
    char status_text[12], length_text[24];
    size_t count = 0;
    assert(field_count <= FIELDS_MAX);
    int size = snprintf(status_text, sizeof status_text, "%d", status);
    nv[count++] = make_field(":status", 7, (cairn_str){status_text, (size_t)size});
    for (size_t i = 0; i < field_count; i++)
        nv[count++] = make_field(fields[i].name, strlen(fields[i].name), clean_value(x, fields[i].value));
    if (content_length >= 0) {
        size = snprintf(length_text, sizeof length_text, "%lld", (long long)content_length);
        nv[count++] = make_field("content-length", 14, (cairn_str){length_text, (size_t)size});
    }
    nv[count++] = make_field("date", 4, (cairn_str){loop_date(c->loop), HTTP_DATE_SIZE});
    nghttp2_data_provider provider = {.source.ptr = x, .read_callback = read_out};
    if (nghttp2_submit_response(c->h2->session, x->stream_id, nv, count, with_body ? &provider : NULL) != 0)
        nghttp2_submit_rst_stream(c->h2->session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_INTERNAL_ERROR);
    conn_wake(c);
}

static void
h2_respond(struct http_exchange *x, int status, const struct http_field *fields, size_t field_count, cairn_str body)
{
    bool bodiless = is_bodiless(status);
    bool with_body = !bodiless && !x->head_only && body.size > 0;
    int64_t length = bodiless ? -1 : (int64_t)body.size;
    x->out_ended = true;
    if (with_body && !add_out(x, body)) {
        nghttp2_submit_rst_stream(x->conn->h2->session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_INTERNAL_ERROR);
        conn_wake(x->conn);
        return;
    }
    submit(x, status, fields, field_count, length, with_body);
}

static void
h2_begin(struct http_exchange *x, int status, const struct http_field *fields, size_t field_count)
{
    bool with_body = !is_bodiless(status) && !x->head_only;
    x->out_ended = !with_body;
    submit(x, status, fields, field_count, -1, with_body);
}

static void
go_on(struct http_exchange *x)
{
    if (x->deferred) {
        x->deferred = false;
        nghttp2_session_resume_data(x->conn->h2->session, x->stream_id);
    }
    conn_wake(x->conn);
}

static bool
h2_write(struct http_exchange *x, cairn_str bytes)
{
    if (x->out_ended)
        return false;
    if (!add_out(x, bytes)) {
        nghttp2_submit_rst_stream(x->conn->h2->session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_INTERNAL_ERROR);
        conn_wake(x->conn);
        return false;
    }
    go_on(x);
    return out_left(x) <= x->loop->server->config.write_buffer_max;
}

static void
h2_end(struct http_exchange *x)
{
    x->out_ended = true;
    go_on(x);
}

/* ---- life ------------------------------------------------------------------------------------ */

static nghttp2_session_callbacks *
make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    return callbacks;
}

static nghttp2_session *
make_session(struct http_conn *c)
{
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;
    if (callbacks && nghttp2_option_new(&option) == 0) {
        nghttp2_option_set_no_closed_streams(option, 1); /* no memory for priorities nobody uses */
        nghttp2_option_set_max_send_header_block_length(option, 65536);
        if (nghttp2_session_server_new2(&session, callbacks, c, option) != 0)
            session = NULL;
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

static bool
submit_settings(struct http_conn *c)
{
    const struct http_config *config = &c->loop->server->config;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)config->header_max},
    };
    return nghttp2_submit_settings(c->h2->session, NGHTTP2_FLAG_NONE, settings, 3) == 0 &&
           nghttp2_session_set_local_window_size(c->h2->session, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW) == 0;
}

/* Make the session; c->h2 is NULL when it cannot be. */
static void
make_h2(struct http_conn *c)
{
    struct h2 *h2 = calloc(1, sizeof *h2);
    if (!h2)
        return;
    c->h2 = h2;
    h2->patience = PATIENCE_MAX;
    h2->patience_ms = net_now_ms(c->loop->net);
    h2->session = make_session(c);
    if (h2->session && submit_settings(c))
        return;
    nghttp2_session_del(h2->session);
    free(h2);
    c->h2 = NULL;
}

bool
h2_start(struct http_conn *c)
{
    make_h2(c);
    if (!c->h2) {
        conn_close(c);
        return false;
    }
    c->protocol = &h2_protocol;
    return true;
}

bool
h2_upgrade(struct http_conn *c, struct http_exchange *x, cairn_str settings, bool head_request)
{
    uint8_t payload[256];
    struct buf decoded = {0};
    bool good = base64_get(&decoded, settings) && decoded.size <= sizeof payload && decoded.size % 6 == 0;
    if (good && decoded.size)
        memcpy(payload, decoded.data, decoded.size);
    size_t size = decoded.size;
    buf_free(&decoded);
    if (!good)
        return false;
    make_h2(c);
    if (!c->h2)
        return false;
    if (nghttp2_session_upgrade2(c->h2->session, payload, size, head_request, x) != 0) {
        nghttp2_session_del(c->h2->session);
        free(c->h2);
        c->h2 = NULL;
        return false;
    }
    net_conn_put(c->net, CAIRN_STR("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"));
    c->protocol = &h2_protocol;
    x->stream_id = 1;
    x->content_length = -1;
    x->head_done = x->request_ended = true;
    exchange_dispatch(x);
    conn_wake(c);
    return true;
}

static void
h2_input(struct http_conn *c, cairn_str bytes)
{
    c->quiet_ms = net_now_ms(c->loop->net);
    ssize_t used = nghttp2_session_mem_recv(c->h2->session, (const uint8_t *)bytes.data, bytes.size);
    if (used < 0) {
        http_count(&c->loop->rejected);
        pump(c); /* the GOAWAY that says why, where there is one */
        end_session(c);
        return;
    }
    h2_work(c);
}

static void
h2_eof(struct http_conn *c)
{
    conn_close(c);
}

static uint64_t
h2_deadline(struct http_conn *c)
{
    const struct http_config *config = &c->loop->server->config;
    if (!c->exchanges) {
        c->h2->sweep_ms = 0;
        return c->quiet_ms + (c->asked ? config->idle_timeout_ms : config->header_timeout_ms);
    }
    /* Streams need looking at while a body is on its way in or bytes are on their way out. */
    if (c->h2->sweep_ms == 0 && (c->stream_bytes || c->h2->reading)) {
        unsigned least = config->body_timeout_ms < config->write_timeout_ms ? config->body_timeout_ms
                                                                             : config->write_timeout_ms;
        unsigned period = least / 4 < SWEEP_MAX_MS ? least / 4 : SWEEP_MAX_MS;
        c->h2->sweep_ms = net_now_ms(c->loop->net) + (period ? period : 1);
    }
    return c->h2->sweep_ms;
}

static bool
has_stalled(const struct http_exchange *x, uint64_t now)
{
    const struct http_config *config = &x->loop->server->config;
    if (out_left(x) && x->progress_ms + config->write_timeout_ms <= now)
        return true;
    uint64_t whole = x->body_since_ms + config->body_timeout_ms + x->body.size / HTTP_BODY_RATE;
    uint64_t pause = x->body_progress_ms + config->body_timeout_ms;
    return !x->request_ended && (whole < pause ? whole : pause) <= now;
}

static void
h2_expired(struct http_conn *c)
{
    struct h2 *h2 = c->h2;
    uint64_t now = net_now_ms(c->loop->net);
    if (!c->exchanges) {
        nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
        pump(c);
        return;
    }
    h2->sweep_ms = 0;
    for (struct http_exchange *x = c->exchanges, *next; x; x = next) {
        next = x->next;
        if (!has_stalled(x, now))
            continue;
        if (x->state == X_READING && x->head_done) {
            x->body_since_ms = x->body_progress_ms = now; /* time for the answer to be read */
            refuse_exchange(x, &refuse_timeout, "the body did not arrive in time");
        } else {
            bool answered = x->out_ended && out_left(x) == 0;
            http_count(&c->loop->rejected);
            nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, x->stream_id,
                                      answered ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
        }
    }
    h2_work(c);
}

static void
h2_flushed(struct http_conn *c)
{
    h2_work(c);
}

static void
h2_stop(struct http_conn *c)
{
    nghttp2_session *session = c->h2->session;
    for (struct http_exchange *x = c->exchanges, *next; x; x = next) {
        next = x->next;
        if (x->state == X_STREAMING && x->event_stream)
            http_end(x);
    }
    nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session),
                          NGHTTP2_NO_ERROR, NULL, 0);
    h2_work(c);
}

static void
h2_free(struct http_conn *c)
{
    if (!c->h2)
        return;
    nghttp2_session_del(c->h2->session);
    free(c->h2);
}

const struct http_protocol h2_protocol = {
    .input = h2_input,
    .eof = h2_eof,
    .work = h2_work,
    .flushed = h2_flushed,
    .deadline = h2_deadline,
    .expired = h2_expired,
    .stop = h2_stop,
    .free = h2_free,
    .respond = h2_respond,
    .begin = h2_begin,
    .write = h2_write,
    .end = h2_end,
};
