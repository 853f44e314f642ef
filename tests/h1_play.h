/* tests/h1_play.h: plays bytes through the HTTP/1.1 parsers as a connection does, and writes down what
 * they made of them, so that two ways of feeding the same bytes can be compared as text. */
#ifndef TESTS_H1_PLAY_H
#define TESTS_H1_PLAY_H

#include <base/bytes.h>
#include <proto/http/h1_parse.h>

#include <stdio.h>
#include <stdlib.h>

#define PLAY_FIELDS 20
static const struct h1_limits play_limits = {.head_max = 1024, .target_max = 200, .fields_max = PLAY_FIELDS};

struct play {
    struct h1_head *head;
    struct h1_body body;
    struct buf said;
    size_t used; /* bytes of complete messages and of the body so far */
    bool in_body, over;
};

static inline void
play_span(struct play *play, const char *bytes, struct h1_span span)
{
    buf_put(&play->said, bytes + play->used + span.at, span.size);
    buf_put_char(&play->said, '|');
}

static inline void
play_head(struct play *play, const char *bytes, size_t size)
{
    struct h1_head *head = play->head;
    enum h1_result result = h1_head_parse(head, bytes + play->used, size - play->used, &play_limits);
    if (result == H1_BAD) {
        buf_printf(&play->said, "BAD %d %s", head->status, head->why);
        play->over = true;
    }
    if (result != H1_DONE)
        return;
    play_span(play, bytes, head->method);
    play_span(play, bytes, head->path);
    play_span(play, bytes, head->query);
    for (uint32_t i = 0; i < head->field_count; i++) {
        play_span(play, bytes, head->fields[i].name);
        play_span(play, bytes, head->fields[i].value);
    }
    buf_printf(&play->said, "1.%u%s%s%s:", head->minor, head->keep_alive ? " keep" : "",
               head->expect_continue ? " expect" : "", head->upgrade_h2c ? " h2c" : "");
    h1_body_begin(&play->body, head);
    play->used += head->size;
    play->in_body = true;
}

static inline void
play_body(struct play *play, const char *bytes, size_t size)
{
    enum h1_result result = H1_MORE;
    size_t step;
    cairn_str data;
    do {
        result = h1_body_parse(&play->body, bytes + play->used, size - play->used, &step, &data);
        play->used += step;
        buf_put_str(&play->said, data);
    } while (result == H1_MORE && play->used < size);
    if (result == H1_BAD) {
        buf_printf(&play->said, "BAD %s", play->body.why);
        play->over = true;
    } else if (result == H1_DONE) {
        buf_put_str(&play->said, CAIRN_STR(".\n"));
        play->in_body = false;
        h1_head_begin(play->head, PLAY_FIELDS);
    }
}

/* The bytes have grown to `size`: go as far as they allow. */
static inline void
play_feed(struct play *play, const char *bytes, size_t size)
{
    size_t before = SIZE_MAX;
    bool was_in_body = !play->in_body;
    while (!play->over && (play->used != before || play->in_body != was_in_body)) {
        before = play->used;
        was_in_body = play->in_body;
        if (play->in_body)
            play_body(play, bytes, size);
        else
            play_head(play, bytes, size);
    }
}

static inline void
play_begin(struct play *play)
{
    *play = (struct play){.head = malloc(h1_head_bytes(PLAY_FIELDS))};
    if (!play->head)
        abort();
    h1_head_begin(play->head, PLAY_FIELDS);
}

/* What came of it, with a NUL; valid until play_end(). */
static inline const char *
play_result(struct play *play)
{
    if (!play->over)
        buf_put_str(&play->said, CAIRN_STR("MORE"));
    buf_put_char(&play->said, '\0');
    if (play->said.failed)
        abort();
    return play->said.data;
}

static inline void
play_end(struct play *play)
{
    free(play->head);
    buf_free(&play->said);
}

#endif
