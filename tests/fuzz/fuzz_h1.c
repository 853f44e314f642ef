/* The HTTP/1.1 parsers on any bytes: they stay within them, end, and say the same whether the bytes come at once
 * or in pieces. The first byte chooses the pieces. */
#include "h1_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t step = (size_t)data[0] % 32 + 1;
    const char *bytes = (const char *)data + 1;
    size--;

    struct play whole, pieces;
    play_begin(&whole);
    play_feed(&whole, bytes, size);
    play_begin(&pieces);
    for (size_t some = step; some < size; some += step)
        play_feed(&pieces, bytes, some);
    play_feed(&pieces, bytes, size);
    if (strcmp(play_result(&whole), play_result(&pieces)) != 0)
        abort();
    play_end(&whole);
    play_end(&pieces);
    return 0;
}
