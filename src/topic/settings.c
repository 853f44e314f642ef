/* Settings of a topic: Kafka's names, and a few of Cairn's own.
 *
 * Kept as texts, as clients send them and ask for them, in the topic's definition: a JSON object of strings. What a topic
 * does not say is at its default. Kafka's settings that mean nothing here (how its files are cut and flushed, how its replicas
 * behave) are taken and kept, because tools set them and compare afterwards; their doc says that they do nothing. Values are
 * plain text: no quotes, backslashes or control characters, so that they can be borrowed from the JSON as they are. */
#include "broker_int.h"

#include <base/json.h>
#include <base/text.h>
#include <batch/event.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define I64_MAX_TEXT "9223372036854775807"
#define IDLE " Kept, but without effect here."

enum kind { KIND_BOOL, KIND_INT, KIND_LONG, KIND_DOUBLE, KIND_CHOICE, KIND_LIST, KIND_TEXT, KIND_TOPIC, KIND_CATEGORY };

/* Name, type, default, kind, least, most, choices (words between bars), doc. Defaults are those of Kafka 4, but for retention.ms. */
#define SETTINGS(X)                                                                                                                    \
    X("retention.ms", "long", "-1", KIND_LONG, -1, INT64_MAX, NULL,                                                                    \
      "How long records are kept, from when they were appended. -1, the default of Cairn: for good.")                                   \
    X("retention.bytes", "long", "-1", KIND_LONG, -1, INT64_MAX, NULL,                                                                 \
      "How many bytes of batches a partition keeps; the oldest go first. -1: no limit.")                                                \
    X("cleanup.policy", "list", "delete", KIND_LIST, 0, 0, "|delete|compact|",                                                         \
      "delete: retention.ms and retention.bytes hold. compact: the newest record of each key stays. Or both.")                         \
    X("max.message.bytes", "int", "1048588", KIND_INT, 0, INT32_MAX, NULL, "The largest batch that is taken, as it is sent.")          \
    X("message.timestamp.type", "string", "CreateTime", KIND_CHOICE, 0, 0, "|CreateTime|LogAppendTime|",                               \
      "Whose clock the timestamps of records are of: the producer's, or this server's.")                                               \
    X("message.timestamp.before.max.ms", "long", I64_MAX_TEXT, KIND_LONG, 0, INT64_MAX, NULL,                                          \
      "How much older than now a record's timestamp may be.")                                                                          \
    X("message.timestamp.after.max.ms", "long", "3600000", KIND_LONG, 0, INT64_MAX, NULL,                                              \
      "How much later than now a record's timestamp may be.")                                                                          \
    X("compression.type", "string", "producer", KIND_CHOICE, 0, 0, "|producer|uncompressed|none|gzip|snappy|lz4|zstd|",                \
      "Batches stay as the producer compressed them." IDLE)                                                                            \
    X("min.compaction.lag.ms", "long", "0", KIND_LONG, 0, INT64_MAX, NULL,                                                             \
      "How long a record is safe from compaction.")                                                                                    \
    X("max.compaction.lag.ms", "long", I64_MAX_TEXT, KIND_LONG, 1, INT64_MAX, NULL, "When a record must be compacted." IDLE)           \
    X("delete.retention.ms", "long", "86400000", KIND_LONG, 0, INT64_MAX, NULL,                                                        \
      "How long a record without value stays, from when it was appended; then compaction takes it, too.")                              \
    X("cairn.category", "string", "", KIND_CATEGORY, 0, 0, NULL,                                                                       \
      "The category of streams that the topic shows; set when it is made. By default its name, with '~' for '-'.")                     \
    X("cairn.value.subject", "string", "", KIND_TEXT, 0, 0, NULL,                                                                      \
      "The subject of the schema registry that every value must conform to; none does while it has no schema. Empty: any value.")      \
    X("cairn.dead.letter", "string", "", KIND_TOPIC, 0, 0, NULL,                                                                       \
      "The topic for events of this one that could not be handled. Empty: the name of this one and '.dlq'.")                           \
    X("min.cleanable.dirty.ratio", "double", "0.5", KIND_DOUBLE, 0, 1, NULL, "When compaction is worth it." IDLE)                      \
    X("min.insync.replicas", "int", "1", KIND_INT, 1, INT32_MAX, NULL, "There is one server; what it acknowledges is on disk." IDLE)   \
    X("segment.bytes", "int", "1073741824", KIND_INT, 14, INT32_MAX, NULL, "Size of a file." IDLE)                                     \
    X("segment.ms", "long", "604800000", KIND_LONG, 1, INT64_MAX, NULL, "Age of a file." IDLE)                                         \
    X("segment.jitter.ms", "long", "0", KIND_LONG, 0, INT64_MAX, NULL, "Spread of the age of files." IDLE)                             \
    X("segment.index.bytes", "int", "10485760", KIND_INT, 4, INT32_MAX, NULL, "Size of a file's index." IDLE)                          \
    X("index.interval.bytes", "int", "4096", KIND_INT, 0, INT32_MAX, NULL, "Distance of entries of a file's index." IDLE)              \
    X("file.delete.delay.ms", "long", "60000", KIND_LONG, 0, INT64_MAX, NULL, "When a file goes that is not needed." IDLE)             \
    X("flush.messages", "long", I64_MAX_TEXT, KIND_LONG, 1, INT64_MAX, NULL, "Whatever is acknowledged is on disk." IDLE)              \
    X("flush.ms", "long", I64_MAX_TEXT, KIND_LONG, 0, INT64_MAX, NULL, "Whatever is acknowledged is on disk." IDLE)                    \
    X("preallocate", "boolean", "false", KIND_BOOL, 0, 0, NULL, "Whether files are made at full size." IDLE)                           \
    X("unclean.leader.election.enable", "boolean", "false", KIND_BOOL, 0, 0, NULL, "There is one server." IDLE)                        \
    X("compression.gzip.level", "int", "-1", KIND_INT, -1, 9, NULL, "Batches stay as the producer compressed them." IDLE)              \
    X("compression.lz4.level", "int", "9", KIND_INT, 1, 17, NULL, "Batches stay as the producer compressed them." IDLE)                \
    X("compression.zstd.level", "int", "3", KIND_INT, -131072, 22, NULL, "Batches stay as the producer compressed them." IDLE)         \
    X("remote.storage.enable", "boolean", "false", KIND_CHOICE, 0, 0, "|false|", "There is no tiered storage.")                        \
    X("local.retention.ms", "long", "-2", KIND_LONG, -2, INT64_MAX, NULL, "There is no tiered storage." IDLE)                          \
    X("local.retention.bytes", "long", "-2", KIND_LONG, -2, INT64_MAX, NULL, "There is no tiered storage." IDLE)                       \
    X("leader.replication.throttled.replicas", "list", "", KIND_LIST, 0, 0, NULL, "There is one server." IDLE)                         \
    X("follower.replication.throttled.replicas", "list", "", KIND_LIST, 0, 0, NULL, "There is one server." IDLE)

