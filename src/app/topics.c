/* An app's topics in the store: looked at before a deployment, made before it is written. See apps_int.h.
 *
 * What app.yaml names is made so; what it does not name (other settings, partitions beyond) stays as somebody has set it. */
#include <app/apps_int.h>

#include <base/error.h>
#include <batch/event.h>
#include <topic/settings.h>

#include <stdarg.h>
#include <stdio.h>

enum { TRIES = 8 }; /* when others change the same topic */

#define SHOWN(text) (int)((text).size < 100 ? (text).size : 100), (text).data

static cairn_str
category_of_topic(const struct app_topic *topic, char by_name[TOPIC_NAME_MAX])
{
    return topic->category.size > 0 ? topic->category : topic_category(topic->name, by_name);
}

/* ---- checking ------------------------------------------------------------------------------------------------------------------ */

struct checking {
    const struct app_manifest *manifest;
    bool rollback;
    cairn_app_fault_visit visit;
    void *context;
    size_t faults;
};

__attribute__((format(printf, 4, 5))) static void
tell(struct checking *checking, uint32_t line, const char *hint, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    checking->faults++;
    if (checking->visit)
        checking->visit(checking->context, &(cairn_app_fault){.file = CAIRN_STR("app.yaml"),
                                                              .line = line,
                                                              .message = cairn_cstr(text),
                                                              .hint = cairn_cstr(hint)});
}

/* A topic of the store beside those of the app. */
static bool
check_one(void *context, const cairn_topic *there, uint64_t revision)
{
    struct checking *checking = context;
    (void)revision;
    for (size_t i = 0; i < checking->manifest->topic_count; i++) {
        const struct app_topic *topic = &checking->manifest->topics[i];
        char by_name[TOPIC_NAME_MAX];
        bool same_category = cairn_str_equal(category_of_topic(topic, by_name), there->category);
        if (!cairn_str_equal(topic->name, there->name)) {
            if (same_category)
                tell(checking, topic->category_line, "A category is one topic at most; `cairn topics` lists them.",
                     "topic %.*s: category %.*s is that of topic %.*s", SHOWN(topic->name), SHOWN(there->category), SHOWN(there->name));
            continue;
        }
        if (!same_category)
            tell(checking, topic->category_line, "Give the topic another name.", "topic %.*s is there, and its category is %.*s for good",
                 SHOWN(topic->name), SHOWN(there->category));
        if (topic->partitions > 0 && topic->partitions < there->partitions && !checking->rollback)
            tell(checking, topic->partitions_line, "Partitions can only grow.", "topic %.*s has %u partitions already", SHOWN(topic->name),
                 there->partitions);
    }
    return true;
}

cairn_err
app_topics_check(cairn_apps *apps, const struct app_manifest *manifest, bool rollback, cairn_app_fault_visit visit, void *context,
                 cairn_error *error)
{
    struct checking checking = {.manifest = manifest, .rollback = rollback, .visit = visit, .context = context};
    if (manifest->topic_count == 0)
        return CAIRN_OK;
    cairn_err err = cairn_topics(apps->store, 0, check_one, &checking, error);
    if (err == CAIRN_OK && checking.faults > 0)
        err = error_set(error, CAIRN_E_INVALID, "the app's topics cannot be made of those that there are: %zu fault%s", checking.faults,
                        checking.faults == 1 ? "" : "s");
    return err;
}

/* ---- putting -------------------------------------------------------------------------------------------------------------------- */

/* The definition as it is to be, of the one there is (NULL: none). */
static cairn_err
put_over(cairn_apps *apps, const struct app_topic *topic, const cairn_topic_ref *ref, struct arena *arena, struct buf *text,
         cairn_error *error)
{
    struct settings settings = {.values = {{NULL, 0}}};
    struct broker_why why = {""};
    char by_name[TOPIC_NAME_MAX];
    cairn_topic_ref *made = NULL;
    cairn_topic definition = {.name = topic->name, .partitions = 1};
    if (ref)
        definition = *cairn_topic_of(ref);
    definition.category = category_of_topic(topic, by_name);
    uint32_t had = ref ? definition.partitions : 0;
    if (topic->partitions > definition.partitions)
        definition.partitions = topic->partitions;
    settings_read(definition.config, &settings);
    if (settings_change(&settings, topic->config, topic->config_count, false, definition.category, arena, &why) != KAFKA_NONE)
        return error_set(error, CAIRN_E_INVALID, "topic %.*s: %s", SHOWN(topic->name), why.text);
    settings_write(&settings, text);
    if (text->failed)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a topic's settings");
    if (ref && had == definition.partitions && cairn_str_equal(buf_str(text), definition.config))
        return CAIRN_OK; /* it is so already */
    definition.config = buf_str(text);
    definition.compact = settings_lists(&settings, "cleanup.policy", "compact");
    if (ref && definition.starts && definition.partitions > had) { /* one for each: those of the new ones are 0 */
        uint64_t *starts = arena_zalloc(arena, definition.partitions * sizeof *starts);
        if (!starts)
            return error_set(error, CAIRN_E_NOMEM, "no memory for a topic");
        memcpy(starts, definition.starts, had * sizeof *starts);
        definition.starts = starts;
    }
    int64_t expected = ref ? (int64_t)cairn_topic_revision(ref) : CAIRN_NONE;
    cairn_err err = cairn_topic_put(apps->store, 0, &definition, expected, &made, error);
    cairn_topic_release(made);
    return err;
}

static cairn_err
put_topic(cairn_apps *apps, const struct app_topic *topic, cairn_error *error)
{
    struct arena arena = {0};
    struct buf text = {0};
    cairn_err err;
    int tries = 0;
    do {
        cairn_topic_ref *ref = NULL;
        arena_reset(&arena);
        buf_clear(&text);
        err = cairn_topic_get(apps->store, 0, topic->name, &ref, error);
        if (err == CAIRN_OK || err == CAIRN_E_NOTFOUND)
            err = put_over(apps, topic, ref, &arena, &text, error);
        cairn_topic_release(ref);
    } while ((err == CAIRN_E_CONFLICT || err == CAIRN_E_EXISTS) && ++tries < TRIES);
    arena_free(&arena);
    buf_free(&text);
    return err;
}

cairn_err
app_topics_put(cairn_apps *apps, const struct app_manifest *manifest, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < manifest->topic_count && err == CAIRN_OK; i++)
        err = put_topic(apps, &manifest->topics[i], error);
    return err;
}
