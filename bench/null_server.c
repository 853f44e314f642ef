/* null_server.c: an HTTP server that answers at once and stores nothing: what the load generators reach
 * against it is the most that they could ever show of anybody. One process, one thread. */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define BUFFER_SIZE 65536

struct buffer {
    char bytes[BUFFER_SIZE + 1];
    size_t have;
};
static struct buffer *buffers[CONNECTIONS_MAX];
static char get_answer[16384], post_answer[256];
static size_t get_size, post_size;

static void
prepare_answers(size_t get_body_size)
{
    static const char post_body[]
        = "{\"first_position\":123456,\"last_position\":123456,\"revision\":1234}";
    post_size = (size_t)snprintf(
        post_answer, sizeof post_answer,
        "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
        sizeof post_body - 1, post_body);
    get_size = (size_t)snprintf(
        get_answer, sizeof get_answer,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
        get_body_size);
    memset(get_answer + get_size, ' ', get_body_size);
    get_size += get_body_size;
}

/* Size of the first whole request in the buffer, 0 when there is none yet. */
static size_t
whole_request(const struct buffer *buffer)
{
    const char *end = memmem(buffer->bytes, buffer->have, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t size = (size_t)(end + 4 - buffer->bytes);
    const char *length = strcasestr(buffer->bytes, "\r\ncontent-length:");
    if (length != NULL && length < end)
        size += strtoul(length + 17, NULL, 10);
    return size <= buffer->have ? size : 0;
}

static bool
serve(int fd)
{
    struct buffer *buffer = buffers[fd];
    ssize_t got = recv(fd, buffer->bytes + buffer->have, BUFFER_SIZE - buffer->have, MSG_DONTWAIT);
    if (got <= 0)
        return false;
    buffer->have += (size_t)got;
    buffer->bytes[buffer->have] = '\0';
    for (size_t size; (size = whole_request(buffer)) > 0;) {
        bool post = buffer->bytes[0] == 'P';
        if (send(fd, post ? post_answer : get_answer, post ? post_size : get_size, MSG_NOSIGNAL)
            < 0)
            return false;
        memmove(buffer->bytes, buffer->bytes + size, buffer->have - size + 1);
        buffer->have -= size;
    }
    return buffer->have < BUFFER_SIZE;
}

static void
serve_all(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), one = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                if (!serve(fd))
                    close(fd);
                continue;
            }
            fd = accept(listener, NULL, NULL);
            if (fd < 0)
                continue;
            if (fd >= CONNECTIONS_MAX
                || (buffers[fd] == NULL && (buffers[fd] = malloc(sizeof **buffers)) == NULL)) {
                close(fd);
                continue;
            }
            buffers[fd]->have = 0;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        }
    }
}

pid_t
null_server_start(unsigned *ret_port, size_t get_body_size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || get_body_size > sizeof get_answer - 256
        || bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 128) != 0
        || getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        failure("cannot start the null server");
        return -1;
    }
    *ret_port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prepare_answers(get_body_size);
        serve_all(listener);
        _exit(0);
    }
    close(listener);
    return pid;
}