#define PUBLIC(name, type, value, kind, least, most, choices, doc) {name, type, value, doc},
static const struct broker_setting settings_table[] = {SETTINGS(PUBLIC)};
#define RULE(name, type, value, kind, least, most, choices, doc) {kind, least, most, choices},
static const struct rule {
    enum kind kind;
    int64_t least, most;
    const char *choices;
} rules[] = {SETTINGS(RULE)};

#define COUNT (sizeof settings_table / sizeof *settings_table)
_Static_assert(COUNT <= SETTINGS_MAX, "a topic's settings have a place each");

const struct broker_setting *
broker_settings(size_t *ret_count)
{
    *ret_count = COUNT;
    return settings_table;
}

void
why_set(struct broker_why *why, const char *format, ...)
{
    if (!why)
        return;
    va_list list;
    va_start(list, format);
    (void)vsnprintf(why->text, sizeof why->text, format, list);
    va_end(list);
}

/* COUNT when there is none. */
static size_t
find_setting(cairn_str name)
{
    size_t i = 0;
    while (i < COUNT && !cairn_str_equal(name, cairn_cstr(settings_table[i].name)))
        i++;
    return i;
}

/* ---- reading ----------------------------------------------------------------------------------------------------------------- */

static cairn_str
inside_quotes(struct json value)
{
    return (cairn_str){value.raw.data + 1, value.raw.size - 2};
}

