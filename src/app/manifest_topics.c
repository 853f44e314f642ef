/* `topics:` of app.yaml: categories of streams that Kafka's clients are to see as topics. See manifest_int.h.
 *
 *   topics:
 *     orders: order                                                # category order
 *     payments: {category: payment, partitions: 6, config: {cleanup.policy: compact}}
 *     shipment:                                                    # category shipment
 *
 * Settings are checked one by one by those who know them (topic/settings.h), so that each fault has its line. */
#include <app/manifest_int.h>

#include <batch/event.h>
#include <topic/settings.h>

#include <stdio.h>

enum { TOPICS_MAX = 200, CONFIG_MAX = 64 };

#define SHOWN(text) (int)((text).size < 100 ? (text).size : 100), (text).data

static bool
category_valid(cairn_str category)
{
    return category.size > 0 && category.size <= TOPIC_NAME_MAX && category.data[0] != '$' &&
           !memchr(category.data, '-', category.size);
}

static bool
setting_name_at(const void *context, size_t index, cairn_str *ret)
{
    (void)context;
    size_t count;
    const struct broker_setting *settings = broker_settings(&count);
    if (index >= count)
        return false;
    *ret = cairn_cstr(settings[index].name);
    return true;
}

static void
read_setting(struct manifest_reader *reader, const struct yaml *node, const struct app_topic *topic, struct broker_pair *ret)
{
    struct settings settings = {.values = {{NULL, 0}}};
    struct broker_why why = {""};
    char by_name[TOPIC_NAME_MAX];
    if (node->kind != YAML_SCALAR || yaml_is_null(node)) {
        yaml_fault(reader, node->line, "", "topic %.*s: %.*s must be text or a number, and is %s", SHOWN(topic->name),
                   SHOWN(node->name), yaml_kind_name(node));
        return;
    }
    *ret = (struct broker_pair){.name = node->name, .value = node->text, .op = PAIR_SET};
    cairn_str category = topic->category.size > 0 ? topic->category : topic_category(topic->name, by_name);
    if (settings_change(&settings, ret, 1, false, category, &reader->manifest->arena, &why) != KAFKA_NONE)
        yaml_fault(reader, node->line, manifest_did_you_mean(reader, node->name, setting_name_at, NULL, ""), "topic %.*s: %s",
                   SHOWN(topic->name), why.text[0] ? why.text : "the setting is not possible");
}

static void
read_config(struct manifest_reader *reader, const struct yaml *node, struct app_topic *topic)
{
    char what[160];
    snprintf(what, sizeof what, "topic %.*s: config", SHOWN(topic->name));
    if (node->kind != YAML_MAP || !manifest_check_names(reader, node, what))
        return;
    if (node->count > CONFIG_MAX) {
        yaml_fault(reader, node->line, "", "%s has %zu members; the limit is %d", what, node->count, CONFIG_MAX);
        return;
    }
    struct broker_pair *pairs = arena_zalloc(&reader->manifest->arena, (node->count + 1) * sizeof *pairs);
    if (!pairs) {
        manifest_nomem(reader);
        return;
    }
    for (const struct yaml *at = node->first; at; at = at->next)
        if (!at->first_line)
            read_setting(reader, at, topic, &pairs[topic->config_count++]);
    topic->config = pairs;
}

static void
read_category(struct manifest_reader *reader, const struct yaml *node, struct app_topic *topic)
{
    topic->category = node->text;
    topic->category_line = node->line;
    if (!category_valid(node->text))
        yaml_fault(reader, node->line, "The category of the streams order-… is order.",
                   "topic %.*s: %.*s is no category: it has no '-' and does not begin with '$'", SHOWN(topic->name), SHOWN(node->text));
}

static void
read_topic(struct manifest_reader *reader, const struct yaml *node, struct app_topic *topic)
{
    static const struct manifest_key keys[] = {{"category", WANT_TEXT}, {"partitions", WANT_WHOLE}, {"config", WANT_MAP | WANT_NOTHING}};
    char what[128];
    snprintf(what, sizeof what, "topic %.*s", SHOWN(node->name));
    topic->name = node->name;
    topic->line = topic->category_line = topic->partitions_line = node->name_line;
    if (!topic_name_valid(node->name))
        yaml_fault(reader, node->name_line, "orders: 1 to 249 of letters, digits, '.', '_' and '-'.", "%.*s is no name for a topic",
                   SHOWN(node->name));
    if (yaml_is_null(node) || !topic_name_valid(node->name))
        return;
    if (node->kind == YAML_SCALAR) {
        read_category(reader, node, topic);
        return;
    }
    if (!manifest_check_keys(reader, node, what, keys, sizeof keys / sizeof *keys))
        return;
    const struct yaml *category = yaml_get(node, "category"), *partitions = yaml_get(node, "partitions"),
                      *config = yaml_get(node, "config");
    if (category && category->kind == YAML_SCALAR && !yaml_is_null(category))
        read_category(reader, category, topic);
    if (partitions)
        topic->partitions_line = partitions->line;
    topic->partitions = (uint32_t)manifest_whole(reader, node, "partitions", 1, CAIRN_PARTITIONS_MAX, 0);
    if (config)
        read_config(reader, config, topic);
}

/* A category is one topic's. */
static void
check_categories(struct manifest_reader *reader)
{
    const struct app_manifest *manifest = reader->manifest;
    for (size_t i = 0; i < manifest->topic_count; i++)
        for (size_t n = 0; n < i; n++) {
            const struct app_topic *topic = &manifest->topics[i], *before = &manifest->topics[n];
            char one[TOPIC_NAME_MAX], other[TOPIC_NAME_MAX];
            if (!topic_name_valid(topic->name) || !topic_name_valid(before->name))
                continue;
            cairn_str category = topic->category.size > 0 ? topic->category : topic_category(topic->name, one);
            if (cairn_str_equal(category, before->category.size > 0 ? before->category : topic_category(before->name, other)))
                yaml_fault(reader, topic->category_line, "A category is one topic at most.", "topics %.*s and %.*s have the same category",
                           SHOWN(before->name), SHOWN(topic->name));
        }
}

void
manifest_read_topics(struct manifest_reader *reader)
{
    struct app_manifest *manifest = reader->manifest;
    const struct yaml *part;
    manifest->topics = manifest_begin_part(reader, "topics", TOPICS_MAX, sizeof *manifest->topics, &part);
    for (const struct yaml *at = part ? part->first : NULL; at && reader->fatal == CAIRN_OK; at = at->next)
        if (!at->first_line)
            read_topic(reader, at, &manifest->topics[manifest->topic_count++]);
    if (!part)
        manifest->topics = NULL;
    check_categories(reader);
}
