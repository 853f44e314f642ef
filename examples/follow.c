/* Catch up with a category, then follow it: one thread writes, another one sees every event once,
 * in order, with no gap between the old ones and the new.
 *
 *   ./follow FOLDER */
#include <cairn/cairn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#define EVENTS 10

static cairn_store *store;

static void *
write_events(void *unused)
{
    (void)unused;
    for (int i = 0; i < EVENTS; i++) {
        char stream[32], data[32];
        snprintf(stream, sizeof stream, "sensor-%d", i % 3);
        snprintf(data, sizeof data, "{\"reading\":%d}", i);
        const cairn_event event = {.type = CAIRN_STR("Measured"), .data = cairn_cstr(data)};
        cairn_at at;
        cairn_error error;
        if (cairn_append(store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, &error) !=
            CAIRN_OK) {
            fprintf(stderr, "append: %s\n", error.detail);
            break;
        }
    }
    return NULL;
}

static int
follow(int64_t from)
{
    const cairn_read_options options = {
        .from = from, .category = CAIRN_STR("sensor"), .follow = true};
    cairn_reader *reader;
    cairn_error error;
    cairn_err err = cairn_read_all(store, &options, &reader, &error);
    for (int seen = 0; err == CAIRN_OK && seen < EVENTS;) {
        cairn_recorded event;
        err = cairn_reader_next(reader, &event, &error);
        if (err == CAIRN_E_END) { /* nothing more now: sleep until there may be */
            err = cairn_reader_wait(reader, 10000);
            error.detail[0] = '\0';
            continue;
        }
        if (err == CAIRN_OK) {
            seen++;
            printf("%.*s %.*s\n", (int)event.stream.size, event.stream.data,
                   (int)event.event.data.size, event.event.data.data);
        }
    }
    if (err != CAIRN_OK) {
        fprintf(stderr, "follow: %s %s\n", cairn_err_name(err), error.detail);
        return 1;
    }
    printf("a later run would go on from %" PRId64 "\n", cairn_reader_from(reader));
    cairn_reader_free(reader);
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    const cairn_options options = {.create = true};
    cairn_error error;
    if (cairn_open(argv[1], &options, &store, &error) != CAIRN_OK) {
        fprintf(stderr, "open: %s\n", error.detail);
        return 1;
    }
    int64_t from = (int64_t)cairn_end(store);
    pthread_t writer;
    if (pthread_create(&writer, NULL, write_events, NULL) != 0)
        return 1;
    int status = follow(from);
    pthread_join(writer, NULL);
    cairn_close(store);
    return status;
}
