/* Runs a fuzz target without libFuzzer, so that every build can: with any compiler, under any sanitizer.
 *
 * A target is one file fuzz_NAME.c that defines LLVMFuzzerTestOneInput() and no main. Linked with this
 * file it is a test program; compiled by clang with -fsanitize=fuzzer instead, without this file, it is a
 * libFuzzer program. Both take the same arguments:
 *
 *   fuzz_NAME [-runs=N] [-seed=N] [-max_len=N] [FILE or FOLDER]…
 *
 * First every file is replayed (by default those of tests/fuzz/corpus/NAME, relative to the checkout).
 * Then come N runs (10,000 by default, times TEST_SCALE; 0 to replay only) on mutations of those files. A
 * run depends only on the seed (TEST_SEED, or -seed) and its number, so that any of them can be played
 * again alone:
 *
 *   fuzz_NAME -only=RUN [-save=FILE]
 *
 * A target that ends the process leaves the number of the run, and its input in crash-NAME-RUN. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A sanitizer that has found something ends the process by abort(), where hear_failures() listens. */
#define SANITIZER_OPTIONS __attribute__((visibility("default"))) const char *
SANITIZER_OPTIONS __asan_default_options(void);
SANITIZER_OPTIONS __asan_default_options(void) { return "abort_on_error=1"; }
SANITIZER_OPTIONS __ubsan_default_options(void);
SANITIZER_OPTIONS __ubsan_default_options(void) { return "abort_on_error=1:print_stacktrace=1"; }
SANITIZER_OPTIONS __tsan_default_options(void);
SANITIZER_OPTIONS __tsan_default_options(void) { return "abort_on_error=1"; }

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define SEEDS_MAX 4096
#define INPUT_MAX (1 << 20)

struct input {
    uint8_t *data;
    size_t size;
};

static struct input seeds[SEEDS_MAX];
static size_t seed_count;

/* ---- what is being run, for the last words */

static char target[64];
static char running[300]; /* a file's name, or a run's number */
static const uint8_t *running_data;
static size_t running_size;

static void
say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(99);
}

/* Only calls that a signal handler may make. */
static void
last_words(void)
{
    say("\nfuzz target ");
    say(target);
    say(" failed in ");
    say(running);
    if (strncmp(running, "run ", 4) == 0) {
        char path[128] = "crash-";
        strcat(strcat(strcat(path, target), "-"), running + 4);
        int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (file >= 0 && write(file, running_data, running_size) == (ssize_t)running_size) {
            say("; its input is in ");
            say(path);
        }
    }
    say("\n");
}

static void
on_signal(int number)
{
    last_words();
    signal(number, SIG_DFL);
    raise(number);
}

static void
hear_failures(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    /* A sanitizer hears all but the first itself, says more of them than we could, and then aborts. */
    size_t count = SANITIZED ? 1 : sizeof signals / sizeof signals[0];
    for (size_t i = 0; i < count; i++)
        signal(signals[i], on_signal);
}

/* In memory of exactly the input's size, so that sanitizers see a read past its end. */
static void
run_target(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        exit(1);
    memcpy(exact, data, size);
    running_data = exact;
    running_size = size;
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* ---- the corpus */

static void
load_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || seed_count == SEEDS_MAX) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    uint8_t *data = malloc(INPUT_MAX);
    size_t size = data ? fread(data, 1, INPUT_MAX, file) : 0;
    fclose(file);
    seeds[seed_count++] = (struct input){data, size};
    snprintf(running, sizeof running, "%s", path);
    run_target(data, size);
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* In the order of names, so that a run's number means the same on every file system. */
static void
load(const char *path)
{
    struct stat info;
    struct dirent **entries;
    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode)) {
        load_file(path);
        return;
    }
    int count = scandir(path, &entries, NULL, by_name);
    if (count < 0) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    for (int i = 0; i < count; i++) {
        char file[512];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            load_file(file);
        free(entries[i]);
    }
    free(entries);
}

/* ---- mutation */

struct mutant {
    uint8_t *data;
    size_t size, size_max;
    uint64_t random;
};

static size_t
below(struct mutant *mutant, size_t bound)
{
    return bound ? test_random(&mutant->random) % bound : 0;
}

/* Replace `cut` bytes at `at` by others, as far as they fit. */
static void
replace_bytes(struct mutant *mutant, size_t at, size_t cut, const uint8_t *bytes, size_t size)
{
    size_t rest = mutant->size - at - cut, room = mutant->size_max - at - rest;
    if (size > room)
        size = room;
    memmove(mutant->data + at + size, mutant->data + at + cut, rest);
    if (size)
        memcpy(mutant->data + at, bytes, size);
    mutant->size = at + size + rest;
}

