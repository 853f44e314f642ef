/* A call: its memory, its handler, its answer. See kafka_int.h for what handlers rely on.
 *
 * The answer is encoded on the thread that gives it; from another than the loop's own, done_node brings the call back. A call
 * whose end comes while post_node is still on its way is kept until that has arrived, so that the node never points at what is
 * gone. */
#include <proto/kafka/conn_int.h>

#include <assert.h>
#include <os/os.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TELL_MAX 512 /* bytes of a line for the log */

/* ---- memory ---------------------------------------------------------------------------------------------------------------- */

/* The budget of all requests. A frame is given its room whole, or it waits for it with what the last read has brought, which is
 * not counted; so whoever has been let in can be read to the end, and room comes back. */
static void
charge(struct kafka_call *call, size_t bytes)
{
    struct kafka_conn *c = call->conn;
    call->charged_bytes += bytes;
    c->request_bytes += bytes;
    atomic_fetch_add_explicit(&c->loop->server->request_bytes, bytes, memory_order_relaxed);
}

bool
call_reserve(struct kafka_call *call)
{
    struct kafka_server *server = call->server;
    size_t size = call->frame_size;
    if (call->charged_bytes)
        return true;
    size_t others = atomic_fetch_add_explicit(&server->request_bytes, size, memory_order_relaxed);
    if (others > 0 && others + size > server->config.requests_max) { /* alone, it may be larger than the budget */
        atomic_fetch_sub_explicit(&server->request_bytes, size, memory_order_relaxed);
        return false;
    }
    call->charged_bytes = size;
    call->conn->request_bytes += size;
    return true;
}

static void
free_call(struct kafka_call *call)
{
    arena_free(&call->arena);
    kafka_out_free(&call->out);
    free(call->frame);
    free(call->body);
    free(call);
}

/* Rooms of large requests go from one request to the next, the last one first, which the processor still has in its cache. */
static void
keep_frame(struct kafka_loop *loop, struct kafka_call *call)
{
    if (loop->frame_count < FRAMES_KEPT && call->frame_room <= FRAME_KEPT_MAX)
        loop->frames[loop->frame_count++] = (struct frame_room){call->frame, call->frame_room};
    else
        free(call->frame);
    call->frame = NULL;
    call->frame_room = 0;
}

static void
take_kept_frame(struct kafka_loop *loop, struct kafka_call *call)
{
    if (loop->frame_count == 0)
        return;
    struct frame_room kept = loop->frames[--loop->frame_count];
    if (loop->frames_unused > loop->frame_count)
        loop->frames_unused = loop->frame_count;
    free(call->frame);
    call->frame = kept.bytes;
    call->frame_room = kept.size;
}

void
call_trim_frames(struct kafka_loop *loop)
{
    if (net_now_ms(loop->net) - loop->frames_ms < FRAMES_REST_MS)
        return;
    loop->frames_ms = net_now_ms(loop->net);
    for (; loop->frames_unused > 0; loop->frames_unused--)
        free(loop->frames[--loop->frame_count].bytes);
    loop->frames_unused = loop->frame_count;
}

void
call_free_spares(struct kafka_loop *loop)
{
    while (loop->frame_count > 0)
        free(loop->frames[--loop->frame_count].bytes);
    loop->frames_unused = 0;
    for (struct kafka_call *call = loop->spare, *next; call; call = next) {
        next = call->next;
        free_call(call);
    }
    loop->spare = NULL;
    loop->spare_count = 0;
}

struct kafka_call *
call_new(struct kafka_conn *c, size_t frame_size)
{
    struct kafka_loop *loop = c->loop;
    struct kafka_call *call = loop->spare;
    if (call) {
        loop->spare = call->next;
        loop->spare_count--;
        call->next = NULL;
    } else {
        call = calloc(1, sizeof *call);
        if (!call)
            return NULL;
    }
    call->conn = c;
    call->server = loop->server;
    call->session = &c->session;
    call->stage = CALL_READING;
    call->frame_size = frame_size;
    if (frame_size > call->frame_room && frame_size > CALL_KEEP_BYTES)
        take_kept_frame(loop, call);
    net_loop_hold(loop->net);
    return call;
}

/* Back to the loop's spares, with what memory is usual and no more. */
static void
recycle(struct kafka_loop *loop, struct kafka_call *call)
{
    if (call->frame_room > CALL_KEEP_BYTES)
        keep_frame(loop, call);
    if (loop->spare_count == CALL_SPARES) {
        free_call(call);
        return;
    }
    struct kafka_call kept = {.arena = call->arena, .out = call->out, .frame = call->frame, .frame_room = call->frame_room,
                              .body = call->body, .body_room = call->body_room};
    arena_reset(&kept.arena);
    if (kept.arena.used_bytes > CALL_KEEP_BYTES)
        arena_free(&kept.arena);
    kept.arena.size_max = 0;
    kafka_out_clear(&kept.out);
    if (kept.out.bytes.capacity > CALL_KEEP_BYTES || kept.out.gaps.capacity > CALL_KEEP_BYTES)
        kafka_out_free(&kept.out);
    memcpy(call, &kept, sizeof kept);
    call->next = loop->spare;
    loop->spare = call;
    loop->spare_count++;
}

