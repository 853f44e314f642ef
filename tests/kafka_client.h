/* tests/kafka_client.h: a client of Kafka's protocol for tests: a socket, and the tables the other way round.
 *
 *   struct kafka_client client = kafka_client_open(port);
 *   struct kafka_metadata_request ask = {0};
 *   const struct kafka_metadata_response *got = CLIENT_CALL(&client, METADATA, metadata, 12, &ask);
 *
 * What comes back is the client's until the next call or kafka_client_close(). */
#ifndef TESTS_KAFKA_CLIENT_H
#define TESTS_KAFKA_CLIENT_H

#include "test.h"

#include <proto/kafka/codec.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

struct kafka_client {
    int fd;
    int32_t correlation; /* of the last request */
    struct arena arena;
    struct buf answer; /* the last frame, without its size */
};

static inline int64_t
client_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Wait, at most ten seconds, until the condition holds. */
#define CLIENT_AWAIT(condition)                                   \
    do {                                                          \
        int64_t until_ = client_now_ms() + 10000;                 \
        while (!(condition)) {                                    \
            if (client_now_ms() > until_)                         \
                fail_msg("never became true: %s", #condition);    \
            poll(NULL, 0, 1);                                     \
        }                                                         \
    } while (0)

/* receive_bytes: what the kernel may hold for a client that does not read; 0: whatever it likes. */
static inline struct kafka_client
kafka_client_open_small(uint16_t port, int receive_bytes)
{
    struct kafka_client client = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    CHECK(client.fd >= 0);
    if (receive_bytes)
        setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    CHECK_INT(connect(client.fd, (struct sockaddr *)&to, sizeof to), 0);
    setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return client;
}

static inline struct kafka_client
kafka_client_open(uint16_t port)
{
    return kafka_client_open_small(port, 0);
}

static inline void
kafka_client_close(struct kafka_client *client)
{
    close(client->fd);
    arena_free(&client->arena);
    buf_free(&client->answer);
}

static inline void
kafka_client_send_bytes(struct kafka_client *client, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = send(client->fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            fail_msg("cannot send: %s", strerror(errno));
        at += sent;
        size -= (size_t)sent;
    }
}

/* Frame of a request; the caller's, buf_free(). */
static inline struct buf
kafka_client_frame(struct kafka_client *client, int16_t key, int16_t version, const void *request)
{
    struct kafka_out out = {0};
    const struct kafka_message *message = kafka_message_of(key);
    CHECK(message != NULL);
    CHECK_OK(kafka_write_request(&out, message, version, ++client->correlation, CAIRN_STR("test"), request));
    CHECK_INT(kafka_out_gaps(&out), 0);
    return out.bytes;
}

static inline int32_t
kafka_client_send(struct kafka_client *client, int16_t key, int16_t version, const void *request)
{
    struct buf frame = kafka_client_frame(client, key, version, request);
    kafka_client_send_bytes(client, frame.data, frame.size);
    buf_free(&frame);
    return client->correlation;
}

/* False: the server has closed the connection. Fails after ten seconds. */
static inline bool
kafka_client_read(struct kafka_client *client, void *to, size_t size)
{
    char *at = to;
    while (size > 0) {
        struct pollfd ready = {client->fd, POLLIN, 0};
        if (poll(&ready, 1, 10000) <= 0)
            fail_msg("no answer within ten seconds");
        ssize_t got = recv(client->fd, at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

/* The next answer; false: closed. It is in client->answer. */
static inline bool
kafka_client_take(struct kafka_client *client)
{
    uint32_t size;
    if (!kafka_client_read(client, &size, 4))
        return false;
    size = __builtin_bswap32(size);
    buf_clear(&client->answer);
    CHECK(size < (1u << 30) && buf_reserve(&client->answer, size));
    client->answer.size = size;
    return kafka_client_read(client, client->answer.data, size);
}

/* The next answer, which has to be of this message and request. */
static inline void *
kafka_client_answer(struct kafka_client *client, int16_t key, int16_t version, int32_t correlation)
{
    const struct kafka_message *message = kafka_message_of(key);
    struct kafka_fault fault;
    int32_t got;
    arena_reset(&client->arena);
    void *response = arena_alloc(&client->arena, message->response->size);
    if (!kafka_client_take(client))
        fail_msg("closed instead of an answer to %s %d", message->name, version);
    cairn_err err = kafka_read_response(buf_str(&client->answer), message, version, &client->arena, &got, response, &fault);
    if (err != CAIRN_OK)
        fail_msg("answer to %s %d: %s at %s", message->name, version, fault.what, fault.where);
    CHECK_INT(got, correlation);
    return response;
}

static inline void *
kafka_client_call(struct kafka_client *client, int16_t key, int16_t version, const void *request)
{
    return kafka_client_answer(client, key, version, kafka_client_send(client, key, version, request));
}
#define CLIENT_CALL(client, KEY, name, version, request) \
    ((struct kafka_##name##_response *)kafka_client_call(client, KAFKA_API_##KEY, version, request))

/* The server closes without another byte. */
static inline bool
kafka_client_is_closed(struct kafka_client *client)
{
    char byte;
    return !kafka_client_read(client, &byte, 1);
}

#endif
