/* Looking after a store over the wire: verify, backup, scavenge, reindex. See target.h and wire_int.h.
 *
 * Verify, scavenge and reindex answer in lines of JSON: {"progress":…}, {"fault":…}, and last {"report":…} or
 * {"problem":…}. A backup comes as a ustar archive; it is put together beside its folder and takes its name
 * only when it is whole and synced. */
#include "wire_int.h"

#include <base/error.h>
#include <base/text.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "untar.h"

/* ---- jobs ---------------------------------------------------------------------------------------------- */

struct job {
    cairn_fault_visit fault;
    cairn_progress progress;
    void *context;
    struct buf line;
    bool reported;
    void (*report)(void *into, struct json report);
    void *into;
    cairn_err err;
    cairn_error *error;
};

static bool
take_progress(struct job *job, struct json progress)
{
    struct arena arena = {0};
    cairn_str unit = json_string(json_get(progress, "unit"), &arena);
    bool bytes = cairn_str_equal(unit, CAIRN_STR("bytes"));
    arena_free(&arena);
    return job->progress(job->context, wire_number(progress, "done"), wire_number(progress, "total"),
                         bytes ? "bytes" : "events");
}

static bool
take_fault(struct job *job, struct json fault)
{
    struct arena arena = {0};
    cairn_str file = arena_copy(&arena, json_string(json_get(fault, "file"), &arena));
    cairn_str what = arena_copy(&arena, json_string(json_get(fault, "what"), &arena));
    bool go_on = job->fault(job->context, file.data ? file.data : "?", wire_number(fault, "offset"),
                            what.data ? what.data : "?");
    arena_free(&arena);
    return go_on;
}

static bool
take_job_line(struct job *job)
{
    struct json value, part;
    cairn_str line = buf_str(&job->line);
    if (line.size == 0)
        return true;
    if (json_check(line, &value, NULL) != CAIRN_OK) {
        job->err = error_set(job->error, CAIRN_E_IO, "the server sent a line that is not JSON: %.*s",
                             (int)(line.size < 100 ? line.size : 100), line.data);
        return false;
    }
    if ((part = json_get(value, "progress")).type == JSON_OBJECT)
        return !job->progress || take_progress(job, part);
    if ((part = json_get(value, "fault")).type == JSON_OBJECT)
        return !job->fault || take_fault(job, part);
    if ((part = json_get(value, "report")).type == JSON_OBJECT) {
        job->report(job->into, part);
        job->reported = true;
    }
    if ((part = json_get(value, "problem")).type == JSON_OBJECT)
        job->err = wire_problem(part, 500, job->error);
    return job->err == CAIRN_OK;
}

static bool
take_job(void *context, cairn_str bytes)
{
    struct job *job = context;
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] != '\n') {
            buf_put_char(&job->line, bytes.data[i]);
            continue;
        }
        bool go_on = take_job_line(job);
        buf_clear(&job->line);
        if (!go_on)
            return false;
    }
    return !job->line.failed;
}

static cairn_err
run_job(struct wire *wire, const char *path, struct job *job, cairn_error *error)
{
    struct call call = {.method = "POST", .accept = "application/x-ndjson", .chunk = take_job, .context = job,
                        .patient = true};
    job->error = error;
    wire_path(wire, path, (cairn_str){0}, "");
    cairn_err err = wire_call(wire, &call, error);
    if (err == CAIRN_OK && job->line.size)
        take_job_line(job);
    buf_free(&job->line);
    if (job->err != CAIRN_OK)
        return job->err;
    if (err == CAIRN_OK && interrupted)
        return error_set(error, CLI_E_INTERRUPTED, "interrupted");
    if (err == CAIRN_OK && !job->reported)
        return error_set(error, CLI_E_UNREACHABLE, "%s ended its answer before the report", wire->url);
    return err;
}

static void
hex_of(struct json value, uint8_t ret[32])
{
    struct arena arena = {0};
    cairn_str text = json_string(value, &arena);
    if (text.size == 64)
        parse_hex(text, ret, 32);
    arena_free(&arena);
}

static void
verify_report(void *into, struct json report)
{
    cairn_verify_report *ret = into;
    *ret = (cairn_verify_report){.events = wire_number(report, "events"),
                                 .streams = wire_number(report, "streams"),
                                 .segments = wire_number(report, "segments"),
                                 .index_entries = wire_number(report, "index_entries"),
                                 .faults = wire_number(report, "faults")};
    hex_of(json_get(report, "root"), ret->root);
    hex_of(json_get(report, "digest"), ret->digest);
}

cairn_err
wire_verify(struct target *target, cairn_fault_visit visit, cairn_progress progress, void *context,
            cairn_verify_report *ret, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    struct job job = {.fault = visit, .progress = progress, .context = context, .report = verify_report, .into = ret};
    cairn_err err = run_job(wire, "/v1/verify", &job, error);
    if (err == CAIRN_OK && ret->faults)
        return error_set(error, CAIRN_E_CORRUPT, "%llu fault%s in the store of %s", (unsigned long long)ret->faults,
                         ret->faults == 1 ? "" : "s", wire->url);
    return err;
}

