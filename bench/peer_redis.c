/* peer_redis.c: Redis Streams with appendonly yes, appendfsync always; hiredis over a Unix socket.
 *
 * One event is one XADD; several are MULTI, XADDs, EXEC sent at once, so that they too are all or nothing.
 * run.sh starts the server and says where: BENCH_REDIS_SOCKET, BENCH_REDIS_PID. */
#include "bench.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CLIENTS_MAX 64
#define EVENTS_MAX 100

struct connection {
    redisContext *redis;
    char stream[24];
    char *one, *many; /* commands as they go over the wire */
    int one_size, many_size;
    unsigned many_events;
    unsigned replies_due;
};

static struct {
    struct connection connections[CLIENTS_MAX];
    void *pointers[CLIENTS_MAX];
    pid_t server;
} state;

static int
format_add(const struct connection *connection, char **ret)
{
    return redisFormatCommand(ret, "XADD %s * type %s data %b", connection->stream, "OrderPlaced",
                              event_data(), (size_t)DATA_SIZE);
}

static bool
format_many(struct connection *connection, unsigned events)
{
    static const char multi[] = "*1\r\n$5\r\nMULTI\r\n", exec[] = "*1\r\n$4\r\nEXEC\r\n";
    size_t size = sizeof multi - 1 + sizeof exec - 1 + events * (size_t)connection->one_size;
    free(connection->many);
    char *at = connection->many = malloc(size);
    if (at == NULL)
        return false;
    at = mempcpy(at, multi, sizeof multi - 1);
    for (unsigned i = 0; i < events; i++)
        at = mempcpy(at, connection->one, (size_t)connection->one_size);
    memcpy(at, exec, sizeof exec - 1);
    connection->many_size = (int)size;
    connection->many_events = events;
    return true;
}

static bool
send_append(void *pointer, const struct shape *shape)
{
    struct connection *connection = pointer;
    bool one = shape->events == 1;
    if (!one && connection->many_events != shape->events && !format_many(connection, shape->events))
        return false;
    const char *at = one ? connection->one : connection->many;
    size_t left = (size_t)(one ? connection->one_size : connection->many_size);
    connection->replies_due = one ? 1 : shape->events + 2;
    while (left > 0) {
        ssize_t sent = send(connection->redis->fd, at, left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0) {
            failure("Redis: send: %s", strerror(errno));
            return false;
        }
        at += sent;
        left -= (size_t)sent;
    }
    return true;
}

static int
receive(void *pointer)
{
    struct connection *connection = pointer;
    if (redisBufferRead(connection->redis) != REDIS_OK) {
        failure("Redis: %s", connection->redis->errstr);
        return -1;
    }
    while (connection->replies_due > 0) {
        redisReply *reply = NULL;
        if (redisGetReplyFromReader(connection->redis, (void **)&reply) != REDIS_OK) {
            failure("Redis: %s", connection->redis->errstr);
            return -1;
        }
        if (reply == NULL)
            return 0;
        bool refused = reply->type == REDIS_REPLY_ERROR || reply->type == REDIS_REPLY_NIL;
        if (refused)
            failure("Redis: %s",
                    reply->type == REDIS_REPLY_ERROR ? reply->str : "transaction aborted");
        freeReplyObject(reply);
        if (refused)
            return -1;
        connection->replies_due--;
    }
    return 1;
}

static int
descriptor(void *pointer)
{
    return ((struct connection *)pointer)->redis->fd;
}

static const struct wire wire = {send_append, receive, descriptor};

static bool
setting_is(redisContext *redis, const char *name, const char *wanted)
{
    redisReply *reply = redisCommand(redis, "CONFIG GET %s", name);
    bool same = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2
                && strcmp(reply->element[1]->str, wanted) == 0;
    if (reply != NULL)
        freeReplyObject(reply);
    return same;
}

static bool
redis_open(struct contender *self, const struct settings *settings)
{
    (void)settings;
    const char *socket_path = getenv("BENCH_REDIS_SOCKET"), *pid = getenv("BENCH_REDIS_PID");
    if (socket_path == NULL || pid == NULL) {
        remark("%s: LEFT OUT, no server was started (see above)", self->label);
        return false;
    }
    state.server = (pid_t)atoi(pid);
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct connection *connection = &state.connections[i];
        connection->redis = redisConnectUnix(socket_path);
        if (connection->redis == NULL || connection->redis->err) {
            failure("%s: cannot connect to %s", self->label, socket_path);
            return false;
        }
        snprintf(connection->stream, sizeof connection->stream, "c%u-1", i);
        connection->one_size = format_add(connection, &connection->one);
        state.pointers[i] = connection;
    }
    redisContext *first = state.connections[0].redis;
    if (!setting_is(first, "appendonly", "yes") || !setting_is(first, "appendfsync", "always")) {
        failure("%s: the server does not run with appendonly yes, appendfsync always", self->label);
        return false;
    }
    return true;
}

static bool
redis_run(struct contender *self, const struct shape *shape, struct sample *ret)
{
    (void)self;
    if (shape->clients > CLIENTS_MAX || shape->events > EVENTS_MAX)
        return false;
    return load_run(&wire, state.pointers, shape, state.server, ret);
}

static void
redis_close(struct contender *self)
{
    (void)self;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct connection *connection = &state.connections[i];
        if (connection->redis != NULL)
            redisFree(connection->redis);
        redisFreeCommand(connection->one);
        free(connection->many);
    }
}

struct contender REDIS = {.key = "redis",
                          .label = "Redis Streams, appendfsync always",
                          .open = redis_open,
                          .run = redis_run,
                          .close = redis_close};
