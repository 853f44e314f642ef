/* A decider in any language, behind HTTP: docs/webhook-deciders.md is the protocol.
 *
 * One POST decides one command. The request brings the state as the webhook last gave it, the events since, and the command;
 * the reply gives the state after those events and what was decided. So Cairn never evolves: a state here is the webhook's
 * last text and the events after it, which are sent along. A request without a command only asks for the state; it is made
 * when the events have become many.
 *
 * The module is every instance; its states are the caller's, one thread at a time. A decision writes into the state, which it
 * is given as const: what it remembers (the reply's text for the same events) does not change what the state means. */
#include <base/arena.h>
#include <base/error.h>
#include <base/text.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <os/os.h>
#include <os/wait.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus.h"

#define REPLY_MAX (4u << 20)
#define PENDING_MAX (512u << 10) /* bytes of events that wait for the next request */
#define STATE_MAX (4u << 20)
#define TIMEOUT_MS 2000
#define BACK_OFF_US 50000

struct webhook {
    cairn_decider decider;
    cairn_post post;
    void *post_context;
    cairn_str url;
    uint32_t timeout_ms, retries;
    char *secret; /* or NULL */
    char texts[];
};

struct webhook_state {
    struct buf state;  /* JSON; empty: null */
    struct buf events; /* JSON objects after it, each followed by a comma */
};

static void
state_free(void *self, void *context)
{
    struct webhook_state *state = context;
    (void)self;
    buf_free(&state->state);
    buf_free(&state->events);
    free(state);
}

static cairn_err
state_new(void *self, cairn_str stream, void **ret, cairn_error *error)
{
    (void)self, (void)stream;
    *ret = calloc(1, sizeof(struct webhook_state));
    return *ret ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for a state");
}

static size_t
state_size(void *self, const void *context)
{
    const struct webhook_state *state = context;
    (void)self;
    return sizeof *state + state->state.capacity + state->events.capacity;
}

/* ---- the request ----------------------------------------------------------------------------------------- */

static void
put_text(struct buf *to, const char *name, cairn_str value)
{
    json_put_name(to, name);
    if (value.size > 0)
        json_put_string(to, value);
    else
        buf_put_str(to, CAIRN_STR("null"));
}

static void
put_command(struct buf *to, const cairn_command *command)
{
    json_put_name(to, "command");
    if (command == NULL) {
        buf_put_str(to, CAIRN_STR("null"));
        return;
    }
    buf_put_char(to, '{');
    put_text(to, "name", command->name);
    json_put_name(to, "data");
    buf_put_str(to, command->data);
    json_put_name(to, "id");
    json_put_uuid(to, command->id);
    json_put_name(to, "time");
    json_put_time(to, command->time_us);
    put_text(to, "actor", command->actor);
    put_text(to, "correlation", command->correlation);
    buf_put_char(to, '}');
}

static void
put_request(struct buf *to, const struct webhook_state *state, const cairn_command *command)
{
    buf_put_char(to, '{');
    if (command != NULL)
        put_text(to, "app", command->app);
    put_command(to, command);
    json_put_name(to, "state");
    buf_put_str(to, state->state.size > 0 ? buf_str(&state->state) : CAIRN_STR("null"));
    json_put_name(to, "events");
    buf_put_char(to, '[');
    if (state->events.size > 0)
        buf_put(to, state->events.data, state->events.size - 1);
    buf_put_str(to, CAIRN_STR("]}"));
}

/* "cairn-signature: t=<seconds>,v1=<hex HMAC-SHA-256 of "<seconds>.<body>">" */
static bool
sign(const struct webhook *webhook, cairn_str body, char to[160], cairn_str *ret)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned mac_size = 0;
    struct buf text = {0};
    long long seconds = (long long)(os_now_us(os_real()) / 1000000);
    buf_printf(&text, "%lld.", seconds);
    buf_put_str(&text, body);
    bool good = !text.failed
                && HMAC(EVP_sha256(), webhook->secret, (int)strlen(webhook->secret), (const uint8_t *)text.data, text.size, mac,
                        &mac_size) != NULL;
    buf_free(&text);
    if (!good)
        return false;
    format_hex(mac, mac_size, hex);
    *ret = (cairn_str){to, (size_t)snprintf(to, 160, "cairn-signature: t=%lld,v1=%s", seconds, hex)};
    return true;
}