void
settings_read(cairn_str config, struct settings *ret)
{
    *ret = (struct settings){.values = {{NULL, 0}}};
    if (config.size == 0)
        return;
    struct json_walk walk = json_walk(json_trusted(config));
    struct json name, value;
    while (json_next(&walk, &name, &value)) {
        size_t at = find_setting(inside_quotes(name));
        if (at < COUNT && value.type == JSON_STRING)
            ret->values[at] = inside_quotes(value);
    }
}

void
settings_write(const struct settings *settings, struct buf *to)
{
    buf_put_char(to, '{');
    for (size_t i = 0; i < COUNT; i++)
        if (settings->values[i].data)
            json_put_text_member(to, settings_table[i].name, settings->values[i]);
    buf_put_char(to, '}');
}

cairn_str
settings_get(const struct settings *settings, const char *name)
{
    size_t at = find_setting(cairn_cstr(name));
    return settings->values[at].data ? settings->values[at] : cairn_cstr(settings_table[at].value);
}

int64_t
settings_number(const struct settings *settings, const char *name)
{
    int64_t number = 0;
    (void)parse_i64(settings_get(settings, name), &number); /* checked when it was set */
    return number;
}

/* Take one word off a list with commas. */
static bool
next_word(cairn_str *list, cairn_str *ret)
{
    if (list->size == 0)
        return false;
    const char *comma = memchr(list->data, ',', list->size);
    size_t size = comma ? (size_t)(comma - list->data) : list->size;
    *ret = (cairn_str){list->data, size};
    size += comma != NULL;
    *list = (cairn_str){list->data + size, list->size - size};
    while (ret->size > 0 && ret->data[0] == ' ')
        *ret = (cairn_str){ret->data + 1, ret->size - 1};
    while (ret->size > 0 && ret->data[ret->size - 1] == ' ')
        ret->size--;
    return true;
}

static bool
list_has(cairn_str list, cairn_str word)
{
    cairn_str one;
    while (next_word(&list, &one))
        if (cairn_str_equal(one, word))
            return true;
    return false;
}

bool
settings_lists(const struct settings *settings, const char *name, const char *word)
{
    return list_has(settings_get(settings, name), cairn_cstr(word));
}

cairn_str
broker_setting_default(const struct broker *broker, const struct broker_setting *setting)
{
    return cairn_cstr(strcmp(setting->name, "max.message.bytes") == 0 ? broker->message_max_text : setting->value);
}

cairn_str
broker_setting_get(const struct broker *broker, const cairn_topic *topic, const char *name, bool *ret_default)
{
    struct settings settings;
    size_t at = find_setting(cairn_cstr(name));
    *ret_default = true;
    if (at == COUNT)
        return (cairn_str){NULL, 0};
    if (rules[at].kind == KIND_CATEGORY) {
        char by_name[TOPIC_NAME_MAX];
        *ret_default = cairn_str_equal(topic->category, topic_category(topic->name, by_name));
        return topic->category;
    }
    settings_read(topic->config, &settings);
    *ret_default = settings.values[at].data == NULL;
    return *ret_default ? broker_setting_default(broker, &settings_table[at]) : settings.values[at];
}

