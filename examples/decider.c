/* A decider in C, as a module for a server: `cc -shared -fPIC -o modules/tally.so decider.c`, started with `cairn serve
 * --apps-native modules`. An app names it in app.yaml: `deciders: {tally: {native: tally}}`.
 *
 * It counts who comes through a door, up to three. cairn_decide_event() and cairn_decide_reject() are found in the server, so
 * a module links with nothing. See cairn/app.h: struct cairn_decider. */
#include <cairn/app.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    int64_t n;
};

static cairn_err
tally_new(void *self, cairn_str stream, void **ret_state, cairn_error *error)
{
    (void)self, (void)stream, (void)error;
    *ret_state = calloc(1, sizeof(struct tally));
    return *ret_state ? CAIRN_OK : CAIRN_E_NOMEM;
}

static void
tally_free(void *self, void *state)
{
    (void)self;
    free(state);
}

static cairn_err
evolve(void *self, void *state, const cairn_recorded *event, cairn_error *error)
{
    struct tally *tally = state;
    (void)self, (void)event, (void)error; /* there is one type of event */
    tally->n++;
    return CAIRN_OK;
}

static cairn_err
decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    const struct tally *tally = state;
    char data[64];
    (void)self, (void)command, (void)error; /* command->data is JSON, valid by the command's schema */
    if (tally->n == 3)
        return cairn_decide_reject(decision, CAIRN_STR("full"), CAIRN_STR("three are in"), CAIRN_STR("{\"n\":3}"));
    int size = snprintf(data, sizeof data, "{\"n\":%" PRId64 "}", tally->n + 1);
    const cairn_event event = {.type = CAIRN_STR("Counted"), .data = {data, (size_t)size}};
    return cairn_decide_event(decision, (cairn_str){0}, &event);
}

static cairn_err
save(void *self, const void *state, cairn_sink sink, void *context, cairn_error *error)
{
    const struct tally *tally = state;
    char json[64];
    (void)self, (void)error;
    int size = snprintf(json, sizeof json, "{\"n\":%" PRId64 "}", tally->n);
    return sink(context, (cairn_str){json, (size_t)size}) ? CAIRN_OK : CAIRN_E_CLOSED;
}

static cairn_err
load(void *self, cairn_str stream, cairn_str json, void **ret_state, cairn_error *error)
{
    char text[64] = "";
    cairn_err err = tally_new(self, stream, ret_state, error);
    memcpy(text, json.data, json.size < sizeof text ? json.size : sizeof text - 1);
    if (err == CAIRN_OK)
        sscanf(text, "{\"n\":%" SCNd64 "}", &((struct tally *)*ret_state)->n);
    return err;
}

/* `evolve` or the state's form changes: so does the fingerprint, and snapshots of before are dropped. */
static const cairn_decider tally = {
    .abi = CAIRN_DECIDER_ABI,
    .name = "tally",
    .state_new = tally_new,
    .state_free = tally_free,
    .evolve = evolve,
    .decide = decide,
    .save = save,
    .load = load,
    .fingerprint = {"tally 1", 7},
};

CAIRN_API const cairn_decider *
cairn_decider_module(void)
{
    return &tally;
}