static void
mutate(struct mutant *mutant)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7F, 0x80, 0xFF, ' ', '\n', '\r',
                                    '"', '\\', '0', '9', '-', ':', ','};
    uint8_t piece[64];
    size_t size = mutant->size, at = below(mutant, size + 1), left = size - at;
    size_t length = below(mutant, left < sizeof piece ? left + 1 : sizeof piece);
    switch (below(mutant, 8)) {
    case 0: /* flip a bit */
        if (left)
            mutant->data[at] ^= (uint8_t)(1 << below(mutant, 8));
        break;
    case 1: /* another byte */
        if (left)
            mutant->data[at] = (uint8_t)below(mutant, 256);
        break;
    case 2: /* a byte that matters to parsers */
        if (left)
            mutant->data[at] = edges[below(mutant, sizeof edges)];
        break;
    case 3:
        piece[0] = edges[below(mutant, sizeof edges)];
        replace_bytes(mutant, at, 0, piece, 1);
        break;
    case 4:
        replace_bytes(mutant, at, length, NULL, 0);
        break;
    case 5: /* repeat a piece, sometimes many times */
        memcpy(piece, mutant->data + at, length);
        for (size_t n = below(mutant, 8) ? 1 : below(mutant, 300); n > 0; n--)
            replace_bytes(mutant, at, 0, piece, length);
        break;
    case 6: { /* a piece of another input */
        const struct input *other = &seeds[below(mutant, seed_count)];
        size_t from = below(mutant, other->size + 1);
        size_t cut = below(mutant, left + 1), more = below(mutant, other->size - from + 1);
        replace_bytes(mutant, at, cut, other->data + from, more);
        break;
    }
    case 7: /* cut off the end */
        mutant->size = at;
        break;
    }
}

static void
make_mutant(struct mutant *mutant, uint64_t seed, unsigned long run)
{
    mutant->random = seed ^ (run * 0xD1342543DE82EF95u);
    const struct input *from = &seeds[below(mutant, seed_count)];
    mutant->size = from->size < mutant->size_max ? from->size : mutant->size_max;
    memcpy(mutant->data, from->data, mutant->size);
    for (size_t n = 1 + below(mutant, 6); n > 0; n--)
        mutate(mutant);
}

/* ---- */

struct arguments {
    unsigned long runs, only, max_len;
    uint64_t seed;
    const char *save;
    int first_path;
};

static void
read_arguments(struct arguments *given, int argc, char **argv)
{
    int i = 1;
    bool seeded = false;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *value = strchr(argv[i], '=');
        value = value ? value + 1 : "";
        if (strncmp(argv[i], "-runs=", 6) == 0)
            given->runs = strtoul(value, NULL, 10);
        else if (strncmp(argv[i], "-only=", 6) == 0)
            given->only = strtoul(value, NULL, 10);
        else if (strncmp(argv[i], "-max_len=", 9) == 0)
            given->max_len = strtoul(value, NULL, 10);
        else if (strncmp(argv[i], "-seed=", 6) == 0)
            given->seed = strtoull(value, NULL, 0), seeded = true;
        else if (strncmp(argv[i], "-save=", 6) == 0)
            given->save = value;
        else {
            fprintf(stderr, "unknown argument %s; see the head of tests/fuzz/driver.c\n", argv[i]);
            exit(2);
        }
    }
    if (seeded)
        printf("seed: TEST_SEED=%llu\n", (unsigned long long)given->seed);
    else
        given->seed = test_seed();
    if (given->max_len == 0 || given->max_len > INPUT_MAX)
        given->max_len = INPUT_MAX;
    given->first_path = i;
}

static void
run_mutants(const struct arguments *given)
{
    struct mutant mutant = {.data = malloc(given->max_len), .size_max = given->max_len};
    unsigned long first = given->only ? given->only : 1;
    unsigned long last = given->only ? given->only : given->runs;
    if (!mutant.data)
        exit(1);
    for (unsigned long run = first; run <= last; run++) {
        make_mutant(&mutant, given->seed, run);
        snprintf(running, sizeof running, "run %lu", run);
        if (given->save) {
            FILE *file = fopen(given->save, "wb");
            if (!file || fwrite(mutant.data, 1, mutant.size, file) != mutant.size || fclose(file) != 0)
                fprintf(stderr, "cannot write %s\n", given->save);
        }
        run_target(mutant.data, mutant.size);
    }
    free(mutant.data);
    printf("fuzz target %s: %zu inputs replayed, %lu mutations run\n", target, seed_count, last - first + 1);
}

int
main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    snprintf(target, sizeof target, "%s", strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name);
    struct arguments given = {.runs = 10000ul * test_scale(), .max_len = 4096};
    read_arguments(&given, argc, argv);
    hear_failures();

    if (given.first_path == argc) {
        char folder[128];
        snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", target);
        load(folder);
    }
    for (int i = given.first_path; i < argc; i++)
        load(argv[i]);
    if (seed_count == 0) {
        fprintf(stderr, "there is no input to begin with\n");
        return 1;
    }
    run_mutants(&given);
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].data);
    return 0;
}
