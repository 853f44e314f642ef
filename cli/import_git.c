/* `cairn import git`: a repository's history as events. See import.h.
 *
 *   known commits ◄─ the store          rev-list ─► those not known ─► diff-tree ─► events ─► import
 *
 * A commit's own event is written after those of its files, and appends go one after the other: where it is,
 * the commit is whole. So commits whose event is there are left out, whatever their place in the
 * history now is (a merge may bring older commits later), and a commit that an interruption cut in
 * two is gone through again: of its files, those whose newest event is this commit's are skipped. */
#include <base/error.h>
#include <base/hash.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "import.h"
#include "run.h"

#define TOKEN_MAX (256u << 10)

extern char **environ;

/* ---- running git ------------------------------------------------------------------------------------- */

struct child {
    pid_t pid;
    FILE *from;
};

/* Start git; its standard output is child->from. `input`: its standard input, or -1. */
static bool
start(struct child *child, const char *const *argv, int input, bool quiet)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (input >= 0)
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (quiet)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawnp(&child->pid, "git", &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    child->from = failed ? NULL : fdopen(ends[0], "rb");
    if (!child->from)
        close(ends[0]);
    errno = failed ? failed : errno;
    return child->from != NULL;
}

/* True when it ended well. */
static bool
finish(struct child *child)
{
    int status = 0;
    fclose(child->from);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- known commits ---------------------------------------------------------------------------------------- */

struct known_commit {
    cairn_uuid id; /* zeros: none */
    uint64_t events;
};

struct known {
    struct known_commit *slots;
    size_t slot_count, count;
    bool no_memory;
};

static struct known_commit *
known_slot(const struct known *known, cairn_uuid id)
{
    size_t at = hash64(id.bytes, sizeof id.bytes, 0) & (known->slot_count - 1);
    while (!uuid_is_zero(known->slots[at].id) && memcmp(&known->slots[at].id, &id, sizeof id) != 0)
        at = (at + 1) & (known->slot_count - 1);
    return &known->slots[at];
}

/* How many events a commit has in the store; 0: it is not there. */
static uint64_t
known_events(const struct known *known, cairn_uuid id)
{
    const struct known_commit *slot = known->count ? known_slot(known, id) : NULL;
    return slot && !uuid_is_zero(slot->id) ? slot->events : 0;
}

static bool
grow_known(struct known *known)
{
    struct known larger = {.slot_count = known->slot_count ? known->slot_count * 2 : 1024};
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    known->no_memory = !larger.slots;
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < known->slot_count; i++)
        if (!uuid_is_zero(known->slots[i].id))
            *known_slot(&larger, known->slots[i].id) = known->slots[i];
    free(known->slots);
    known->slots = larger.slots;
    known->slot_count = larger.slot_count;
    return true;
}

static bool
learn(void *context, const cairn_recorded *event)
{
    struct known *known = context;
    struct json data;
    uint64_t events = 1;
    if (known->count * 2 >= known->slot_count && !grow_known(known))
        return false;
    if (json_check(event->event.data, &data, NULL) == CAIRN_OK)
        json_u64(json_get(data, "events"), &events);
    *known_slot(known, event->event.id) = (struct known_commit){event->event.id, events ? events : 1};
    known->count++;
    return true;
}

/* ---- a commit ------------------------------------------------------------------------------------------------- */

enum header { HEADER_SHA, HEADER_PARENTS, HEADER_NAME, HEADER_EMAIL, HEADER_TIME, HEADER_COMMITTER_NAME,
              HEADER_COMMITTER_EMAIL, HEADER_COMMITTER_TIME, HEADER_MESSAGE, HEADER_COUNT };
#define FORMAT "--format=%x01%H%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"

struct change {
    char status;
    cairn_str path, from; /* from: of a rename */
    cairn_str old_mode, mode, old_blob, blob;
    int64_t insertions, deletions; /* -1: binary, or not told */
};

struct history {
    struct import *import;
    const char *prefix;
    FILE *from;
    struct buf token;
    bool token_kept; /* looked at, not yet used */
    struct arena arena; /* of the commit under way */
    cairn_str header[HEADER_COUNT];
    struct change *changes;
    size_t change_count, change_capacity;
    struct buf stream, data, meta, key, path, tags[3];
};

