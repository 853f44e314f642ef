/* tests/lua_rig.h: run deciders written in Lua without a bus: what they decide is kept as text. */
#ifndef TESTS_LUA_RIG_H
#define TESTS_LUA_RIG_H

#include "test.h"

#include <app/lua/lua.h>
#include <base/bytes.h>
#include <base/error.h>
#include <base/json.h>

/* What was decided: "Type@stream#tag#tag {data} {meta}\n" an event; or "!code message details". */
struct cairn_decision {
    struct buf text;
    size_t events;
};

cairn_err
cairn_decide_event(cairn_decision *decision, cairn_str stream, const cairn_event *event)
{
    struct buf *to = &decision->text;
    buf_put_str(to, event->type);
    if (stream.size) {
        buf_put_char(to, '@');
        buf_put_str(to, stream);
    }
    for (size_t i = 0; i < event->tag_count; i++) {
        buf_put_char(to, '#');
        buf_put_str(to, event->tags[i]);
    }
    buf_put_char(to, ' ');
    buf_put_str(to, event->data);
    if (event->meta.size) {
        buf_put_char(to, ' ');
        buf_put_str(to, event->meta);
    }
    buf_put_char(to, '\n');
    decision->events++;
    return CAIRN_OK;
}

cairn_err
cairn_decide_reject(cairn_decision *decision, cairn_str code, cairn_str message, cairn_str details)
{
    buf_clear(&decision->text);
    decision->events = 0;
    buf_printf(&decision->text, "!%.*s|%.*s|%.*s", (int)code.size, code.data ? code.data : "", (int)message.size,
               message.data ? message.data : "", (int)details.size, details.data ? details.data : "");
    return CAIRN_OK;
}

/* One decider, one instance, one state. */
struct lua_rig {
    cairn_decider *decider;
    void *self, *state;
    cairn_decision decision;
    cairn_error error;
    struct buf saved;
    struct lua_limits limits;
};

static inline cairn_err
rig_make(struct lua_rig *rig, const char *source)
{
    cairn_app_file file = {CAIRN_STR("order.lua"), cairn_cstr(source)};
    struct lua_sources sources = {&file, 1};
    return lua_decider_make("order", CAIRN_STR("order.lua"), &sources, &rig->limits, &rig->decider, &rig->error);
}

static inline cairn_err
rig_start(struct lua_rig *rig)
{
    cairn_err err = rig->decider->open(rig->decider->module, &rig->self, &rig->error);
    if (err == CAIRN_OK)
        err = rig->decider->state_new(rig->self, CAIRN_STR("order-1"), &rig->state, &rig->error);
    return err;
}

static inline void
rig_open(struct lua_rig *rig, const char *source)
{
    struct lua_limits limits = rig->limits;
    *rig = (struct lua_rig){.limits = limits};
    cairn_err err = rig_make(rig, source);
    if (err == CAIRN_OK)
        err = rig_start(rig);
    if (err != CAIRN_OK)
        fail_msg("%s: %s", cairn_err_name(err), rig->error.detail);
}

static inline void
rig_close(struct lua_rig *rig)
{
    if (rig->self) {
        rig->decider->state_free(rig->self, rig->state);
        rig->decider->close(rig->self);
    }
    lua_decider_free(rig->decider);
    buf_free(&rig->decision.text);
    buf_free(&rig->saved);
}

/* "" when it went well, else the error's detail. */
static inline const char *
rig_evolve(struct lua_rig *rig, const char *type, const char *data)
{
    static const cairn_str tags[] = {{"customer:7", 10}, {"red", 3}};
    cairn_recorded event = {.position = 41, .revision = 3, .time_us = 1763726400000000, .stream = CAIRN_STR("order-1"),
                            .event = {.type = cairn_cstr(type), .data = cairn_cstr(data), .tags = tags, .tag_count = 2,
                                      .meta = CAIRN_STR("{\"actor\":\"ann\"}"), .correlation = CAIRN_STR("c-1")}};
    event.event.id.bytes[15] = 9;
    cairn_err err = rig->decider->evolve(rig->self, rig->state, &event, &rig->error);
    return err == CAIRN_OK ? "" : rig->error.detail;
}

static inline const char *
rig_decide(struct lua_rig *rig, const char *name, const char *data)
{
    cairn_command command = {.name = cairn_cstr(name), .data = cairn_cstr(data), .time_us = 1763726400000000,
                             .actor = CAIRN_STR("ann"), .correlation = CAIRN_STR("c-1")};
    command.id.bytes[0] = 0xAB;
    buf_clear(&rig->decision.text);
    rig->decision.events = 0;
    cairn_err err = rig->decider->decide(rig->self, rig->state, &command, &rig->decision, &rig->error);
    if (err != CAIRN_OK)
        return rig->error.detail;
    buf_put_char(&rig->decision.text, 0);
    rig->decision.text.size--;
    return rig->decision.text.data;
}

static inline bool
rig_sink(void *context, cairn_str bytes)
{
    struct buf *to = context;
    buf_put_str(to, bytes);
    return true;
}

static inline const char *
rig_save(struct lua_rig *rig)
{
    buf_clear(&rig->saved);
    cairn_err err = rig->decider->save(rig->self, rig->state, rig_sink, &rig->saved, &rig->error);
    if (err != CAIRN_OK)
        return rig->error.detail;
    buf_put_char(&rig->saved, 0);
    rig->saved.size--;
    return rig->saved.data;
}

#endif