static void
scavenge_report(void *into, struct json report)
{
    cairn_scavenge_report *ret = into;
    *ret = (cairn_scavenge_report){wire_number(report, "segments_rewritten"),
                                   wire_number(report, "events_removed"), wire_number(report, "bytes_freed")};
}

cairn_err
wire_scavenge(struct target *target, cairn_progress progress, void *context, cairn_scavenge_report *ret,
              cairn_error *error)
{
    struct job job = {.progress = progress, .context = context, .report = scavenge_report, .into = ret};
    return run_job((struct wire *)target, "/v1/scavenge", &job, error);
}

static void
reindex_report(void *into __attribute__((unused)), struct json report __attribute__((unused)))
{
}

cairn_err
wire_reindex(struct target *target, cairn_progress progress, void *context, cairn_error *error)
{
    struct job job = {.progress = progress, .context = context, .report = reindex_report};
    return run_job((struct wire *)target, "/v1/reindex", &job, error);
}

/* ---- backup -------------------------------------------------------------------------------------------- */

struct download {
    struct untar untar;
    struct call *call;
    cairn_progress progress;
    void *context;
    cairn_err err;
    cairn_error *error;
};

static bool
take_archive(void *context, cairn_str bytes)
{
    struct download *download = context;
    download->err = untar_take(&download->untar, bytes, download->error);
    if (download->err == CAIRN_OK && download->progress &&
        !download->progress(download->context, download->untar.bytes, download->call->length, "bytes"))
        download->err = error_set(download->error, CLI_E_INTERRUPTED, "interrupted");
    return download->err == CAIRN_OK;
}

static int
remove_one(const char *path, const struct stat *stat __attribute__((unused)), int kind __attribute__((unused)),
           struct FTW *ftw __attribute__((unused)))
{
    return remove(path);
}

static int
sync_one(const char *path, const struct stat *stat __attribute__((unused)), int kind,
         struct FTW *ftw __attribute__((unused)))
{
    if (kind != FTW_DP && kind != FTW_D)
        return 0;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = folder < 0 || fsync(folder) != 0;
    if (folder >= 0)
        close(folder);
    return failed;
}

/* The folder takes its name only when everything in it is on the disk. */
static cairn_err
put_in_place(const char *part, const char *folder, cairn_error *error)
{
    if (nftw(part, sync_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return error_set_errno(error, errno ? errno : EIO, "cannot sync %s", part);
    if (rename(part, folder) != 0)
        return error_set_errno(error, errno, "cannot rename %s to %s", part, folder);
    char parent[4096];
    snprintf(parent, sizeof parent, "%s", folder);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent)
        *slash = '\0';
    else
        snprintf(parent, sizeof parent, slash ? "/" : ".");
    if (sync_one(parent, NULL, FTW_D, NULL) != 0)
        return error_set_errno(error, errno, "cannot sync the folder of %s", folder);
    return CAIRN_OK;
}

static cairn_err
is_free(const char *folder, cairn_error *error)
{
    struct stat there;
    if (stat(folder, &there) != 0)
        return CAIRN_OK;
    if (S_ISDIR(there.st_mode) && rmdir(folder) == 0) /* an empty one is as good as none */
        return CAIRN_OK;
    return error_set(error, CAIRN_E_EXISTS, "%s is there already; over the wire a backup needs a new folder", folder);
}

cairn_err
wire_backup(struct target *target, const char *folder, cairn_progress progress, void *context,
            uint64_t *ret_end, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    char part[4096], plain[4000];
    snprintf(plain, sizeof plain, "%s", folder);
    for (size_t size = strlen(plain); size > 1 && plain[size - 1] == '/'; size--)
        plain[size - 1] = '\0';
    snprintf(part, sizeof part, "%s.part-%ld", plain, (long)getpid());
    cairn_err err = is_free(plain, error);
    if (err != CAIRN_OK)
        return err;
    if (mkdir(part, 0777) != 0)
        return error_set_errno(error, errno, "cannot make %s", part);
    struct download download = {.progress = progress, .context = context, .error = error};
    struct call call = {.method = "GET", .accept = "application/x-tar", .chunk = take_archive,
                        .context = &download, .patient = true};
    download.call = &call;
    untar_begin(&download.untar, part);
    wire_path(wire, "/v1/backup", (cairn_str){0}, "");
    err = wire_call(wire, &call, error);
    if (download.err != CAIRN_OK)
        err = download.err;
    cairn_err end_err = untar_end(&download.untar, err == CAIRN_OK ? error : NULL);
    if (err == CAIRN_OK)
        err = end_err;
    if (err == CAIRN_OK)
        err = put_in_place(part, plain, error);
    if (err == CAIRN_OK)
        *ret_end = call.end < 0 ? 0 : (uint64_t)call.end;
    else
        nftw(part, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return err;
}

cairn_err
wire_branch(struct target *target, const char *folder __attribute__((unused)), cairn_str at __attribute__((unused)),
            cairn_error *error)
{
    return error_set(error, CAIRN_E_UNSUPPORTED, "a branch shares files with the store of %s, so it is made where that "
                                                 "store's folder is, with --data", target->where);
}