void
call_end(struct kafka_call *call)
{
    struct kafka_conn *c = call->conn;
    struct kafka_loop *loop = c->loop;
    assert(call->stage != CALL_ENDED);
    call->stage = CALL_ENDED;
    net_timer_clear(loop->net, &call->timer);
    if (call->on_end)
        call->on_end(call);
    c->request_bytes -= call->charged_bytes;
    atomic_fetch_sub_explicit(&loop->server->request_bytes, call->charged_bytes, memory_order_relaxed);
    net_loop_release(loop->net);
    if (!atomic_load_explicit(&call->posted, memory_order_acquire))
        recycle(loop, call);
}

/* Beyond the usual sizes, grow with the bytes that come, not with what the frame says it will be. */
static bool
grow_frame(struct kafka_call *call, size_t more)
{
    size_t need = call->frame_have + more, room = call->frame_room * 2;
    if (need <= call->frame_room)
        return true;
    if (room < need)
        room = need;
    if (room < FRAME_USUAL)
        room = FRAME_USUAL;
    if (room > call->frame_size)
        room = call->frame_size;
    if (room > CALL_KEEP_BYTES)
        room = (room + FRAME_STEP - 1) / FRAME_STEP * FRAME_STEP;
    char *frame = realloc(call->frame, room);
    if (!frame)
        return false;
    call->frame = frame;
    call->frame_room = room;
    return true;
}

char *
call_room(struct kafka_call *call, size_t *ret_size)
{
    size_t missing = call->frame_size - call->frame_have;
    if (missing < FRAME_STEP || !grow_frame(call, FRAME_STEP))
        return NULL;
    size_t room = call->frame_room - call->frame_have;
    *ret_size = room < missing ? room : missing;
    return call->frame + call->frame_have;
}

bool
call_add(struct kafka_call *call, cairn_str *bytes)
{
    size_t missing = call->frame_size - call->frame_have;
    size_t size = bytes->size < missing ? bytes->size : missing;
    if (!grow_frame(call, size))
        return false;
    if (bytes->data != call->frame + call->frame_have) /* otherwise it was read to its place: call_room() */
        memcpy(call->frame + call->frame_have, bytes->data, size);
    call->frame_have += size;
    bytes->data += size;
    bytes->size -= size;
    return true;
}

/* ---- what is asked ----------------------------------------------------------------------------------------------------------- */

static void
refuse_malformed(struct kafka_call *call)
{
    kafka_refuse(call, "the request's header is malformed");
}

static void
refuse_key(struct kafka_call *call)
{
    kafka_refuse(call, "no such call is served here");
}

static void
refuse_version(struct kafka_call *call)
{
    kafka_refuse(call, "the call is not served in this version");
}

/* The client knows newer versions of the very question. It is told, in the oldest form, which of them there are. */
static void
answer_old_versions(struct kafka_call *call)
{
    struct kafka_api_versions_response out;
    struct kafka_api_versions_response_api_key key = {call->message->key, call->message->advertised, call->message->last};
    KAFKA_DEFAULTS(api_versions_response, &out);
    out.error_code = KAFKA_UNSUPPORTED_VERSION;
    out.api_keys = &key;
    out.api_keys_count = 1;
    call->version = 0;
    kafka_respond(call, &out);
}

static const struct kafka_handler malformed = {refuse_malformed, KAFKA_BEFORE_LOGIN}, no_key = {refuse_key, KAFKA_BEFORE_LOGIN},
                                  no_version = {refuse_version, KAFKA_BEFORE_LOGIN},
                                  old_versions = {answer_old_versions, KAFKA_BEFORE_LOGIN};

void
call_queue(struct kafka_call *call)
{
    struct kafka_header header;
    struct kafka_fault fault;
    enum kafka_header_result result =
        kafka_read_header((cairn_str){call->frame, call->frame_size}, &header, &fault);
    if (!call->charged_bytes)
        charge(call, call->frame_size);
    call->stage = CALL_QUEUED;
    call->correlation = header.correlation;
    call->version = header.version;
    call->client_id = header.client_id;
    call->has_client_id = header.has_client_id;
    call->body_at = header.size;
    call->message = kafka_message_of(header.key);
    if (result == KAFKA_HEADER_VERSION && header.key == KAFKA_API_API_VERSIONS)
        call->handler = &old_versions;
    else if (result != KAFKA_HEADER_FINE)
        call->handler = result == KAFKA_HEADER_MALFORMED ? &malformed : result == KAFKA_HEADER_KEY ? &no_key : &no_version;
    else
        call->handler = &call->server->config.calls->handlers[header.key];
    if (!call->handler->run)
        call->handler = &no_key;
}

