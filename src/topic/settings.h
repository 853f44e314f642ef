/* settings.h: a topic's settings as names and texts, and as numbers. The table is broker_settings() in broker.h. */
#ifndef TOPIC_SETTINGS_H
#define TOPIC_SETTINGS_H

#include "broker.h"

#include <base/bytes.h>

#define SETTINGS_MAX 40
#define SETTING_VALUE_MAX 1024

/* A topic's own values, by their place in the table; data NULL: the default. */
struct settings {
    cairn_str values[SETTINGS_MAX];
};

/* What a topic's config says; names that this program does not know are left out. Points into `config`. */
void settings_read(cairn_str config, struct settings *ret);
/* As a JSON object. */
void settings_write(const struct settings *settings, struct buf *to);
/* Check the pairs and take them over. replace: what is not named goes back to its default. Lists that are made anew are in the
 * arena; everything else points into the pairs. `category`: what the topic's is, so that naming it again changes nothing. */
enum kafka_err settings_change(struct settings *settings, const struct broker_pair *pairs, size_t count, bool replace,
                               cairn_str category, struct arena *arena, struct broker_why *why);
/* The value in force of a name in the table. */
cairn_str settings_get(const struct settings *settings, const char *name);
int64_t settings_number(const struct settings *settings, const char *name);
/* Is `word` in this setting's list? */
bool settings_lists(const struct settings *settings, const char *name, const char *word);

__attribute__((format(printf, 2, 3))) void why_set(struct broker_why *why, const char *format, ...);

#endif