/* ---- setting ----------------------------------------------------------------------------------------------------------------- */

/* Levenshtein's distance, cut off at names' sizes. */
static unsigned
distance(cairn_str a, const char *b)
{
    unsigned row[64];
    size_t b_size = strlen(b);
    for (size_t j = 0; j <= b_size; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a.size; i++) {
        unsigned corner = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned change = corner + (a.data[i - 1] != b[j - 1]);
            corner = row[j];
            unsigned step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < step ? change : step;
        }
    }
    return row[b_size];
}

static enum kafka_err
unknown_name(cairn_str name, struct broker_why *why)
{
    size_t nearest = 0;
    unsigned least = UINT32_MAX;
    if (name.size <= 100)
        for (size_t i = 0; i < COUNT; i++) {
            unsigned steps = distance(name, settings_table[i].name);
            if (steps < least) {
                least = steps;
                nearest = i;
            }
        }
    if (least <= 1 + name.size / 3)
        why_set(why, "There is no setting '%.*s'. Did you mean '%s'?", (int)name.size, name.data, settings_table[nearest].name);
    else
        why_set(why, "There is no setting '%.*s' of topics.", (int)(name.size < 100 ? name.size : 100), name.data);
    return KAFKA_INVALID_CONFIG;
}

/* "|a|b|" has the word. */
static bool
choice_has(const char *choices, cairn_str word)
{
    char between[80];
    int size = snprintf(between, sizeof between, "|%.*s|", (int)word.size, word.data);
    return word.size > 0 && size < (int)sizeof between && !memchr(word.data, '|', word.size) && strstr(choices, between) != NULL;
}

static bool
words_allowed(const char *choices, cairn_str list)
{
    cairn_str word;
    bool any = false;
    while (next_word(&list, &word)) {
        if (!choice_has(choices, word))
            return false;
        any = true;
    }
    return any;
}

static bool
double_allowed(cairn_str value, const struct rule *rule)
{
    char text[32], *end = NULL;
    if (value.size == 0 || value.size >= sizeof text)
        return false;
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    double number = strtod(text, &end);
    return *end == '\0' && isfinite(number) && number >= (double)rule->least && number <= (double)rule->most;
}

static bool
plain_text(cairn_str value)
{
    for (size_t i = 0; i < value.size; i++)
        if ((uint8_t)value.data[i] < 0x20 || value.data[i] == '"' || value.data[i] == '\\')
            return false;
    return value.size <= SETTING_VALUE_MAX && utf8_valid(value);
}

static bool
value_allowed(const struct rule *rule, cairn_str value, cairn_str category)
{
    int64_t number;
    switch (rule->kind) {
    case KIND_BOOL: return choice_has("|true|false|", value);
    case KIND_INT:
    case KIND_LONG: return parse_i64(value, &number) && number >= rule->least && number <= rule->most;
    case KIND_DOUBLE: return double_allowed(value, rule);
    case KIND_CHOICE: return choice_has(rule->choices, value);
    case KIND_LIST: return !rule->choices || words_allowed(rule->choices, value);
    case KIND_TOPIC: return value.size == 0 || topic_name_valid(value);
    case KIND_CATEGORY: return cairn_str_equal(value, category);
    case KIND_TEXT: break;
    }
    return true;
}

/* "one of delete, compact" of "|delete|compact|" */
static void
why_choices(struct broker_why *why, const char *name, cairn_str value, const struct rule *rule)
{
    char words[120];
    size_t size = 0;
    for (const char *at = rule->choices + 1; *at && size + 2 < sizeof words; at++) {
        if (*at != '|')
            words[size++] = *at;
        else if (at[1])
            words[size++] = ',', words[size++] = ' ';
    }
    why_set(why, "'%.*s' is no value of %s: %s %.*s.", (int)value.size, value.data, name,
            rule->kind == KIND_LIST ? "a list of" : "one of", (int)size, words);
}