/* ---- beginning ----------------------------------------------------------------------------------------------------------------- */

/* NULL, or why the request cannot be handed over. */
static const char *
decode(struct kafka_call *call)
{
    const struct kafka_struct *table = call->message->request;
    struct kafka_fault fault;
    if (call->body_room < table->size) {
        free(call->body);
        call->body_room = 0;
        call->body = malloc(table->size);
        if (!call->body)
            return "out of memory";
        call->body_room = table->size;
    }
    size_t most = ((size_t)1 << 20) + 16 * call->frame_size;
    call->arena.size_max = most < KAFKA_ARENA_MAX ? most : KAFKA_ARENA_MAX;
    cairn_err err = kafka_read((cairn_str){call->frame + call->body_at, call->frame_size - call->body_at}, table, call->version,
                               kafka_is_flexible(call->message, call->version), &call->arena, call->body, NULL, &fault);
    charge(call, call->arena.used_bytes);
    call->arena.size_max = KAFKA_ARENA_MAX;
    call->request = call->body;
    if (err == CAIRN_OK)
        return NULL;
    char text[160];
    snprintf(text, sizeof text, "%s %d cannot be read: %s%s%s", call->message->name, call->version,
             fault.what ? fault.what : "its lists take too much memory", fault.where && *fault.where ? " at " : "",
             fault.where ? fault.where : "");
    cairn_str why = arena_copy(&call->arena, cairn_cstr(text));
    return why.data ? why.data : "the request cannot be read";
}

static void
run_on_pool(void *context)
{
    struct kafka_call *call = context;
    call->step(call);
}

bool
kafka_work(struct kafka_call *call, void (*step)(struct kafka_call *call))
{
    call->step = step;
    return net_pool_run(call->server->pool, call->conn->loop->net, run_on_pool, NULL, call); /* behind the step the call may be gone */
}

void
kafka_alone(struct kafka_call *call)
{
    call->conn->begun_flags &= ~(unsigned)KAFKA_PIPELINED;
}

static const char *
reason_to_refuse(struct kafka_call *call)
{
    const struct kafka_session *session = call->session;
    if (call->handler->flags & KAFKA_BEFORE_LOGIN)
        return NULL;
    if (!session->logged_in)
        return "it has to log in first";
    if (session->expires_ms && session->expires_ms < kafka_now_ms())
        return "its login has expired";
    return NULL;
}

static void
look_again(void *context)
{
    struct kafka_call *call = context;
    kafka_conn_advance(call->conn);
}

/* Where the store takes no more for now the client waits, as with Kafka: a refusal would come between batches that it has under way,
 * and those behind would overtake the one that is sent again. */
static bool
has_room(struct kafka_call *call)
{
    struct net_loop *net = call->conn->loop->net;
    const struct kafka_calls *calls = call->server->config.calls;
    uint64_t now_ms = net_now_ms(net);
    bool waited = call->crowded_ms && now_ms - call->crowded_ms >= ROOM_WAIT_MAX_MS;
    if (!(call->handler->flags & KAFKA_NEEDS_ROOM) || !calls->has_room || waited || calls->has_room(call->server)) {
        net_timer_clear(net, &call->timer);
        return true;
    }
    if (call->crowded_ms == 0)
        call->crowded_ms = now_ms;
    call->timer.fn = look_again;
    call->timer.context = call;
    net_timer_set(net, &call->timer, now_ms + ROOM_LOOK_MS);
    return false;
}

bool
call_begin(struct kafka_call *call)
{
    struct kafka_loop *loop = call->conn->loop;
    bool ours = call->handler == &malformed || call->handler == &no_key || call->handler == &no_version ||
                call->handler == &old_versions;
    const char *why = ours ? NULL : reason_to_refuse(call);
    if (!ours && !why && !call->request)
        why = decode(call);
    if (why) {
        call->stage = CALL_BEGUN;
        kafka_refuse(call, why);
        return true;
    }
    if (!has_room(call))
        return false;
    bool work = call->handler->flags & KAFKA_WORK;
    call->stage = CALL_BEGUN; /* before the pool has it */
    if (work && !kafka_work(call, call->handler->run)) {
        call->stage = CALL_QUEUED;
        return false;
    }
    if (!ours)
        kafka_count(&loop->calls[call->message->key]);
    if (!work)
        call->handler->run(call);
    return true;
}

/* ---- answering --------------------------------------------------------------------------------------------------------------------- */