static cairn_err
post_once(const struct webhook *webhook, cairn_str body, unsigned attempt, int *ret_status, struct buf *reply,
          cairn_error *error)
{
    char attempt_text[32], signature[160];
    cairn_str headers[4] = {CAIRN_STR("content-type: application/json"), CAIRN_STR("accept: application/json")};
    size_t count = 2;
    headers[count++] = (cairn_str){attempt_text, (size_t)snprintf(attempt_text, sizeof attempt_text, "cairn-attempt: %u",
                                                                  attempt + 1)};
    if (webhook->secret != NULL && !sign(webhook, body, signature, &headers[count++]))
        return error_set(error, CAIRN_E_NOMEM, "no memory to sign a request");
    buf_clear(reply);
    return webhook->post(webhook->post_context, webhook->url, headers, count, body, webhook->timeout_ms, REPLY_MAX,
                         ret_status, buf_sink, reply, error);
}

/* Network errors and statuses that say "later" are tried again, after a while that doubles. */
static cairn_err
post(const struct webhook *webhook, cairn_str body, struct buf *reply, cairn_error *error)
{
    uint64_t back_off_us = BACK_OFF_US;
    for (unsigned attempt = 0;; attempt++) {
        cairn_error why = {0};
        int status = 0;
        cairn_err err = post_once(webhook, body, attempt, &status, reply, &why);
        if (err == CAIRN_OK && status >= 200 && status < 300)
            return CAIRN_OK;
        bool again = err == CAIRN_E_IO || err == CAIRN_E_TIMEOUT
                     || (err == CAIRN_OK && (status >= 500 || status == 429 || status == 408));
        if (!again || attempt >= webhook->retries) {
            if (err == CAIRN_E_NOMEM)
                return error_set(error, err, "%s", why.detail);
            if (err != CAIRN_OK)
                return error_set(error, CAIRN_E_SCRIPT, "webhook: %s", why.detail);
            return error_set(error, CAIRN_E_SCRIPT, "webhook: %.*s answered %d: %.*s",
                             (int)(webhook->url.size > 80 ? 80 : webhook->url.size), webhook->url.data, status,
                             (int)(reply->size > 120 ? 120 : reply->size), reply->size ? reply->data : "");
        }
        _Atomic uint32_t never = 0;
        os_wait(&never, 0, back_off_us);
        back_off_us *= 2;
    }
}

/* ---- the reply --------------------------------------------------------------------------------------------- */

static cairn_err
bad_reply(const char *what, cairn_error *error)
{
    return error_set(error, CAIRN_E_SCRIPT, "webhook: the reply %s", what);
}

