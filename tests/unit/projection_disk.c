/* A disk that fails for a while, under a projection: full, unreadable, unwritable.
 *
 * Method: a VFS that is SQLite's own, with one switch: from the n-th call of a kind on, so many calls fail. It is made the
 * default before the first connection, so that the program's VFS takes it for the machine's. */
#include "projection_rig.h"

#include <sqlite3.h>

enum call { CALL_READ, CALL_WRITE, CALL_SYNC, CALL_TRUNCATE, CALL_OPEN, CALL_COUNT };
static const char *const CALLS[] = {"read", "write", "sync", "truncate", "open"};

static struct {
    atomic_uint calls;       /* kinds that fail, as bits */
    atomic_int wait, left;   /* calls until the first that fails; how many fail then */
    atomic_int result;       /* SQLite's code */
    atomic_uint failed;      /* that did */
} disk;

static sqlite3_vfs *machine;

struct file {
    sqlite3_file file;
    sqlite3_file *real; /* behind this structure */
};

static sqlite3_file *
real(sqlite3_file *file)
{
    return ((struct file *)(void *)file)->real;
}

static bool
fails(enum call call)
{
    if ((atomic_load(&disk.calls) & 1u << call) == 0 || atomic_fetch_sub(&disk.wait, 1) > 0)
        return false;
    if (atomic_fetch_sub(&disk.left, 1) <= 0) {
        atomic_store(&disk.calls, 0);
        return false;
    }
    atomic_fetch_add(&disk.failed, 1);
    return true;
}

static int
file_close(sqlite3_file *file)
{
    return real(file)->pMethods->xClose(real(file));
}

static int
file_read(sqlite3_file *file, void *to, int size, sqlite3_int64 at)
{
    return fails(CALL_READ) ? SQLITE_IOERR_READ : real(file)->pMethods->xRead(real(file), to, size, at);
}

static int
file_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 at)
{
    if (!fails(CALL_WRITE))
        return real(file)->pMethods->xWrite(real(file), from, size, at);
    if (size > 1) /* half of it is there */
        (void)real(file)->pMethods->xWrite(real(file), from, size / 2, at);
    return atomic_load(&disk.result);
}

static int
file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return fails(CALL_TRUNCATE) ? SQLITE_IOERR_TRUNCATE : real(file)->pMethods->xTruncate(real(file), size);
}

static int
file_sync(sqlite3_file *file, int flags)
{
    return fails(CALL_SYNC) ? SQLITE_IOERR_FSYNC : real(file)->pMethods->xSync(real(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret) { return real(file)->pMethods->xFileSize(real(file), ret); }
static int file_lock(sqlite3_file *file, int lock) { return real(file)->pMethods->xLock(real(file), lock); }
static int file_unlock(sqlite3_file *file, int lock) { return real(file)->pMethods->xUnlock(real(file), lock); }
static int file_reserved(sqlite3_file *file, int *ret) { return real(file)->pMethods->xCheckReservedLock(real(file), ret); }
static int file_control(sqlite3_file *file, int op, void *arg) { return real(file)->pMethods->xFileControl(real(file), op, arg); }
static int file_sector(sqlite3_file *file) { return real(file)->pMethods->xSectorSize(real(file)); }
static int file_device(sqlite3_file *file) { return real(file)->pMethods->xDeviceCharacteristics(real(file)); }

static int
file_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    return real(file)->pMethods->xShmMap(real(file), page, size, extend, ret);
}

static int
file_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *file) { real(file)->pMethods->xShmBarrier(real(file)); }
static int file_shm_unmap(sqlite3_file *file, int remove) { return real(file)->pMethods->xShmUnmap(real(file), remove); }

static const sqlite3_io_methods METHODS = {
    .iVersion = 2, .xClose = file_close, .xRead = file_read, .xWrite = file_write, .xTruncate = file_truncate,
    .xSync = file_sync, .xFileSize = file_size, .xLock = file_lock, .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved, .xFileControl = file_control, .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device, .xShmMap = file_shm_map, .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier, .xShmUnmap = file_shm_unmap,
};

static int
open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct file *ours = (struct file *)(void *)file;
    (void)vfs;
    file->pMethods = NULL;
    ours->real = (sqlite3_file *)(void *)(ours + 1);
    if (fails(CALL_OPEN))
        return SQLITE_CANTOPEN;
    int rc = machine->xOpen(machine, name, ours->real, flags, ret_flags);
    if (ours->real->pMethods != NULL)
        file->pMethods = &METHODS;
    return rc;
}

