/* machine.c: what this machine is, and what its disk does with nothing in between.
 *
 * The raw figures are the yardstick of points 1 and 3: pwrite + fdatasync by one thread over a file whose
 * blocks were all written before, which is the fastest durable write that this kind of disk has. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#define RAW_FILE_SIZE (256u << 20)
#define RAW_BLOCK (4u << 20) /* the largest write */
#define RAW_BYTES_MAX \
    (512u << 20) /* of one measurement: shared disks slow down who has written gigabytes */
#define SETTLE_WAIT_MS 200
#define SETTLE_WAITS 600 /* at most, in a whole run; a sixth of that in a quick one */

static struct {
    int fd;
    char path[512];
    char *block;
    uint64_t offset;
} disk = {.fd = -1};

static unsigned settle_waits_left = SETTLE_WAITS;
static uint64_t stolen_before, ticks_before;

/* ---- facts ------------------------------------------------------------------------------- */

static void
first_match(const char *path, const char *field, char *ret, size_t size)
{
    char line[512];
    FILE *file = fopen(path, "re");
    snprintf(ret, size, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *value = strchr(line, ':');
        if (strncmp(line, field, strlen(field)) == 0 && value != NULL) {
            value[strcspn(value, "\n")] = '\0';
            snprintf(ret, size, "%s", value + 1 + strspn(value + 1, " \t"));
            break;
        }
    }
    if (file != NULL)
        fclose(file);
}

/* The mount that the folder's device number belongs to: file system type and source. */
static void
find_mount(const char *dir, char *type, char *source, size_t size)
{
    struct stat info;
    char line[1024], wanted[32];
    snprintf(type, size, "unknown");
    snprintf(source, size, "unknown");
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (file == NULL || stat(dir, &info) != 0)
        goto done;
    snprintf(wanted, sizeof wanted, "%u:%u", major(info.st_dev), minor(info.st_dev));
    while (fgets(line, sizeof line, file) != NULL) {
        char device[32];
        const char *rest = strstr(line, " - ");
        char found_type[64], found_source[128];
        if (rest == NULL || sscanf(line, "%*d %*d %31s", device) != 1
            || strcmp(device, wanted) != 0)
            continue;
        if (sscanf(rest, " - %63s %127s", found_type, found_source) == 2) {
            snprintf(type, size, "%s", found_type);
            snprintf(source, size, "%s", found_source);
        }
    }
done:
    if (file != NULL)
        fclose(file);
}

static void
read_ticks(uint64_t *ret_stolen, uint64_t *ret_all)
{
    unsigned long long t[8] = {0};
    FILE *file = fopen("/proc/stat", "re");
    if (file != NULL) {
        if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
                   &t[4], &t[5], &t[6], &t[7])
            != 8)
            memset(t, 0, sizeof t);
        fclose(file);
    }
    *ret_stolen = t[7];
    *ret_all = 0;
    for (int i = 0; i < 8; i++)
        *ret_all += t[i];
}

void
machine_begin(void)
{
    read_ticks(&stolen_before, &ticks_before);
}

struct facts {
    char cpu[128], kernel[200], fs[128], source[128];
    double memory_gib, disk_free_gb, load, stolen_share;
    long cpus;
};

static void
gather(struct facts *facts, const struct settings *settings)
{
    struct utsname name;
    struct statvfs space;
    uint64_t stolen, ticks;
    uname(&name);
    snprintf(facts->kernel, sizeof facts->kernel, "%s %s", name.sysname, name.release);
    first_match("/proc/cpuinfo", "model name", facts->cpu, sizeof facts->cpu);
    find_mount(settings->dir, facts->fs, facts->source, sizeof facts->fs);
    facts->cpus = sysconf(_SC_NPROCESSORS_ONLN);
    facts->memory_gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    facts->disk_free_gb = statvfs(settings->dir, &space) == 0
                              ? (double)space.f_bavail * (double)space.f_frsize / 1e9
                              : 0;
    if (getloadavg(&facts->load, 1) != 1)
        facts->load = 0;
    read_ticks(&stolen, &ticks);
    facts->stolen_share = ticks > ticks_before
                              ? (double)(stolen - stolen_before) / (double)(ticks - ticks_before)
                              : 0;
}

