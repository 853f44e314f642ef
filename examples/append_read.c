/* The smallest useful program: open a store, append to a stream, read it back.
 *
 *   ./append_read FOLDER */
#include <cairn/cairn.h>
#include <inttypes.h>
#include <stdio.h>

static int
fail(const char *what, const cairn_error *error)
{
    fprintf(stderr, "%s: %s (%s)\n", what, error->detail, cairn_err_name(error->code));
    return 1;
}

static int
append(cairn_store *store, cairn_str stream)
{
    const cairn_str tags[] = {CAIRN_STR("customer:7")};
    const cairn_event events[] = {
        {.type = CAIRN_STR("OrderPlaced"),
         .data = CAIRN_STR("{\"total\":12.50}"),
         .tags = tags,
         .tag_count = 1},
        {.type = CAIRN_STR("OrderPaid"), .data = CAIRN_STR("{\"by\":\"card\"}")},
    };
    cairn_at at;
    cairn_error error;
    /* CAIRN_NONE: only if nobody has used this stream before. */
    cairn_err err = cairn_append(store, 0, stream, CAIRN_NONE, events, 2, &at, &error);
    if (err == CAIRN_E_CONFLICT) {
        printf("the order is there already, at revision %" PRId64 "\n", error.revision);
        return 0;
    }
    if (err != CAIRN_OK)
        return fail("append", &error);
    printf("appended: positions %" PRIu64 " to %" PRIu64 ", revision %" PRIu64 "\n",
           at.first_position, at.last_position, at.revision);
    return 0;
}

static int
read_back(cairn_store *store, cairn_str stream)
{
    const cairn_read_options options = {.from = CAIRN_FROM_START};
    cairn_reader *reader;
    cairn_error error;
    if (cairn_read_stream(store, stream, &options, &reader, &error) != CAIRN_OK)
        return fail("read", &error);
    cairn_recorded event;
    cairn_err err;
    while ((err = cairn_reader_next(reader, &event, &error)) == CAIRN_OK)
        printf("%" PRIu64 " %.*s %.*s\n", event.revision, (int)event.event.type.size,
               event.event.type.data, (int)event.event.data.size, event.event.data.data);
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? 0 : fail("read", &error);
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    const cairn_options options = {.create = true};
    cairn_store *store;
    cairn_error error;
    if (cairn_open(argv[1], &options, &store, &error) != CAIRN_OK)
        return fail("open", &error);
    cairn_str stream = CAIRN_STR("order-42");
    int status = append(store, stream);
    if (status == 0)
        status = read_back(store, stream);
    cairn_close(store);
    return status;
}
