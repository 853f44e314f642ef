/* Lines on stderr. See log.h. */
#include <server/log.h>

#include <base/bytes.h>
#include <base/text.h>
#include <os/os.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static _Atomic int least = SERVER_LOG_INFO;

void
server_log_from(enum server_log_level level)
{
    atomic_store(&least, (int)level);
}

static bool
is_bare(const char *value)
{
    for (const char *at = value; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == '"' || *at == '=' || *at == '\\' || *at == 0x7F)
            return false;
    return *value != '\0';
}

static void
put_value(struct buf *to, const char *value)
{
    if (is_bare(value)) {
        buf_put_str(to, cairn_cstr(value));
        return;
    }
    buf_put_char(to, '"');
    for (const char *at = value; *at; at++)
        if (*at == '\n')
            buf_put_str(to, CAIRN_STR("\\n"));
        else if ((unsigned char)*at < ' ')
            buf_put_char(to, ' ');
        else {
            if (*at == '"' || *at == '\\')
                buf_put_char(to, '\\');
            buf_put_char(to, *at);
        }
    buf_put_char(to, '"');
}

static bool
begin_line(struct buf *line, enum server_log_level level)
{
    static const char *const names[] = {"info", "warn", "error"};
    if ((int)level < atomic_load(&least))
        return false;
    char time[TIME_TEXT_SIZE];
    format_time(os_now_us(os_real()), time);
    buf_printf(line, "time=%s level=%s ", time, names[level]);
    return true;
}

static void
end_line(struct buf *line)
{
    buf_put_char(line, '\n');
    if (!line->failed)
        fwrite(line->data, 1, line->size, stderr);
    buf_free(line);
}

void
server_log_line(enum server_log_level level, const char *pairs, size_t size)
{
    struct buf line = {0};
    if (!begin_line(&line, level))
        return;
    for (size_t i = 0; i < size; i++) /* what an app or a library says may have lines of its own */
        buf_put_char(&line, (unsigned char)pairs[i] < ' ' || pairs[i] == 0x7F ? ' ' : pairs[i]);
    end_line(&line);
}

void
server_log(enum server_log_level level, const char *message, ...)
{
    struct buf line = {0};
    if (!begin_line(&line, level))
        return;
    buf_put_str(&line, CAIRN_STR("msg="));
    put_value(&line, message);
    va_list args;
    va_start(args, message);
    const char *key, *value;
    while ((key = va_arg(args, const char *)) && (value = va_arg(args, const char *))) {
        buf_printf(&line, " %s=", key);
        put_value(&line, value);
    }
    va_end(args);
    end_line(&line);
}
