/* Many appends at once from one thread: each is handed over without waiting, the store commits them in
 * batches, and a callback says when each one is on the disk.
 *
 *   ./async FOLDER */
#include <cairn/cairn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#define APPENDS 1000

struct progress {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int done, failed;
};

/* On the store's commit thread: short, and no call that waits for a commit. */
static void
on_done(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    (void)at;
    struct progress *progress = context;
    if (err != CAIRN_OK)
        fprintf(stderr, "append: %s\n", error->detail);
    pthread_mutex_lock(&progress->lock);
    progress->done++;
    progress->failed += err != CAIRN_OK;
    pthread_cond_signal(&progress->changed);
    pthread_mutex_unlock(&progress->lock);
}

/* When too many appends are waiting the store says so; then wait for one of ours to be done. */
static void
wait_for_more_than(struct progress *progress, int done)
{
    pthread_mutex_lock(&progress->lock);
    while (progress->done <= done)
        pthread_cond_wait(&progress->changed, &progress->lock);
    pthread_mutex_unlock(&progress->lock);
}

static int
done_so_far(struct progress *progress)
{
    pthread_mutex_lock(&progress->lock);
    int done = progress->done;
    pthread_mutex_unlock(&progress->lock);
    return done;
}

static cairn_err
append_one(cairn_store *store, int number, struct progress *progress, cairn_error *error)
{
    char stream[32], data[32];
    snprintf(stream, sizeof stream, "meter-%d", number % 10);
    snprintf(data, sizeof data, "{\"n\":%d}", number);
    const cairn_event event = {.type = CAIRN_STR("Counted"), .data = cairn_cstr(data)};
    const cairn_write write = {cairn_cstr(stream), CAIRN_ANY, &event, 1};
    const cairn_append_request request = {.writes = &write, .write_count = 1};
    return cairn_append_async(store, &request, on_done, progress, error);
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
    if (cairn_open(argv[1], &options, &store, &error) != CAIRN_OK) {
        fprintf(stderr, "open: %s\n", error.detail);
        return 1;
    }
    struct progress progress = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    int handed_over = 0;
    while (handed_over < APPENDS) {
        int done = done_so_far(&progress);
        cairn_err err = append_one(store, handed_over, &progress, &error);
        if (err == CAIRN_OK) {
            handed_over++;
        } else if (err == CAIRN_E_BUSY && done < handed_over) {
            wait_for_more_than(&progress, done);
        } else {
            fprintf(stderr, "append: %s\n", error.detail);
            break;
        }
    }
    wait_for_more_than(&progress, handed_over - 1);
    cairn_stats stats;
    cairn_stats_get(store, &stats);
    printf("%d appends durable, %d failed\n", progress.done, progress.failed);
    printf("one commit carried more than one append: %s\n",
           stats.batches_total < (uint64_t)progress.done ? "yes" : "no");
    cairn_close(store);
    return progress.failed || handed_over < APPENDS;
}
