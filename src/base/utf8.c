/* Is a text well-formed UTF-8? Nearly all of what Cairn sees is ASCII, so that goes by words. */
#include <base/text.h>
#include <base/utf8.h>

bool
utf8_valid(cairn_str text)
{
    if (text.size == 0)
        return true; /* data may be NULL, to which C does not let anything be added, not even 0 */
    const uint8_t *at = (const uint8_t *)text.data, *end = at + text.size;
    while (at < end) {
        if (end - at >= 16 && ((load64(at) | load64(at + 8)) & 0x8080808080808080u) == 0) {
            at += 16;
            continue;
        }
        int length = utf8_sequence(at, end);
        if (length < 0)
            return false;
        at += length;
    }
    return true;
}
