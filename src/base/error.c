/* Fill in a cairn_error: one sentence that always fits, is always valid to cut, and keeps the part
 * that says most (the system's own words) when something has to go. */
#include <base/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define DETAIL_SIZE sizeof(((cairn_error *)0)->detail)

/* Cut a text that is too long before a whole character, and show that it was cut. */
static void
cut_text(char *text, size_t size_max)
{
    static const char ellipsis[] = "…";
    size_t at = size_max - (sizeof ellipsis - 1);
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    memcpy(text + at, ellipsis, sizeof ellipsis);
}

/* Formats into a buffer of its own: an argument may well be the detail that is being replaced. */
static void
format_detail(cairn_error *error, const char *suffix, const char *format, va_list arguments)
{
    char text[DETAIL_SIZE];
    size_t suffix_size = strlen(suffix);
    size_t room = sizeof text - suffix_size; /* includes the NUL */
    int size = vsnprintf(text, room, format, arguments);
    if (size < 0)
        text[0] = '\0';
    else if ((size_t)size >= room)
        cut_text(text, room - 1);
    memcpy(text + strlen(text), suffix, suffix_size + 1);
    memcpy(error->detail, text, sizeof text);
}

cairn_err
error_set(cairn_error *error, cairn_err code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        format_detail(error, "", format, arguments);
        va_end(arguments);
        error->code = code;
    }
    return code;
}

static cairn_err
code_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
        return CAIRN_E_NOSPACE;
    case ENOMEM:
        return CAIRN_E_NOMEM;
    case EROFS:
    case EACCES:
    case EPERM:
        return CAIRN_E_READONLY;
    case ENOENT:
        return CAIRN_E_NOTFOUND;
    default:
        return CAIRN_E_IO;
    }
}

cairn_err
error_set_errno(cairn_error *error, int errno_value, const char *format, ...)
{
    cairn_err code = code_of_errno(errno_value);
    if (error) {
        char text[96], suffix[104];
        snprintf(suffix, sizeof suffix, " (%s)", strerror_r(errno_value, text, sizeof text));
        va_list arguments;
        va_start(arguments, format);
        format_detail(error, suffix, format, arguments);
        va_end(arguments);
        error->code = code;
    }
    return code;
}
