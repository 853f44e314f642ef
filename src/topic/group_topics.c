/* All topics as they were a moment ago: one counted copy for all groups, made anew when the store says that any has changed, but not
 * more often than every fifth of a second: ten thousand topics made in a row must not be copied ten thousand times.
 * And regular expressions over their names. */
#include <topic/group_consumer_int.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>
#include <stdlib.h>

#define LOOK_EVERY_MS 200
#define PATTERN_BYTES_MAX 4096
#define PATTERN_NESTING_MAX 100
#define MATCH_STEPS_MAX 5000
#define MATCH_HEAP_KIB_MAX 4096
#define MATCHES_HARD_MAX 100 /* names on which the steps ran out, after which the rest count as not matching */

void
topics_seen_release(struct topics_seen *seen)
{
    if (seen == NULL || atomic_fetch_sub(&seen->refs, 1) > 1)
        return;
    arena_free(&seen->arena);
    free(seen->topics);
    free(seen);
}

static bool
take_topic(void *context, const cairn_topic *topic, uint64_t revision)
{
    (void)revision;
    struct topics_seen *seen = context;
    if (seen->count == seen->capacity) {
        size_t capacity = seen->capacity ? seen->capacity * 2 : 64;
        struct topic_seen *larger = realloc(seen->topics, capacity * sizeof *larger);
        if (larger == NULL)
            return !(seen->failed = true);
        seen->topics = larger;
        seen->capacity = capacity;
    }
    cairn_str name = arena_copy(&seen->arena, topic->name);
    seen->failed = name.data == NULL;
    seen->topics[seen->count++] = (struct topic_seen){topic->id, name, topic->partitions};
    return !seen->failed;
}

static int
by_name(const void *a, const void *b)
{
    cairn_str x = ((const struct topic_seen *)a)->name, y = ((const struct topic_seen *)b)->name;
    return cairn_str_order(x, y);
}

static struct topics_seen *
look_now(struct groups_broker *groups)
{
    struct topics_seen *seen = calloc(1, sizeof *seen);
    if (seen == NULL)
        return NULL;
    atomic_init(&seen->refs, 1);
    seen->changes = groups->topics.changes(groups->topics.context); /* before: what changes meanwhile is looked at again */
    if (groups->topics.visit(groups->topics.context, take_topic, seen) != CAIRN_OK || seen->failed) {
        topics_seen_release(seen);
        return NULL;
    }
    if (seen->count > 1)
        qsort(seen->topics, seen->count, sizeof *seen->topics, by_name);
    return seen;
}

struct topics_seen *
topics_look(struct groups_broker *groups, int64_t now_ms)
{
    pthread_mutex_lock(&groups->topics_lock);
    struct topics_seen *seen = groups->seen;
    bool old = seen == NULL || seen->changes != groups->topics.changes(groups->topics.context);
    if (old && (seen == NULL || now_ms - groups->seen_ms >= LOOK_EVERY_MS)) {
        struct topics_seen *now = look_now(groups);
        if (now != NULL) {
            topics_seen_release(seen);
            groups->seen = seen = now;
            groups->seen_ms = now_ms;
        }
    }
    if (seen != NULL)
        atomic_fetch_add(&seen->refs, 1);
    pthread_mutex_unlock(&groups->topics_lock);
    return seen;
}

const struct topic_seen *
topics_find(const struct topics_seen *seen, cairn_str name)
{
    struct topic_seen key = {.name = name};
    return seen->count > 0 ? bsearch(&key, seen->topics, seen->count, sizeof *seen->topics, by_name) : NULL;
}

bool
topic_pattern_compile(cairn_str text, struct pcre2_real_code_8 **ret, char *ret_message, size_t message_size)
{
    int number;
    PCRE2_SIZE at;
    if (text.size > PATTERN_BYTES_MAX) {
        snprintf(ret_message, message_size, "a regular expression has at most %d bytes", PATTERN_BYTES_MAX);
        return false;
    }
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL) {
        snprintf(ret_message, message_size, "out of memory");
        return false;
    }
    pcre2_set_parens_nest_limit(context, PATTERN_NESTING_MAX);
    *ret = pcre2_compile((PCRE2_SPTR)text.data, text.size, PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C,
                         &number, &at, context);
    pcre2_compile_context_free(context);
    if (*ret == NULL && pcre2_get_error_message(number, (PCRE2_UCHAR *)ret_message, message_size) < 0)
        snprintf(ret_message, message_size, "the regular expression is not one");
    return *ret != NULL;
}

size_t
topic_pattern_bytes(const struct pcre2_real_code_8 *code)
{
    size_t bytes = 0;
    pcre2_pattern_info(code, PCRE2_INFO_SIZE, &bytes);
    return bytes;
}

void
topic_pattern_free(struct pcre2_real_code_8 *code)
{
    pcre2_code_free(code);
}

bool
topic_pattern_match(const struct pcre2_real_code_8 *code, const struct topics_seen *seen,
              bool (*visit)(void *context, const struct topic_seen *topic), void *context)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    bool going = data != NULL && limits != NULL;
    if (going) {
        pcre2_set_match_limit(limits, MATCH_STEPS_MAX);
        pcre2_set_depth_limit(limits, MATCH_STEPS_MAX);
        pcre2_set_heap_limit(limits, MATCH_HEAP_KIB_MAX);
    }
    unsigned hard = 0;
    for (size_t i = 0; going && i < seen->count && hard < MATCHES_HARD_MAX; i++) {
        cairn_str name = seen->topics[i].name;
        int matched = pcre2_match(code, (PCRE2_SPTR)name.data, name.size, 0, 0, data, limits);
        hard += matched < PCRE2_ERROR_NOMATCH;
        if (matched >= 0)
            going = visit(context, &seen->topics[i]);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    return going;
}