static cairn_err
take_event(struct json json, struct arena *arena, cairn_decision *decision, cairn_error *error)
{
    struct json data = json_get(json, "data"), tags = json_get(json, "tags"), meta = json_get(json, "meta"), name, item;
    cairn_event event = {.type = json_string(json_get(json, "type"), arena),
                         .data = data.type == JSON_NONE ? CAIRN_STR("{}") : data.raw,
                         .meta = meta.type == JSON_OBJECT ? meta.raw : (cairn_str){0}};
    cairn_str stream = json_string(json_get(json, "stream"), arena);
    if (event.type.size == 0)
        return bad_reply("has an event without a type", error);
    if (tags.type == JSON_ARRAY && json_count(tags) > 0) {
        size_t count = json_count(tags), i = 0;
        cairn_str *texts = arena_alloc(arena, count * sizeof *texts);
        if (texts == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for a reply");
        for (struct json_walk walk = json_walk(tags); json_next(&walk, &name, &item); i++) {
            texts[i] = json_string(item, arena);
            if (texts[i].size == 0)
                return bad_reply("has a tag that is no text", error);
        }
        event.tags = texts;
        event.tag_count = count;
    }
    cairn_err err = cairn_decide_event(decision, stream.data ? stream : (cairn_str){0}, &event);
    return err == CAIRN_OK ? err : err == CAIRN_E_NOMEM ? error_set(error, err, "no memory for a reply")
                                                        : bad_reply("has too many events or tags", error);
}

static cairn_err
take_decision(struct json reply, struct arena *arena, cairn_decision *decision, cairn_error *error)
{
    struct json events = json_get(reply, "events"), reject = json_get(reply, "reject"), name, item;
    if (reject.type == JSON_OBJECT) {
        cairn_str code = json_string(json_get(reject, "code"), arena), message = json_string(json_get(reject, "message"), arena);
        struct json details = json_get(reject, "details");
        if (code.size == 0)
            return bad_reply("rejects without a code", error);
        return cairn_decide_reject(decision, code, message.data ? message : (cairn_str){0},
                                   details.type == JSON_NONE || details.type == JSON_NULL ? (cairn_str){0} : details.raw);
    }
    if (events.type != JSON_ARRAY && events.type != JSON_NONE && events.type != JSON_NULL)
        return bad_reply("has events that are no array", error);
    cairn_err err = CAIRN_OK;
    struct json_walk walk = json_walk(events);
    while (events.type == JSON_ARRAY && err == CAIRN_OK && json_next(&walk, &name, &item))
        err = take_event(item, arena, decision, error);
    return err;
}

/* The state after the events that were sent: from now on they need not be sent. */
static cairn_err
take_state(struct webhook_state *state, struct json reply, cairn_error *error)
{
    struct json given = json_get(reply, "state");
    if (given.type == JSON_NONE)
        return CAIRN_OK;
    if (given.raw.size > STATE_MAX)
        return bad_reply("has a state of more than 4 MiB", error);
    buf_clear(&state->state);
    buf_put_str(&state->state, given.raw);
    if (state->state.failed)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a state");
    buf_clear(&state->events);
    return CAIRN_OK;
}

static cairn_err
ask(const struct webhook *webhook, struct webhook_state *state, const cairn_command *command, cairn_decision *decision,
    cairn_error *error)
{
    struct buf request = {0}, reply = {0};
    struct arena arena = {.size_max = 64u << 20};
    struct json json;
    cairn_error why = {0};
    put_request(&request, state, command);
    cairn_err err = request.failed ? error_set(error, CAIRN_E_NOMEM, "no memory for a request")
                                   : post(webhook, buf_str(&request), &reply, error);
    if (err == CAIRN_OK && (json_check(buf_str(&reply), &json, &why) != CAIRN_OK || json.type != JSON_OBJECT))
        err = bad_reply("is not a JSON object", error);
    if (err == CAIRN_OK)
        err = take_state(state, json, error);
    if (err == CAIRN_OK && decision != NULL)
        err = take_decision(json, &arena, decision, error);
    if (err == CAIRN_OK && decision == NULL && state->events.size > 0)
        err = bad_reply("to a request without a command has no state", error);
    buf_free(&request);
    buf_free(&reply);
    arena_free(&arena);
    return err;
}

/* ---- the decider --------------------------------------------------------------------------------------------- */

static cairn_err
evolve(void *self, void *context, const cairn_recorded *event, cairn_error *error)
{
    struct webhook_state *state = context;
    struct buf *to = &state->events;
    size_t before = to->size;
    buf_put_char(to, '{');
    put_text(to, "type", event->event.type);
    json_put_name(to, "data");
    buf_put_str(to, event->event.data.size > 0 ? event->event.data : CAIRN_STR("null"));
    json_put_name(to, "id");
    json_put_uuid(to, event->event.id);
    json_put_name(to, "time");
    json_put_time(to, event->time_us);
    put_text(to, "stream", event->stream);
    json_put_u64_member(to, "revision", event->revision);
    json_put_u64_member(to, "position", event->position);
    json_put_name(to, "tags");
    buf_put_char(to, '[');
    for (size_t i = 0; i < event->event.tag_count; i++) {
        json_put_comma(to);
        json_put_string(to, event->event.tags[i]);
    }
    buf_put_str(to, CAIRN_STR("]},"));
    if (to->failed) {
        to->size = before;
        return error_set(error, CAIRN_E_NOMEM, "no memory for a state");
    }
    return to->size > PENDING_MAX ? ask(self, state, NULL, NULL, error) : CAIRN_OK;
}

static cairn_err
decide(void *self, const void *context, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    return ask(self, (struct webhook_state *)(uintptr_t)context, command, decision, error);
}

static cairn_err
save(void *self, const void *context, cairn_sink sink, void *sink_context, cairn_error *error)
{
    const struct webhook_state *state = context;
    struct buf text = {0};
    (void)self;
    buf_put_str(&text, CAIRN_STR("{\"state\":"));
    buf_put_str(&text, state->state.size > 0 ? buf_str(&state->state) : CAIRN_STR("null"));
    buf_put_str(&text, CAIRN_STR(",\"events\":["));
    if (state->events.size > 0)
        buf_put(&text, state->events.data, state->events.size - 1);
    buf_put_str(&text, CAIRN_STR("]}"));
    cairn_err err = text.failed ? error_set(error, CAIRN_E_NOMEM, "no memory for a state") : CAIRN_OK;
    if (err == CAIRN_OK && !sink(sink_context, buf_str(&text)))
        err = error_set(error, CAIRN_E_LIMIT, "the state was not taken");
    buf_free(&text);
    return err;
}

static cairn_err
load(void *self, cairn_str stream, cairn_str text, void **ret, cairn_error *error)
{
    struct json json, events, name, item;
    void *memory;
    cairn_err err = json_check(text, &json, error);
    if (err == CAIRN_OK && json.type != JSON_OBJECT)
        err = error_set(error, CAIRN_E_INVALID, "a saved state is a JSON object");
    if (err == CAIRN_OK)
        err = state_new(self, stream, &memory, error);
    if (err != CAIRN_OK)
        return err;
    struct webhook_state *state = memory;
    buf_put_str(&state->state, json_get(json, "state").raw);
    events = json_get(json, "events");
    struct json_walk walk = json_walk(events);
    while (events.type == JSON_ARRAY && json_next(&walk, &name, &item)) {
        buf_put_str(&state->events, item.raw);
        buf_put_char(&state->events, ',');
    }
    if (state->state.failed || state->events.failed) {
        state_free(self, state);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a state");
    }
    *ret = state;
    return CAIRN_OK;
}

/* ---- making one ------------------------------------------------------------------------------------------------ */

static cairn_err
find_secret(const struct app_decider *spec, char **ret, cairn_error *error)
{
    char name[200];
    *ret = NULL;
    if (spec->secret.size == 0)
        return CAIRN_OK;
    if (spec->secret.size >= sizeof name)
        return error_set(error, CAIRN_E_LIMIT, "the name of the webhook's secret is too long");
    memcpy(name, spec->secret.data, spec->secret.size);
    name[spec->secret.size] = '\0';
    const char *value = getenv(name);
    if (value == NULL || value[0] == '\0')
        return error_set(error, CAIRN_E_INVALID, "the environment variable %s, the webhook's secret, is not set", name);
    *ret = strdup(value);
    return *ret ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for a webhook");
}

cairn_err
webhook_decider_make(const struct app_decider *spec, const cairn_apps_options *options, cairn_decider **ret,
                     cairn_error *error)
{
    if (options->post == NULL)
        return error_set(error, CAIRN_E_UNSUPPORTED, "this program makes no HTTP requests, so webhooks cannot decide");
    size_t size = spec->name.size + 1 + spec->source.size + sizeof "webhook-1 ";
    struct webhook *webhook = calloc(1, sizeof *webhook + size);
    if (webhook == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a webhook");
    cairn_err err = find_secret(spec, &webhook->secret, error);
    if (err != CAIRN_OK) {
        free(webhook);
        return err;
    }
    char *name = webhook->texts, *fingerprint = name + spec->name.size + 1;
    memcpy(name, spec->name.data, spec->name.size);
    int printed = snprintf(fingerprint, size - spec->name.size - 1, "webhook-1 %.*s", (int)spec->source.size, spec->source.data);
    webhook->url = (cairn_str){fingerprint + sizeof "webhook-1 " - 1, spec->source.size};
    webhook->post = options->post;
    webhook->post_context = options->post_context;
    webhook->timeout_ms = spec->timeout_ms ? spec->timeout_ms : TIMEOUT_MS;
    webhook->retries = spec->retries;
    webhook->decider = (cairn_decider){
        .abi = CAIRN_DECIDER_ABI, .name = name, .module = webhook, .state_new = state_new, .state_free = state_free,
        .state_size = state_size, .evolve = evolve, .decide = decide, .save = save, .load = load,
        .fingerprint = {fingerprint, (size_t)printed},
    };
    *ret = &webhook->decider;
    return CAIRN_OK;
}

void
webhook_decider_free(cairn_decider *decider)
{
    if (decider == NULL)
        return;
    struct webhook *webhook = decider->module;
    if (webhook->secret != NULL)
        OPENSSL_cleanse(webhook->secret, strlen(webhook->secret));
    free(webhook->secret);
    free(webhook);
}