static void
install(void)
{
    static sqlite3_vfs vfs;
    CHECK_INT(sqlite3_initialize(), SQLITE_OK);
    machine = sqlite3_vfs_find(NULL);
    vfs = *machine;
    vfs.pNext = NULL;
    vfs.zName = "failing";
    vfs.szOsFile = machine->szOsFile + (int)sizeof(struct file);
    vfs.xOpen = open_file;
    CHECK_INT(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

static void
fail_from_now(unsigned calls, int wait, int count, int result)
{
    atomic_store(&disk.calls, 0);
    atomic_store(&disk.wait, wait);
    atomic_store(&disk.left, count);
    atomic_store(&disk.result, result);
    atomic_store(&disk.calls, calls);
}

static const char TEXT[] =
    "-- from account\n-- table\n"
    "CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL, moves INTEGER NOT NULL);\n"
    "CREATE TABLE entry (n INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT, position INTEGER UNIQUE, pad BLOB);\n"
    "-- on Moved\n"
    "INSERT INTO account VALUES (:stream_id, :data.amount, 1) ON CONFLICT (id) DO UPDATE SET balance = balance + :data.amount,"
    " moves = moves + 1;\n"
    "INSERT INTO entry (account, position, pad) VALUES (:stream_id, :position, zeroblob(500));\n";

static unsigned appended;
static int64_t sum;

static void
append(struct rig *rig, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char stream[32], data[32];
        snprintf(stream, sizeof stream, "account-%u", appended * 7 % 50);
        snprintf(data, sizeof data, "{\"amount\":%u}", appended);
        rig_append(rig, stream, "Moved", data);
        sum += appended++;
    }
}

static void
check_all(struct rig *rig)
{
    char value[512], expected[128];
    rig_value(rig, "SELECT count(*), max(n), (SELECT sum(balance) FROM account), (SELECT sum(moves) FROM account) FROM entry", value);
    snprintf(expected, sizeof expected, "%u|%u|%lld|%u", appended, appended, (long long)sum, appended);
    CHECK_STR(value, expected);
}

/* Goal: a disk that is full is no fault of the event: the projection waits, says so, with what it tries again, and goes on by
 * itself; a query that waits is not told that all is lost. */
TEST(waits_and_says_so)
{
    static const struct {
        unsigned calls;
        int result;
        const char *error;
    } CASES[] = {
        {1u << CALL_WRITE, SQLITE_FULL, "full"},
        {1u << CALL_WRITE, SQLITE_IOERR_WRITE, "I/O error"},
    };
    struct rig rig;
    cairn_error error = {0};
    appended = 0;
    sum = 0;
    rig_open(&rig, TEXT);
    append(&rig, 100);
    rig_start(&rig);
    rig_wait(&rig);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct buf status = {0};
        fail_from_now(CASES[i].calls, 0, INT32_MAX, CASES[i].result);
        append(&rig, 10);
        rig_until(&rig, "\"retrying\":true");
        rig_until(&rig, CASES[i].error);
        rig_status(&rig, &status);
        CHECK(strstr(status.data, "\"state\":\"running\"") != NULL); /* nobody has to do anything */
        CHECK_INT(runner_wait(rig.runner, cairn_end(rig.store), 50, &error), CAIRN_E_TIMEOUT);
        CHECK_INT(runner_do(rig.runner, CAIRN_PROJECTION_SKIP, &error), CAIRN_E_INVALID);
        CHECK(strstr(error.detail, "not at fault") != NULL);
        append(&rig, 10);
        atomic_store(&disk.calls, 0);
        rig_wait(&rig);
        rig_until(&rig, "\"failure\":null,\"parked\":0,\"skipped\":0");
        check_all(&rig);
        buf_free(&status);
    }
    rig_close(&rig);
}

/* Goal: whichever call fails, however often, nothing is lost or doubled, and no damaged file is taken for a whole one.
 * Method: random kinds of calls fail at random places while events come, rebuilds run and the runner is stopped and started;
 * afterwards the rows are counted, and compared with those of a projection that begins with nothing. */
TEST(loses_and_doubles_nothing)
{
    struct rig rig;
    uint64_t seed = test_seed();
    cairn_error error = {0};
    unsigned by_call[CALL_COUNT] = {0};
    appended = 0;
    sum = 0;
    rig_open(&rig, TEXT);
    rig.options.checkpoint_every = 300;
    rig_start(&rig);
    for (unsigned round = 0; round < 150 * test_scale(); round++) {
        static const int RESULTS[] = {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR};
        enum call call = (enum call)(test_random(&seed) % CALL_COUNT);
        unsigned before = atomic_load(&disk.failed);
        fail_from_now(1u << call, (int)(test_random(&seed) % (call == CALL_WRITE ? 60 : 4)), 1 + (int)(test_random(&seed) % 6),
                      RESULTS[test_random(&seed) % 3]);
        append(&rig, 1 + (unsigned)(test_random(&seed) % 60));
        if (test_random(&seed) % 4 == 0)
            error_ignore(runner_rebuild(rig.runner, 0, CAIRN_ON_ERROR_STOP, &error));
        if (test_random(&seed) % 8 == 0) {
            rig_stop(&rig, false); /* its last commit may fail: then it is done again */
            atomic_store(&disk.calls, 0);
            rig_start(&rig);
        }
        if (test_random(&seed) % 3 == 0) {
            rig_wait(&rig);
            atomic_store(&disk.calls, 0); /* the test's own reading is no part of it */
            check_all(&rig);
        }
        by_call[call] += atomic_load(&disk.failed) - before;
    }
    atomic_store(&disk.calls, 0);
    uint64_t position;
    error_ignore(runner_rebuild_wait(rig.runner, RIG_WAIT_MS, &position, &error));
    rig_wait(&rig);
    check_all(&rig);
    struct buf live = {0}, fresh = {0};
    rig_dump(&rig, &live);
    rig_dump_fresh(&rig, &fresh);
    CHECK_STR(live.data, fresh.data);
    for (int i = 0; i < CALL_COUNT; i++)
        printf("%s: %u calls failed\n", CALLS[i], by_call[i]);
    CHECK(by_call[CALL_WRITE] > 20 && by_call[CALL_OPEN] + by_call[CALL_READ] + by_call[CALL_SYNC] > 5);
    buf_free(&live);
    buf_free(&fresh);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(waits_and_says_so), RUN(loses_and_doubles_nothing)};
    install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
