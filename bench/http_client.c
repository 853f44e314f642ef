/* http_client.c: the least of HTTP/1.1 that a load generator needs: keep-alive, one request at a time,
 * answers with a content-length. Requests are prepared once and sent as they are. */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_connection {
    int fd;
    char *request;
    size_t request_size;
    char *counter; /* digits of the idempotency key, in the request; or NULL */
    char answer[16384];
    size_t have;
};

static int
connect_to(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

struct http_connection *
http_connect(unsigned port)
{
    struct http_connection *connection = calloc(1, sizeof *connection);
    if (connection != NULL && (connection->fd = connect_to(port)) < 0) {
        failure("HTTP: cannot connect to port %u: %s", port, strerror(errno));
        free(connection);
        connection = NULL;
    }
    return connection;
}

void
http_disconnect(struct http_connection *connection)
{
    if (connection == NULL)
        return;
    close(connection->fd);
    free(connection->request);
    free(connection);
}

static char *
begin_request(struct http_connection *connection, size_t room)
{
    free(connection->request);
    connection->counter = NULL;
    return connection->request = malloc(room);
}

bool
http_prepare_append(struct http_connection *connection, unsigned events, const char *stream)
{
    static const char before[] = "{\"type\":\"OrderPlaced\",\"data\":", after[] = "}";
    size_t event_size = sizeof before - 1 + DATA_SIZE + sizeof after - 1;
    size_t body_size = events * (event_size + 1) + 1, room = body_size + 512;
    char *at = begin_request(connection, room);
    if (at == NULL)
        return false;
    at += snprintf(at, room,
                   "POST /v1/streams/%s/events?expected=any HTTP/1.1\r\nhost: 127.0.0.1\r\n"
                   "content-type: application/json\r\ncontent-length: %zu\r\n\r\n",
                   stream, body_size);
    for (unsigned i = 0; i < events; i++) {
        *at++ = i ? ',' : '[';
        at = mempcpy(at, before, sizeof before - 1);
        at = mempcpy(at, event_data(), DATA_SIZE);
        at = mempcpy(at, after, sizeof after - 1);
    }
    *at++ = ']';
    connection->request_size = (size_t)(at - connection->request);
    return true;
}

/* Every key is new: which connection's preparation it was, and digits that count on with each request. */
#define COUNTER_DIGITS 10

bool
http_prepare_command(struct http_connection *connection, const char *target, const char *member, const char *value, bool keyed)
{
    static unsigned prepared;
    size_t room = DATA_SIZE + 1024;
    char body[DATA_SIZE + 256], key[64] = "";
    char *at = begin_request(connection, room);
    if (at == NULL)
        return false;
    int body_size = snprintf(body, sizeof body, "{\"%s\":\"%s\",%s", member, value, event_data() + 1);
    if (keyed)
        snprintf(key, sizeof key, "idempotency-key: bench-%08x-%0*d\r\n", ++prepared, COUNTER_DIGITS, 0);
    int size = snprintf(at, room, "POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\n%scontent-type: application/json\r\n"
                                  "content-length: %d\r\n\r\n%s", target, key, body_size, body);
    if (body_size >= (int)sizeof body || size >= (int)room)
        return false;
    connection->request_size = (size_t)size;
    if (keyed)
        connection->counter = strstr(at, key) + strlen(key) - 2 - COUNTER_DIGITS;
    return true;
}

static void
count_on(char *digits)
{
    for (unsigned i = COUNTER_DIGITS; i-- > 0 && ++digits[i] > '9';)
        digits[i] = '0';
}

static bool
send_whole(int fd, const char *at, size_t left)
{
    while (left > 0) {
        ssize_t sent = send(fd, at, left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        left -= (size_t)sent;
    }
    return true;
}

static bool
send_request(void *pointer, const struct shape *shape)
{
    (void)shape;
    struct http_connection *connection = pointer;
    connection->have = 0;
    if (connection->counter != NULL)
        count_on(connection->counter);
    if (send_whole(connection->fd, connection->request, connection->request_size))
        return true;
    failure("HTTP: send: %s", strerror(errno));
    return false;
}

/* 0: not whole yet; otherwise the status, and where the body begins. */
static int
whole_answer(const char *answer, size_t have, const char **ret_body)
{
    const char *end = memmem(answer, have, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t length = 0;
    for (const char *line = answer; line < end;
         line = (const char *)memmem(line, (size_t)(end + 2 - line), "\r\n", 2) + 2)
        if (strncasecmp(line, "content-length:", 15) == 0)
            length = strtoul(line + 15, NULL, 10);
    *ret_body = end + 4;
    if ((size_t)(end + 4 - answer) + length > have)
        return 0;
    return have > 12 ? atoi(answer + 9) : -1;
}

static int
receive(void *pointer)
{
    struct http_connection *connection = pointer;
    size_t room = sizeof connection->answer - 1 - connection->have;
    ssize_t got = recv(connection->fd, connection->answer + connection->have, room, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0) {
        failure("HTTP: %s", got == 0
                                ? "the server closed the connection, or its answer was too long"
                                : strerror(errno));
        return -1;
    }
    connection->have += (size_t)got;
    connection->answer[connection->have] = '\0';
    const char *body;
    int status = whole_answer(connection->answer, connection->have, &body);
    if (status == 0 || status == 200 || status == 201)
        return status != 0;
    failure("HTTP: answered %d: %.200s", status, body);
    return -1;
}

static int
descriptor(void *pointer)
{
    return ((struct http_connection *)pointer)->fd;
}

const struct wire HTTP_WIRE = {send_request, receive, descriptor};

int
http_open_socket(unsigned port)
{
    return connect_to(port);
}

int
http_get(unsigned port, const char *target, size_t *ret_size)
{
    char text[16384];
    size_t have = 0;
    int status = -1, fd = connect_to(port);
    if (fd < 0)
        return -1;
    int size = snprintf(text, sizeof text,
                        "GET %s HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", target);
    if (send_whole(fd, text, (size_t)size)) {
        ssize_t got;
        while (have < sizeof text && (got = recv(fd, text + have, sizeof text - have, 0)) > 0)
            have += (size_t)got;
        const char *body = memmem(text, have, "\r\n\r\n", 4);
        if (body != NULL && have > 12)
            status = atoi(text + 9);
        if (body != NULL && ret_size != NULL)
            *ret_size = have - (size_t)(body + 4 - text);
    }
    close(fd);
    return status;
}

bool
http_wait(struct http_connection *connection)
{
    int done;
    struct pollfd wait = {.fd = connection->fd, .events = POLLIN};
    do
        done = poll(&wait, 1, 10000) == 1 ? receive(connection) : -1;
    while (done == 0);
    return done == 1;
}

bool
http_append_once(unsigned port, const char *stream, unsigned events)
{
    struct http_connection *connection = http_connect(port);
    bool done = connection != NULL && http_prepare_append(connection, events, stream)
                && send_request(connection, NULL) && http_wait(connection);
    http_disconnect(connection);
    return done;
}