static cairn_uuid
event_id(struct buf *key, const char *prefix, cairn_str sha, cairn_str stream, const char *type)
{
    static const cairn_uuid space = {{0x70, 0x2b, 0x9c, 0xe1, 0x0f, 0x36, 0x48, 0xd5, 0xa4, 0x1e, 0xb8, 0x53, 0xc7,
                                      0x09, 0xda, 0x62}};
    buf_clear(key);
    buf_put(key, prefix, strlen(prefix) + 1);
    buf_put_str(key, sha);
    buf_put_char(key, '\0');
    buf_put_str(key, stream);
    buf_put_char(key, '\0');
    buf_put_str(key, cairn_cstr(type));
    return uuid_v5(space, buf_str(key));
}

static cairn_uuid
commit_id(struct buf *key, const char *prefix, cairn_str sha)
{
    return event_id(key, prefix, sha, (cairn_str){0}, "CommitAuthored");
}

/* ---- reading diff-tree: tokens that end in NUL ------------------------------------------------------------------ */

/* False at the end. What is longer than TOKEN_MAX is cut. */
static bool
next_token(struct history *history)
{
    int c;
    if (history->token_kept) {
        history->token_kept = false;
        return true;
    }
    buf_clear(&history->token);
    while ((c = getc_unlocked(history->from)) > 0)
        if (history->token.size < TOKEN_MAX)
            buf_put_char(&history->token, (char)c);
    return c == 0 || history->token.size > 0;
}

static cairn_str
keep_token(struct history *history)
{
    return arena_copy(&history->arena, buf_str(&history->token));
}

static cairn_str
word(cairn_str *rest)
{
    const char *space = rest->size ? memchr(rest->data, ' ', rest->size) : NULL;
    cairn_str one = {rest->data, space ? (size_t)(space - rest->data) : rest->size};
    rest->data += one.size + (space != NULL);
    rest->size -= one.size + (space != NULL);
    return one;
}

/* ":100644 100644 <blob> <blob> M", then a path, or two. */
static bool
read_change(struct history *history)
{
    if (history->change_count == history->change_capacity) {
        size_t more = history->change_capacity ? history->change_capacity * 2 : 64;
        struct change *changes = realloc(history->changes, more * sizeof *changes);
        if (!changes)
            return false;
        history->changes = changes;
        history->change_capacity = more;
    }
    cairn_str line = keep_token(history);
    struct change change = {.insertions = -1, .deletions = -1};
    if (line.size < 2)
        return false;
    line.data++, line.size--;
    change.old_mode = word(&line);
    change.mode = word(&line);
    change.old_blob = word(&line);
    change.blob = word(&line);
    change.status = line.size ? line.data[0] : '?';
    if (!next_token(history))
        return false;
    change.path = keep_token(history);
    if (change.status == 'R' || change.status == 'C') {
        change.from = change.path;
        if (!next_token(history))
            return false;
        change.path = keep_token(history);
    }
    history->changes[history->change_count++] = change;
    return change.path.data != NULL;
}

/* "3\t1\tpath", or "3\t1\t" and two paths. Counts come in the order of the changes. */
static bool
read_count(struct history *history, size_t *at)
{
    cairn_str text = keep_token(history);
    if (!text.data)
        return false;
    char *end;
    bool binary = text.data[0] == '-';
    int64_t insertions = binary ? -1 : strtoll(text.data, &end, 10);
    const char *tab = memchr(text.data, '\t', text.size);
    int64_t deletions = binary || !tab ? -1 : strtoll(tab + 1, &end, 10);
    const char *second = tab ? strchr(tab + 1, '\t') : NULL;
    if (!second)
        return false;
    cairn_str path = cairn_cstr(second + 1);
    if (path.size == 0) {
        if (!next_token(history) || !next_token(history))
            return false;
        path = keep_token(history);
    }
    while (*at < history->change_count && !cairn_str_equal(history->changes[*at].path, path))
        ++*at;
    if (*at < history->change_count) {
        history->changes[*at].insertions = insertions;
        history->changes[*at].deletions = deletions;
    }
    return true;
}