void
machine_print(FILE *to, const struct settings *settings)
{
    struct facts facts;
    struct rlimit descriptors;
    gather(&facts, settings);
    getrlimit(RLIMIT_NOFILE, &descriptors);
    fprintf(to, "  machine   %ld × %s, %.0f GiB memory, %s\n", facts.cpus, facts.cpu,
            facts.memory_gib, facts.kernel);
    fprintf(to, "  disk      %s on %s, %.0f GB free; all that is compared lies on it\n", facts.fs,
            facts.source, facts.disk_free_gb);
    fprintf(to, "  limits    %llu descriptors a process (raised as far as the system lets us)\n",
            (unsigned long long)descriptors.rlim_cur);
    fprintf(to,
            "  noise     load average %.1f; %.1f %% of processor time was taken by other machines "
            "on this host\n",
            facts.load, facts.stolen_share * 100);
    fprintf(to,
            "  run       %s: %u rounds, %.1f s each measurement; medians of rounds, (least–most) "
            "beside them\n",
            settings->quick ? "quick" : "full", settings->rounds, settings->slice_s);
}

void
machine_write_json(FILE *to, const struct settings *settings)
{
    struct facts facts;
    gather(&facts, settings);
    fprintf(to, "  \"machine\": {\"cpus\": %ld, \"cpu\": ", facts.cpus);
    json_text(to, facts.cpu);
    fprintf(to, ", \"memory_gib\": %.1f, \"kernel\": ", facts.memory_gib);
    json_text(to, facts.kernel);
    fputs(", \"file_system\": ", to);
    json_text(to, facts.fs);
    fputs(", \"device\": ", to);
    json_text(to, facts.source);
    fprintf(to, ", \"descriptors\": %llu, \"load_average\": %.2f, \"stolen_share\": %.4f},\n",
            (unsigned long long)settings->descriptors, facts.load, facts.stolen_share);
    fprintf(to,
            "  \"run\": {\"quick\": %s, \"rounds\": %u, \"slice_s\": %.2f, \"data_bytes\": %d, "
            "\"log_events\": %llu},\n",
            settings->quick ? "true" : "false", settings->rounds, settings->slice_s, DATA_SIZE,
            (unsigned long long)settings->log_large);
}

/* ---- the raw disk ------------------------------------------------------------------------ */

