/* Collecting a decision: decision.h. Everything is copied: a decider's memory is its own. */
#include "decision.h"

#include <base/error.h>
#include <stdlib.h>

#define EVENTS_MAX 4096
#define MEMORY_MAX (64u << 20)
#define TAGS_MAX 64

void
decision_clear(struct cairn_decision *decision)
{
    arena_reset(&decision->arena);
    decision->arena.size_max = MEMORY_MAX;
    decision->count = 0;
    decision->rejected = false;
    decision->code = decision->message = decision->details = (cairn_str){0};
}

void
decision_free(struct cairn_decision *decision)
{
    arena_free(&decision->arena);
    free(decision->events);
    *decision = (struct cairn_decision){0};
}

static bool
copy(struct arena *arena, cairn_str text, cairn_str *to)
{
    *to = (cairn_str){0};
    if (text.size > 0)
        *to = arena_copy(arena, text);
    return text.size == 0 || to->data != NULL;
}

static bool
copy_event(struct arena *arena, const cairn_event *from, cairn_event *to)
{
    *to = *from;
    if (!copy(arena, from->type, &to->type) || !copy(arena, from->content_type, &to->content_type)
        || !copy(arena, from->data, &to->data) || !copy(arena, from->meta, &to->meta)
        || !copy(arena, from->correlation, &to->correlation))
        return false;
    cairn_str *tags = NULL;
    if (from->tag_count > 0 && (tags = arena_alloc(arena, from->tag_count * sizeof *tags)) == NULL)
        return false;
    for (size_t i = 0; i < from->tag_count; i++)
        if (!copy(arena, from->tags[i], &tags[i]))
            return false;
    to->tags = tags;
    return true;
}

static bool
have_room(struct cairn_decision *decision)
{
    if (decision->count < decision->capacity)
        return true;
    size_t capacity = decision->capacity ? decision->capacity * 2 : 8;
    struct decided *events = realloc(decision->events, capacity * sizeof *events);
    if (events == NULL)
        return false;
    decision->events = events;
    decision->capacity = capacity;
    return true;
}

cairn_err
cairn_decide_event(cairn_decision *decision, cairn_str stream, const cairn_event *event)
{
    size_t max = decision->count_max ? decision->count_max : EVENTS_MAX;
    if (event->type.size == 0 || (event->tag_count > 0 && event->tags == NULL))
        return CAIRN_E_INVALID;
    if (decision->count >= max || event->tag_count > TAGS_MAX)
        return CAIRN_E_LIMIT;
    if (decision->rejected)
        return CAIRN_OK;
    if (!have_room(decision))
        return CAIRN_E_NOMEM;
    struct decided *decided = &decision->events[decision->count];
    if (!copy(&decision->arena, stream, &decided->stream)
        || !copy_event(&decision->arena, event, &decided->event))
        return CAIRN_E_NOMEM;
    decision->count++;
    return CAIRN_OK;
}

cairn_err
cairn_decide_reject(cairn_decision *decision, cairn_str code, cairn_str message, cairn_str details)
{
    if (code.size == 0)
        return CAIRN_E_INVALID;
    struct arena *arena = &decision->arena;
    if (!copy(arena, code, &decision->code) || !copy(arena, message, &decision->message)
        || !copy(arena, details, &decision->details))
        return CAIRN_E_NOMEM;
    decision->rejected = true;
    decision->count = 0;
    return CAIRN_OK;
}
