/* Output buffers. A loop keeps some of the usual size, so that in steady state a response costs no
 * allocation, and a connection without anything to send holds none. Owner: the loop's thread. */
#include <os/net/net_int.h>

#include <stdlib.h>

static char *
take_usual(struct net_loop *loop)
{
    if (loop->spare_count)
        return loop->spare[--loop->spare_count];
    return malloc(NET_BUF_SIZE);
}

bool
net_buf_reserve(struct net_loop *loop, struct net_buf *buf, size_t more)
{
    if (more <= buf->capacity - buf->end)
        return true;
    size_t held = net_buf_size(buf);
    if (more > SIZE_MAX / 4 - held)
        return false;
    if (buf->start >= held && held + more <= buf->capacity) {
        memmove(buf->data, buf->data + buf->start, held);
    } else {
        size_t capacity = NET_BUF_SIZE;
        while (capacity < held + more)
            capacity *= 2;
        char *data = capacity == NET_BUF_SIZE ? take_usual(loop) : malloc(capacity);
        if (!data)
            return false;
        if (held)
            memcpy(data, buf->data + buf->start, held);
        net_buf_release(loop, buf);
        buf->data = data;
        buf->capacity = capacity;
    }
    buf->start = 0;
    buf->end = held;
    return true;
}

void
net_buf_release(struct net_loop *loop, struct net_buf *buf)
{
    if (buf->capacity == NET_BUF_SIZE && loop->spare_count < NET_SPARE_BUFS)
        loop->spare[loop->spare_count++] = buf->data;
    else
        free(buf->data);
    *buf = (struct net_buf){0};
}

void
net_buf_free_spares(struct net_loop *loop)
{
    while (loop->spare_count)
        free(loop->spare[--loop->spare_count]);
}