bool
disk_open(const struct settings *settings)
{
    if (disk.fd >= 0)
        return true;
    if (settings->quick && settle_waits_left > SETTLE_WAITS / 6)
        settle_waits_left = SETTLE_WAITS / 6;
    snprintf(disk.path, sizeof disk.path, "%s/raw", settings->dir);
    disk.fd = open(disk.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (disk.fd < 0 || posix_memalign((void **)&disk.block, 4096, RAW_BLOCK) != 0) {
        failure("raw disk: %s: %s", disk.path, strerror(errno));
        return false;
    }
    memset(disk.block, 0, RAW_BLOCK);
    for (uint64_t offset = 0; offset < RAW_FILE_SIZE; offset += RAW_BLOCK)
        if (pwrite(disk.fd, disk.block, RAW_BLOCK, (off_t)offset) != (ssize_t)RAW_BLOCK) {
            failure("raw disk: filling %s: %s", disk.path, strerror(errno));
            return false;
        }
    if (fsync(disk.fd) != 0)
        failure("raw disk: fsync: %s", strerror(errno));
    uint64_t seed = now_ns() | 1;
    for (size_t i = 0; i < RAW_BLOCK / sizeof seed;
         i++) { /* nothing below may shrink what it is given */
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        memcpy(disk.block + i * sizeof seed, &seed, sizeof seed);
    }
    return true;
}

/* Begin the file of the growing kind again; what that takes is not part of the measurement. */
static bool
begin_anew(int fd)
{
    return ftruncate(fd, 0) == 0 && fsync(fd) == 0;
}

static bool
run_on(int fd, bool growing, uint64_t *offset, size_t size, double seconds, const char *name)
{
    struct histogram *histogram = calloc(1, sizeof *histogram);
    if (histogram == NULL || size == 0 || size > RAW_BLOCK) {
        failure("raw disk: cannot measure writes of %zu bytes", size);
        free(histogram);
        return false;
    }
    uint64_t spent = 0, most = RAW_BYTES_MAX / size;
    bool ok = true;
    while (ok && spent < (uint64_t)(seconds * 1e9) && histogram->total < most) {
        if (*offset + size > RAW_FILE_SIZE) {
            *offset = 0;
            ok = !growing || begin_anew(fd);
        }
        uint64_t begin = now_ns();
        ok = ok && pwrite(fd, disk.block, size, (off_t)*offset) == (ssize_t)size && fdatasync(fd) == 0;
        *offset += size;
        uint64_t took = now_ns() - begin;
        histogram_add(histogram, took);
        spent += took;
    }
    if (ok) {
        double rate = (double)histogram->total / ((double)spent / 1e9);
        figure_add(rate, "disk.%s.writes_per_s", name);
        figure_add(rate * (double)size / 1e6, "disk.%s.mb_per_s", name);
        figure_add(histogram_us(histogram, 0.5), "disk.%s.p50_us", name);
        figure_add(histogram_us(histogram, 0.99), "disk.%s.p99_us", name);
    } else {
        failure("raw disk: %s: %s", disk.path, strerror(errno));
    }
    free(histogram);
    return ok;
}

bool
disk_run(size_t size, double seconds, const char *name)
{
    return run_on(disk.fd, false, &disk.offset, size, seconds, name);
}

bool
disk_run_growing(size_t size, double seconds, const char *name)
{
    char path[sizeof disk.path + 8];
    snprintf(path, sizeof path, "%s-new", disk.path);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        failure("raw disk: %s: %s", path, strerror(errno));
        return false;
    }
    uint64_t offset = 0;
    bool ok = run_on(fd, true, &offset, size, seconds, name);
    close(fd);
    unlink(path);
    return ok;
}

/* p50 of a few small writes, without keeping it. */
static double
small_write_us(void)
{
    struct histogram *histogram = calloc(1, sizeof *histogram);
    for (unsigned i = 0; histogram != NULL && i < 100; i++) {
        uint64_t begin = now_ns();
        if (pwrite(disk.fd, disk.block, 4096, 0) != 4096 || fdatasync(disk.fd) != 0)
            break;
        histogram_add(histogram, now_ns() - begin);
    }
    double us = histogram != NULL ? histogram_us(histogram, 0.5) : 0;
    free(histogram);
    return us;
}

/* A shared disk has spells in which everything takes ten times as long. Before a shape is measured, wait
 * for the end of such a spell, a bounded number of times; it is the same for everybody, and it is told. */
void
disk_settle(void)
{
    static double best;
    double us;
    while ((us = small_write_us()) > 0) {
        best = best == 0 || us < best ? us : best;
        if (us < 2.5 * best)
            return;
        if (settle_waits_left == 0) {
            remark("the disk was often slow (a small write took %.0f µs, not %.0f): trust ratios, "
                   "not rates",
                   us, best);
            return;
        }
        settle_waits_left--;
        sleep_ms(SETTLE_WAIT_MS);
    }
}

void
disk_close(void)
{
    if (disk.fd < 0)
        return;
    close(disk.fd);
    unlink(disk.path);
    free(disk.block);
    disk.fd = -1;
    disk.block = NULL;
}
