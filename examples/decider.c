/* A decider in C as a shared object: the seats of a room, at most as many as the module says.
 *
 * Build it, put it where `cairn serve --apps-native DIR` looks, and name it in app.yaml:
 *
 *   deciders: {seats: {native: decider}}          # decider.so
 *   commands:
 *     Reserve: {schema: …, stream: "room-{room}"}  # {"room": "blue", "seats": 2}
 *     Release: {schema: …, stream: "room-{room}"}
 *
 * It needs cairn/app.h alone: cairn_decide_event() and cairn_decide_reject() are in the program that loads it. decide and
 * evolve are pure: no clock, no chance, no files; whatever matters is in the command, or it is in the events.
 *
 * Data is JSON text. It was valid by the command's schema, which here keeps quotes out of texts (a pattern), so that looking
 * for "seats": is enough; a real module takes a JSON library of its own. */
#include <cairn/app.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SEATS_MAX 10

struct room {
    int64_t taken;
};

/* The whole number of a member, or 0. The text has no NUL at its end. */
static int64_t
number_of(cairn_str json, const char *member)
{
    char name[32], digits[24];
    size_t size = (size_t)snprintf(name, sizeof name, "\"%s\"", member), used = 0;
    for (size_t at = 0; at + size <= json.size; at++) {
        if (memcmp(json.data + at, name, size) != 0)
            continue;
        for (at += size; at < json.size && strchr(" \t\r\n:", json.data[at]) != NULL; at++)
            ;
        while (at < json.size && used + 1 < sizeof digits && strchr("-0123456789", json.data[at]) != NULL)
            digits[used++] = json.data[at++];
        break;
    }
    digits[used] = '\0';
    return strtoll(digits, NULL, 10);
}

static cairn_err
room_new(void *self, cairn_str stream, void **ret_state, cairn_error *error)
{
    (void)self, (void)stream, (void)error;
    *ret_state = calloc(1, sizeof(struct room));
    return *ret_state != NULL ? CAIRN_OK : CAIRN_E_NOMEM;
}

static void
room_free(void *self, void *state)
{
    (void)self;
    free(state);
}

static size_t
room_size(void *self, const void *state)
{
    (void)self, (void)state;
    return sizeof(struct room);
}

/* Events are facts: whatever was decided then is taken in now, even where the rules have changed since. */
static cairn_err
room_evolve(void *self, void *state, const cairn_recorded *event, cairn_error *error)
{
    struct room *room = state;
    int64_t seats = number_of(event->event.data, "seats");
    (void)self, (void)error;
    if (cairn_str_equal(event->event.type, CAIRN_STR("SeatsReserved")))
        room->taken += seats;
    else if (cairn_str_equal(event->event.type, CAIRN_STR("SeatsReleased")))
        room->taken -= seats;
    return CAIRN_OK;
}

static cairn_err
put_event(cairn_decision *decision, const char *type, int64_t seats)
{
    char data[48];
    int size = snprintf(data, sizeof data, "{\"seats\":%" PRId64 "}", seats);
    const cairn_event event = {.type = cairn_cstr(type), .data = {data, (size_t)size}};
    return cairn_decide_event(decision, (cairn_str){0}, &event); /* no stream: the command's own */
}

static cairn_err
room_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    const struct room *room = state;
    int64_t seats = number_of(command->data, "seats"), left = SEATS_MAX - room->taken;
    (void)self, (void)error;
    if (cairn_str_equal(command->name, CAIRN_STR("Reserve"))) {
        if (seats <= left)
            return put_event(decision, "SeatsReserved", seats);
        char details[48];
        int size = snprintf(details, sizeof details, "{\"left\":%" PRId64 "}", left);
        return cairn_decide_reject(decision, CAIRN_STR("full"), CAIRN_STR("There are not that many seats left."),
                                   (cairn_str){details, (size_t)size});
    }
    if (cairn_str_equal(command->name, CAIRN_STR("Release"))) {
        if (seats > room->taken)
            seats = room->taken;
        return seats > 0 ? put_event(decision, "SeatsReleased", seats) : CAIRN_OK; /* nothing needs to happen */
    }
    return CAIRN_E_UNSUPPORTED;
}

/* With these two the state can be kept as a snapshot, and looked at by people. */
static cairn_err
room_save(void *self, const void *state, cairn_sink sink, void *context, cairn_error *error)
{
    const struct room *room = state;
    char json[48];
    int size = snprintf(json, sizeof json, "{\"taken\":%" PRId64 "}", room->taken);
    (void)self, (void)error;
    return sink(context, (cairn_str){json, (size_t)size}) ? CAIRN_OK : CAIRN_E_LIMIT;
}

static cairn_err
room_load(void *self, cairn_str stream, cairn_str json, void **ret_state, cairn_error *error)
{
    cairn_err err = room_new(self, stream, ret_state, error);
    if (err == CAIRN_OK)
        ((struct room *)*ret_state)->taken = number_of(json, "taken");
    return err;
}

static const cairn_decider decider = {
    .abi = CAIRN_DECIDER_ABI,
    .name = "decider",
    .state_new = room_new,
    .state_free = room_free,
    .state_size = room_size,
    .evolve = room_evolve,
    .decide = room_decide,
    .save = room_save,
    .load = room_load,
    .fingerprint = {"room 1", 6}, /* another one whenever room_evolve or what room_save writes changes */
};

CAIRN_API const cairn_decider *cairn_decider_module(void);

const cairn_decider *
cairn_decider_module(void)
{
    return &decider;
}
