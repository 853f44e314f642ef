/* A consumer group: the store remembers what has been done. One event is refused until it is
 * parked, the others are acknowledged; then the parked one is handed out again and succeeds.
 *
 *   ./groups FOLDER */
#include <cairn/cairn.h>
#include <inttypes.h>
#include <stdio.h>

static cairn_store *store;
static const cairn_str group = {"mailer", 6};

struct work {
    uint64_t good[16], bad[16];
    size_t good_count, bad_count;
    int accept_all;
};

static void
on_event(void *context, const cairn_recorded *event, uint32_t delivery)
{
    struct work *work = context;
    int broken = cairn_str_equal(event->event.data, CAIRN_STR("{\"to\":\"nobody\"}"));
    printf("delivery %" PRIu32 ": %.*s\n", delivery, (int)event->event.data.size,
           event->event.data.data);
    if (broken && !work->accept_all)
        work->bad[work->bad_count++] = event->position;
    else
        work->good[work->good_count++] = event->position;
}

/* Take what is due, answer for it. CAIRN_E_END: nothing was due. */
static cairn_err
work_once(int accept_all, cairn_error *error)
{
    struct work work = {.accept_all = accept_all};
    cairn_err err = cairn_group_take(store, 0, group, 16, on_event, &work, error);
    if (err == CAIRN_OK)
        err = cairn_group_ack(store, 0, group, work.good, work.good_count, NULL, error);
    if (err == CAIRN_OK && work.bad_count > 0)
        err = cairn_group_nack(store, 0, group, work.bad, work.bad_count, true,
                               CAIRN_STR("no such mailbox"), NULL, error);
    return err;
}

static void
print_parked(void *context, const cairn_recorded *event, uint32_t deliveries, cairn_str reason)
{
    (void)context;
    printf("parked after %" PRIu32 ": %.*s: %.*s\n", deliveries, (int)event->event.data.size,
           event->event.data.data, (int)reason.size, reason.data);
}

static cairn_err
run(cairn_error *error)
{
    const char *receivers[] = {"ann", "nobody", "bob"};
    for (int i = 0; i < 3; i++) {
        char data[64];
        snprintf(data, sizeof data, "{\"to\":\"%s\"}", receivers[i]);
        const cairn_event event = {.type = CAIRN_STR("MailRequested"), .data = cairn_cstr(data)};
        cairn_at at;
        cairn_err err =
            cairn_append(store, 0, CAIRN_STR("mail-1"), CAIRN_ANY, &event, 1, &at, error);
        if (err != CAIRN_OK)
            return err;
    }
    const cairn_group_config config = {.category = CAIRN_STR("mail")};
    cairn_err err = cairn_group_put(store, 0, group, &config, error);
    while (err == CAIRN_OK)
        err = work_once(0, error);
    if (err == CAIRN_E_END)
        err = cairn_group_parked(store, 0, group, 10, print_parked, NULL, error);
    size_t replayed = 0;
    if (err == CAIRN_OK)
        err = cairn_group_replay_parked(store, 0, group, &replayed, error);
    if (err == CAIRN_OK)
        printf("replayed: %zu\n", replayed);
    while (err == CAIRN_OK)
        err = work_once(1, error);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    const cairn_options options = {.create = true};
    cairn_error error = {0};
    cairn_err err = cairn_open(argv[1], &options, &store, &error);
    if (err == CAIRN_OK)
        err = run(&error);
    if (err != CAIRN_OK)
        fprintf(stderr, "%s: %s\n", cairn_err_name(err), error.detail);
    cairn_close(store);
    return err != CAIRN_OK;
}
