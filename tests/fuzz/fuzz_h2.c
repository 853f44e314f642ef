/* A whole HTTP/2 connection on any bytes after the preface: through the event loop, nghttp2, exchanges and handlers, to the
 * end of the connection. The server lives as long as the process; a run is over when it has closed the connection
 * and given everything back. */
#include "http_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
handle(void *context, struct http_exchange *x)
{
    struct rig *rig = context;
    if (http_path(x).size % 2)
        rig_sse(rig, x);
    else
        rig_echo(x);
}

static struct rig *
the_rig(void)
{
    static struct rig rig;
    cairn_error error;
    struct http_config config = {.address = "127.0.0.1", .loops = 1, .handler = handle, .context = &rig,
                                 .header_max = 2048, .body_max = 4096, .streams_max = 8};
    if (!rig.server) {
        if (http_server_start(&config, &rig.server, &error) != CAIRN_OK)
            abort();
        rig.port = http_server_port(rig.server);
    }
    return &rig;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct rig *rig = the_rig();
    char answer[65536];
    int fd = rig_connect(rig);
    rig_send(fd, preface);
    (void)rig_try_send(fd, data, size); /* it may be cut off in the middle */
    shutdown(fd, SHUT_WR);
    while (recv(fd, answer, sizeof answer, 0) > 0)
        ;
    struct linger reset = {1, 0}; /* leave no port in TIME_WAIT */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    int64_t until = rig_now_ms() + 10000;
    struct http_server_stats stats;
    do {
        stats = rig_stats(rig);
        if (rig_now_ms() > until)
            abort(); /* a connection, a body or a stream has been left behind */
    } while (stats.connections || stats.body_bytes || atomic_load(&rig->begun) != atomic_load(&rig->closed));
    return 0;
}