/* The next commit, whole. CAIRN_E_END after the last. */
static cairn_err
read_commit(struct history *history, cairn_error *error)
{
    size_t counted = 0;
    arena_reset(&history->arena);
    history->change_count = 0;
    if (!next_token(history))
        return CAIRN_E_END;
    if (history->token.size < 2 || history->token.data[0] != '\x01')
        return error_set(error, CAIRN_E_INVALID, "git wrote something that is no commit: %.40s",
                         history->token.size ? history->token.data : "");
    memmove(history->token.data, history->token.data + 1, --history->token.size);
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        if (i > 0 && !next_token(history))
            return error_set(error, CAIRN_E_INVALID, "git's output ends inside a commit");
        history->header[i] = keep_token(history);
        if (!history->header[i].data)
            return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    while (next_token(history)) {
        cairn_str token = buf_str(&history->token);
        bool fine = true;
        if (token.size && token.data[0] == '\n') { /* parts the message from the changes */
            memmove(history->token.data, history->token.data + 1, --history->token.size);
            token = buf_str(&history->token);
        }
        if (token.size == 0)
            continue;
        if (token.data[0] == '\x01') {
            history->token_kept = true;
            break;
        }
        if (token.data[0] == ':')
            fine = read_change(history);
        else
            fine = read_count(history, &counted);
        if (!fine)
            return error_set(error, CAIRN_E_INVALID, "git wrote a change that cannot be read, in commit %s",
                             history->header[HEADER_SHA].data);
    }
    return history->token.failed ? error_set(error, CAIRN_E_NOMEM, "out of memory") : CAIRN_OK;
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

static void
put_person(struct buf *to, const char *name, const cairn_str *fields)
{
    json_put_name(to, name);
    buf_put_str(to, CAIRN_STR("{\"name\":"));
    json_put_string(to, fields[0]);
    json_put_text_member(to, "email", fields[1]);
    json_put_text_member(to, "time", fields[2]);
    buf_put_char(to, '}');
}

static void
put_commit_meta(struct history *history)
{
    struct buf *meta = &history->meta;
    int64_t time_us;
    buf_clear(meta);
    buf_put_str(meta, CAIRN_STR("{\"occurred_at\":"));
    if (parse_time(history->header[HEADER_COMMITTER_TIME], &time_us))
        json_put_time(meta, time_us);
    else
        json_put_string(meta, history->header[HEADER_COMMITTER_TIME]);
    json_put_text_member(meta, "correlation", history->header[HEADER_SHA]);
    buf_put_char(meta, '}');
}

static cairn_err
put_event(struct history *history, cairn_str stream, const char *type, cairn_uuid id, cairn_error *error)
{
    cairn_str email = history->header[HEADER_EMAIL];
    cairn_str tags[3] = {import_tag(&history->tags[0], CAIRN_STR("commit"), history->header[HEADER_SHA]),
                         import_tag(&history->tags[1], CAIRN_STR("author"), email.size ? email : CAIRN_STR("unknown")),
                         import_tag(&history->tags[2], CAIRN_STR("repository"), cairn_cstr(history->prefix))};
    struct import_event in = {.stream = stream,
                              .event = {.id = id,
                                        .type = cairn_cstr(type),
                                        .data = buf_str(&history->data),
                                        .meta = buf_str(&history->meta),
                                        .tags = tags,
                                        .tag_count = *history->prefix ? 3 : 2}};
    if (history->data.failed || history->meta.failed || !stream.data)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    return import_put(history->import, &in, error);
}

/* An event of the stream of one path. */
static cairn_err
put_file_event(struct history *history, const struct change *change, cairn_str path, const char *type,
               cairn_error *error)
{
    struct buf *data = &history->data;
    buf_clear(data);
    buf_put_str(data, CAIRN_STR("{\"commit\":"));
    json_put_string(data, history->header[HEADER_SHA]);
    json_put_text_member(data, "path", change->path);
    if (change->from.size)
        json_put_text_member(data, "from", change->from);
    if (change->status != 'D') {
        json_put_text_member(data, "mode", change->mode);
        json_put_text_member(data, "blob", change->blob);
    }
    if (change->status != 'A')
        json_put_text_member(data, "previous", change->old_blob);
    if (change->insertions >= 0) {
        json_put_name(data, "insertions");
        json_put_i64(data, change->insertions);
        json_put_name(data, "deletions");
        json_put_i64(data, change->deletions);
    } else {
        json_put_name(data, "binary");
        buf_put_str(data, CAIRN_STR("true"));
    }
    buf_put_char(data, '}');
    buf_clear(&history->path);
    if (*history->prefix)
        buf_printf(&history->path, "%s/", history->prefix);
    buf_put_str(&history->path, path);
    cairn_str stream = import_name(&history->stream, CAIRN_STR("file"), buf_str(&history->path));
    cairn_uuid id = event_id(&history->key, history->prefix, history->header[HEADER_SHA], stream, type);
    return put_event(history, stream, type, id, error);
}

static cairn_err
put_change(struct history *history, const struct change *change, cairn_error *error)
{
    const char *type = change->status == 'A' || change->status == 'C' ? "FileAdded"
                       : change->status == 'D'                        ? "FileDeleted"
                       : change->status == 'R'                        ? "FileRenamed"
                                                                      : "FileModified";
    cairn_err err = CAIRN_OK;
    if (change->status == 'R') /* the story of the old name ends here */
        err = put_file_event(history, change, change->from, type, error);
    return err == CAIRN_OK ? put_file_event(history, change, change->path, type, error) : err;
}

static cairn_err
put_commit_event(struct history *history, cairn_error *error)
{
    struct buf *data = &history->data;
    const cairn_str *header = history->header;
    int64_t insertions = 0, deletions = 0;
    uint64_t events = 1;
    for (size_t i = 0; i < history->change_count; i++) {
        const struct change *change = &history->changes[i];
        insertions += change->insertions > 0 ? change->insertions : 0;
        deletions += change->deletions > 0 ? change->deletions : 0;
        events += change->status == 'R' ? 2 : 1;
    }
    cairn_str message = header[HEADER_MESSAGE], parents = header[HEADER_PARENTS];
    while (message.size && strchr(" \n\r\t", message.data[message.size - 1]))
        message.size--;
    buf_clear(data);
    buf_put_str(data, CAIRN_STR("{\"commit\":"));
    json_put_string(data, header[HEADER_SHA]);
    json_put_name(data, "parents");
    buf_put_char(data, '[');
    while (parents.size) {
        json_put_comma(data);
        json_put_string(data, word(&parents));
    }
    buf_put_char(data, ']');
    put_person(data, "author", &header[HEADER_NAME]);
    put_person(data, "committer", &header[HEADER_COMMITTER_NAME]);
    json_put_text_member(data, "message", message);
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"files", (int64_t)history->change_count}, {"insertions", insertions}, {"deletions", deletions},
                   {"events", (int64_t)events}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        json_put_name(data, numbers[i].name);
        json_put_i64(data, numbers[i].value);
    }
    buf_put_char(data, '}');
    cairn_str email = header[HEADER_EMAIL];
    cairn_str stream = import_name(&history->stream, CAIRN_STR("author"), email.size ? email : CAIRN_STR("unknown"));
    return put_event(history, stream, "CommitAuthored", commit_id(&history->key, history->prefix, header[HEADER_SHA]),
                     error);
}