static void
end_turn(struct kafka_call *call)
{
    struct kafka_conn *c = call->conn;
    assert(call->stage == CALL_BEGUN);
    call->stage = CALL_ANSWERED;
    c->begun_count--;
    net_timer_clear(c->loop->net, &call->timer);
    call->timeout = NULL;
}

static void
done_here(void *context)
{
    struct kafka_call *call = context;
    end_turn(call);
    kafka_conn_advance(call->conn);
}

/* On the loop's thread who answers may be deep in another connection's call, with locks held (an append that needs a new segment
 * commits what is under way): no other call begins there. */
static void
done(struct kafka_call *call)
{
    struct net_loop *net = call->conn->loop->net;
    if (net_loop_is_here(net)) {
        end_turn(call);
        kafka_conn_advance_soon(call->conn);
        return;
    }
    call->done_node = (struct net_post_node){NULL, done_here, call};
    net_post(net, &call->done_node); /* refused: the loop has stopped, and the server gave up waiting for this call */
}

void
kafka_respond(struct kafka_call *call, const void *response)
{
    if (!kafka_is_gone(call)) {
        cairn_err err = kafka_write_response(&call->out, call->message, call->version, call->correlation, response);
        if (err != CAIRN_OK) {
            kafka_out_clear(&call->out);
            call->silent = true;
            call->refused = err == CAIRN_E_LIMIT ? "the answer is too long for the wire" : "out of memory";
        }
    } else {
        call->silent = true;
    }
    done(call);
}

void
kafka_finish(struct kafka_call *call)
{
    call->silent = true;
    done(call);
}

void
kafka_refuse(struct kafka_call *call, const char *why)
{
    call->silent = true;
    call->refused = why;
    done(call);
}

void
kafka_tell(struct kafka_call *call, const char *format, ...)
{
    va_list args;
    char *text = arena_alloc(&call->arena, TELL_MAX);
    if (!text)
        return; /* the answer says it too */
    va_start(args, format);
    vsnprintf(text, TELL_MAX, format, args);
    va_end(args);
    call->tell = text;
}

void
kafka_no_memory(struct kafka_call *call)
{
    kafka_refuse(call, "out of memory");
}

/* ---- what handlers ask ---------------------------------------------------------------------------------------------------------------- */

void *
kafka_list(struct kafka_call *call, const struct kafka_struct *table, size_t count)
{
    if (count > KAFKA_ARENA_MAX / table->size)
        return NULL;
    char *items = arena_alloc(&call->arena, count * table->size);
    for (size_t i = 0; items && i < count; i++)
        kafka_defaults(table, items + i * table->size);
    return items;
}

static void
posted_here(void *context)
{
    struct kafka_call *call = context;
    atomic_store_explicit(&call->posted, false, memory_order_relaxed);
    if (call->stage == CALL_BEGUN)
        call->posted_step(call);
    else if (call->stage == CALL_ENDED)
        free_call(call);
}

void
kafka_post(struct kafka_call *call, void (*step)(struct kafka_call *call))
{
    bool was = atomic_exchange_explicit(&call->posted, true, memory_order_acq_rel);
    assert(!was);
    (void)was;
    call->posted_step = step;
    call->post_node = (struct net_post_node){NULL, posted_here, call};
    net_post(call->conn->loop->net, &call->post_node);
}

static void
time_is_up(void *context)
{
    struct kafka_call *call = context;
    void (*timeout)(struct kafka_call *) = call->timeout;
    call->timeout = NULL;
    if (timeout && call->stage == CALL_BEGUN)
        timeout(call);
}

void
kafka_wait(struct kafka_call *call, unsigned delay_ms, void (*timeout)(struct kafka_call *call))
{
    struct net_loop *net = call->conn->loop->net;
    assert(net_loop_is_here(net));
    call->timeout = delay_ms ? timeout : NULL;
    if (!delay_ms) {
        net_timer_clear(net, &call->timer);
        return;
    }
    if (kafka_stopping(call->conn->loop))
        delay_ms = 1;
    call->timer.fn = time_is_up;
    call->timer.context = call;
    net_timer_set(net, &call->timer, net_now_ms(net) + delay_ms);
}

uint64_t
kafka_request_bytes(const struct kafka_call *call)
{
    return sizeof(int32_t) + call->frame_size;
}

bool
kafka_is_gone(const struct kafka_call *call)
{
    return atomic_load_explicit(&call->conn->gone, memory_order_relaxed);
}

void
kafka_advertised(const struct kafka_call *call, cairn_str *ret_host, int32_t *ret_port)
{
    const struct kafka_config *config = &call->server->config;
    *ret_host = cairn_cstr(config->advertised_host ? config->advertised_host : call->conn->host);
    *ret_port = config->advertised_port ? config->advertised_port : call->conn->port;
}

int64_t
kafka_now_ms(void)
{
    return os_monotonic_us(os_real()) / 1000;
}