static enum kafka_err
check_value(size_t at, cairn_str value, cairn_str category, struct broker_why *why)
{
    const struct rule *rule = &rules[at];
    if (plain_text(value) && value_allowed(rule, value, category))
        return KAFKA_NONE;
    const char *name = settings_table[at].name;
    int size = value.size < 60 ? (int)value.size : 60;
    if (rule->kind == KIND_INT || rule->kind == KIND_LONG)
        why_set(why, "'%.*s' is no value of %s: a whole number from %lld to %lld.", size, value.data, name, (long long)rule->least,
                (long long)rule->most);
    else if (rule->choices)
        why_choices(why, name, (cairn_str){value.data, (size_t)size}, rule);
    else if (rule->kind == KIND_CATEGORY)
        why_set(why, "%s stays what it was when the topic was made.", name);
    else
        why_set(why, "'%.*s' is no value of %s (%s).", size, value.data, name, settings_table[at].type);
    return KAFKA_INVALID_CONFIG;
}

/* The list with the words of `change` added or taken away, in the arena; data NULL: out of memory. */
static cairn_str
change_list(cairn_str list, cairn_str change, bool add, struct arena *arena)
{
    struct buf out = {0};
    cairn_str word, rest = list;
    while (next_word(&rest, &word))
        if (add || !list_has(change, word)) {
            buf_put_str(&out, out.size ? CAIRN_STR(",") : CAIRN_STR(""));
            buf_put_str(&out, word);
        }
    for (rest = change; add && next_word(&rest, &word);)
        if (!list_has(list, word)) {
            buf_put_str(&out, out.size ? CAIRN_STR(",") : CAIRN_STR(""));
            buf_put_str(&out, word);
        }
    cairn_str copy = out.failed ? (cairn_str){NULL, 0} : arena_copy(arena, buf_str(&out));
    buf_free(&out);
    return copy;
}

static enum kafka_err
change_one(struct settings *settings, const struct broker_pair *pair, cairn_str category, struct arena *arena,
           struct broker_why *why)
{
    size_t at = find_setting(pair->name);
    if (at == COUNT)
        return unknown_name(pair->name, why);
    cairn_str *value = &settings->values[at];
    cairn_str next = pair->value;
    if (pair->op == PAIR_DELETE) {
        *value = (cairn_str){NULL, 0};
        return KAFKA_NONE;
    }
    if (pair->op != PAIR_SET) {
        if (rules[at].kind != KIND_LIST) {
            why_set(why, "%s is no list: it can be set, but nothing be added to it or taken away.", settings_table[at].name);
            return KAFKA_INVALID_CONFIG;
        }
        next = change_list(value->data ? *value : cairn_cstr(settings_table[at].value), next, pair->op == PAIR_APPEND, arena);
        if (!next.data)
            return kafka_err_of(CAIRN_E_NOMEM);
    }
    enum kafka_err err = check_value(at, next, category, why);
    if (err == KAFKA_NONE && rules[at].kind != KIND_CATEGORY) /* which has a place of its own in the definition */
        *value = next.data ? next : CAIRN_STR("");
    return err;
}

enum kafka_err
settings_change(struct settings *settings, const struct broker_pair *pairs, size_t count, bool replace, cairn_str category,
                struct arena *arena, struct broker_why *why)
{
    if (replace)
        *settings = (struct settings){.values = {{NULL, 0}}};
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            if (cairn_str_equal(pairs[i].name, pairs[j].name)) {
                why_set(why, "'%.*s' is there twice.", (int)(pairs[i].name.size < 100 ? pairs[i].name.size : 100), pairs[i].name.data);
                return KAFKA_INVALID_REQUEST;
            }
        enum kafka_err err = change_one(settings, &pairs[i], category, arena, why);
        if (err != KAFKA_NONE)
            return err;
    }
    return KAFKA_NONE;
}