static cairn_err
put_all(struct history *history, uint64_t commits, cairn_error *error)
{
    cairn_err err;
    for (uint64_t done = 0; (err = read_commit(history, error)) == CAIRN_OK;) {
        put_commit_meta(history);
        for (size_t i = 0; i < history->change_count && err == CAIRN_OK; i++)
            err = put_change(history, &history->changes[i], error);
        if (err == CAIRN_OK)
            err = put_commit_event(history, error);
        if (err != CAIRN_OK)
            break;
        import_progress(history->import, ++done, commits, "commits");
    }
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* ---- the command ------------------------------------------------------------------------------------------ */

/* Write the ids of the commits that are not known, oldest first, into a file without a name. */
static int
list_commits(const struct args *args, const char *dir, const char *rev, const char *prefix, struct known *known,
             FILE **ret, uint64_t *ret_count, uint64_t *ret_known)
{
    const char *const argv[] = {
        "git", "-C", dir, "rev-list", "--topo-order", "--reverse", "--end-of-options", rev, "--", NULL};
    struct child child;
    char line[128];
    struct buf key = {0};
    *ret = tmpfile();
    if (!*ret)
        return fail(EXIT_FAILED, args->command->name, NULL, "cannot make a temporary file: %s", strerror(errno));
    if (!start(&child, argv, -1, false))
        return fail(EXIT_FAILED, args->command->name, "install git", "cannot run git: %s", strerror(errno));
    while (fgets(line, sizeof line, child.from)) {
        cairn_str sha = {line, strcspn(line, "\n")};
        uint64_t events = known_events(known, commit_id(&key, prefix, sha));
        *ret_known += events;
        if (events)
            continue;
        fprintf(*ret, "%.*s\n", (int)sha.size, sha.data);
        ++*ret_count;
    }
    buf_free(&key);
    bool fine = finish(&child);
    if (interrupted)
        return EXIT_INTERRUPTED;
    if (!fine || fflush(*ret) != 0)
        return fail(EXIT_FAILED, args->command->name, NULL, "git rev-list failed in %s", dir);
    rewind(*ret);
    return 0;
}

/* Run git for its exit code alone. */
static bool
git_agrees(const char *const *argv, bool *ret_ran)
{
    struct child child;
    *ret_ran = start(&child, argv, -1, true);
    if (!*ret_ran)
        return false;
    while (getc(child.from) != EOF)
        continue;
    return finish(&child);
}

static int
check_repository(const struct args *args, const char *dir, const char *rev)
{
    static const char hint[] = "`cairn import packages` imports this machine's package history instead";
    char commit[256];
    snprintf(commit, sizeof commit, "%s^{commit}", rev);
    const char *const argv[] = {"git", "-C", dir, "rev-parse", "--quiet", "--verify", "--end-of-options", commit, NULL};
    const char *const inside[] = {"git", "-C", dir, "rev-parse", "--git-dir", NULL};
    bool ran;
    bool agreed = git_agrees(inside, &ran);
    if (!ran)
        return fail(EXIT_NOT_FOUND, args->command->name, hint, "cannot run git: %s", strerror(errno));
    if (!agreed)
        return fail(EXIT_NOT_FOUND, args->command->name, hint, "%s is in no git repository", dir);
    if (!git_agrees(argv, &ran))
        return fail(EXIT_NOT_FOUND, args->command->name, hint, "the repository of %s has no commit %s", dir, rev);
    return 0;
}

/* What of this history is in the store, and is anything of its kind there at all? */
static int
load_known(const struct args *args, struct target *target, struct known *known, bool *ret_any)
{
    cairn_error error = {0};
    cairn_str type = CAIRN_STR("CommitAuthored");
    struct read_request commits = {.category = CAIRN_STR("author"), .types = &type, .type_count = 1};
    struct read_request files = {.category = CAIRN_STR("file"), .limit = 1};
    cairn_err err = target->ops->read(target, &commits, learn, known, &error);
    *ret_any = known->count > 0;
    if (err == CAIRN_OK && !*ret_any) {
        struct known any = {0};
        err = target->ops->read(target, &files, learn, &any, &error);
        *ret_any = any.count > 0;
        free(any.slots);
    }
    if (err != CAIRN_OK)
        return fail_error(args->command->name, &error);
    return known->no_memory ? fail(EXIT_FAILED, args->command->name, NULL, "out of memory") : 0;
}

static void
history_free(struct history *history)
{
    struct buf *bufs[] = {&history->token, &history->stream, &history->data, &history->meta, &history->key,
                          &history->path, &history->tags[0], &history->tags[1], &history->tags[2]};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_free(bufs[i]);
    arena_free(&history->arena);
    free(history->changes);
}

static int
import_commits(const struct args *args, struct target *target, const char *dir, FILE *commits, uint64_t count,
               uint64_t known, bool careful)
{
    const char *const argv[] = {"git", "-C", dir, "-c", "diff.renameLimit=1000", "diff-tree", "--stdin", "-r", "-z",
                                "--raw", "--numstat", "-M", "--root", "--always", "--no-ext-diff", "--no-textconv",
                                "--no-abbrev", "--encoding=UTF-8", FORMAT, NULL};
    const char *prefix = arg_text(args, "prefix");
    struct history history = {.prefix = prefix ? prefix : ""};
    struct import_options options = {.kind = "git", .ordered = true, .by_tail = true, .careful = careful};
    struct child child = {0};
    cairn_error error = {0};
    cairn_err err = CAIRN_OK;
    int code = import_open(args, &options, &target, &history.import);
    if (code) {
        target_close(target);
        return code;
    }
    import_already(history.import, known);
    if (count && !start(&child, argv, fileno(commits), !out.verbose)) {
        err = error_set(&error, CAIRN_E_IO, "cannot run git: %s", strerror(errno));
    } else if (count) {
        history.from = child.from;
        err = put_all(&history, count, &error);
        if (!finish(&child) && err == CAIRN_OK)
            err = interrupted ? error_set(&error, CLI_E_INTERRUPTED, "interrupted")
                              : error_set(&error, CAIRN_E_IO, "git diff-tree failed; --verbose shows what it says");
    }
    code = import_close(args, target, history.import, err, &error, dir);
    history_free(&history);
    return code;
}

int
run_import_git(const struct args *args)
{
    const char *dir = args->operand_count ? args->operands[0] : ".";
    const char *rev = arg_text(args, "rev") ? arg_text(args, "rev") : "HEAD";
    const char *prefix = arg_text(args, "prefix") ? arg_text(args, "prefix") : "";
    struct known known = {0};
    struct target *target = NULL;
    FILE *commits = NULL;
    uint64_t count = 0, already = 0;
    bool any = false;
    int code = check_repository(args, dir, rev);
    if (!code)
        code = target_open(args, TARGET_CREATE, &target);
    if (!code)
        code = load_known(args, target, &known, &any);
    if (!code)
        code = list_commits(args, dir, rev, prefix, &known, &commits, &count, &already);
    free(known.slots);
    if (code)
        target_close(target);
    else
        code = import_commits(args, target, dir, commits, count, already, any);
    if (commits)
        fclose(commits);
    return code;
}
