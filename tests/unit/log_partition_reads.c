/* What reading a partition costs: how often the disk is asked, by batches' sizes. */
#include "topic_rig.h"

#include <os/os.h>
#include <store/store.h>

#define LEAST 65536u /* batches of that size are found, not read */
#define SMALL 400u
#define LARGE 4u

/* The real machine, whose reads are counted. */
static unsigned reads;

static ssize_t
counting_read(struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset)
{
    reads++;
    return os_real()->ops->pread(os, file, to, size, offset);
}

static cairn_str
make_batch(struct batch_maker *maker, size_t value_size)
{
    char *bytes = calloc(1, value_size);
    CHECK(bytes != NULL);
    cairn_str key = CAIRN_STR("k"), value = {bytes, value_size};
    batch_make_begin(maker);
    CHECK(batch_make_add(maker, 0, 1700000000000, &key, &value, NULL, 0));
    CHECK(batch_make_end(maker, BATCH_PLAIN, 0, 0));
    free(bytes);
    return buf_str(&maker->out);
}

/* Goal: small batches that lie next to each other are read many at once, also by who would rather have large ones found in the
 * file; and large ones behind them are found.
 * Method: count the calls that read. */
TEST(small_batches_are_read_ahead)
{
    struct os_ops ops = *os_real()->ops;
    struct os machine = {&ops};
    char folder[64], data[96];
    cairn_store *store;
    cairn_partition_reader *reader;
    cairn_partition_item item;
    struct batch_maker maker = {0};
    int file;
    uint64_t at;
    ops.pread = counting_read;
    test_folder(folder);
    snprintf(data, sizeof data, "%s/data", folder);
    CHECK_OK(cairn_store_open_on(&machine, data, &(cairn_options){.create = true, .no_background = true}, &store, NULL));
    cairn_topic_ref *topic = rig_make_topic(store, "t", 1);
    cairn_uuid id = cairn_topic_of(topic)->id;
    cairn_topic_release(topic);
    for (unsigned i = 0; i < SMALL + LARGE; i++)
        CHECK_INT(rig_produce(store, &id, 0, make_batch(&maker, i < SMALL ? 1000 : 2 * LEAST)), i);

    CHECK_OK(cairn_read_partition(store, 0, &id, 0, 0, &reader, NULL));
    reads = 0;
    for (unsigned i = 0; i < SMALL; i++) {
        CHECK_OK(store_partition_find(reader, LEAST, &item, &file, &at, NULL));
        CHECK(item.first_offset == i && file < 0 && item.batch.size > 1000);
    }
    CHECK(reads < 12);
    for (unsigned i = SMALL; i < SMALL + LARGE; i++) {
        CHECK_OK(store_partition_find(reader, LEAST, &item, &file, &at, NULL));
        CHECK(item.first_offset == i && file >= 0 && item.batch.size > 2 * LEAST);
        os_descriptor_close(file);
    }
    cairn_partition_reader_free(reader);
    cairn_close(store);
    batch_make_free(&maker);
    test_remove(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(small_batches_are_read_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
